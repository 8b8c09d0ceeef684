"""``perceiver fit``."""

from pathlib import Path
from typing import Any

from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.arguments import asked_settings, deadline_of, in_ranks, stopped_folder, train
from perceiver_pytorch.cli.options import Config, Given, NewRun, Preset, Resume, Set, TimeLimit, with_settings
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.folder import free_folder
from perceiver_pytorch.training.run.ranks import from_first, is_first
from perceiver_pytorch.training.run.resuming import check_resumable
from perceiver_pytorch.training.table.settings import PRESETS, FitConfig, preset


@with_settings(
    FitConfig,
    order="table target target_kind label_separator task_weight class_weights modality_dropout augment from_ freeze "
    "lora run preset_name config column split val_fraction most_rows on_error steps epochs batch_size lr optimizer "
    "seed set_ allow_outside allow_web where encoding delimiter skip_lines header quoting stream table_mb cell_mb "
    "checkpoint_every workers devices nodes accelerator strategy precision time_limit resume",
)
def fit(
    given: Given,
    run: NewRun = None,
    preset_name: Preset = "auto",
    config: Config = None,
    set_: Set = None,
    time_limit: TimeLimit = None,
    resume: Resume = None,
) -> int:
    """Train on a table: recognise the columns, train, measure, and write a report.

    Settings come from the preset, then the --config file, then the options.
    """
    deadline = deadline_of(time_limit)  # what is loaded next takes seconds
    from perceiver_pytorch.training.table.run import TableRun

    base, folder = preset(preset_name, given.get(("data", "table"))), None
    if resume is not None:
        folder = _stopped_run(stopped_folder(resume, run))
        base = read_settings(FitConfig, PRESETS[preset_name], base=folder.config())
    settings = asked_settings(base, config, set_, given)
    if folder is not None:
        check_resumable(folder.config(), settings, folder.path)
    elif not settings.data.table:
        raise ValueError("which table? perceiver fit TABLE --target COLUMN, or perceiver fit digits")

    def free() -> Path:
        return free_folder(settings.data.table)

    def work() -> int:
        begun = folder or TableRun(from_first(lambda: TableRun.create(run or free()).path))
        return _fitted(settings, begun, deadline, resume=folder is not None)

    return in_ranks(settings.training, TableRun, run if folder is None else folder.path, free, work)


def _fitted(settings: FitConfig, folder: Any, deadline: Deadline | None, *, resume: bool) -> int:
    from perceiver_pytorch.tables.run import Run
    from perceiver_pytorch.training.table.task import TableTask

    outcome = train(TableTask(settings, deadline=deadline), folder, resume=resume, deadline=deadline)
    if outcome is None:
        return 130
    for line in Run(folder).lines() if is_first() else ():
        console.say(line)
    return 0


def _stopped_run(path: Path) -> Any:
    from perceiver_pytorch.training.language.run import LanguageRun
    from perceiver_pytorch.training.table.run import TableRun

    folder = TableRun.open(path)
    if LanguageRun.is_at(folder.path):
        raise ValueError(f"{folder.path} is a run of a language model: perceiver language --resume {folder.path}")
    return folder
