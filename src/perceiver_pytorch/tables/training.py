"""Training on a table from Python."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perceiver_pytorch._settings import load_config, with_keywords
from perceiver_pytorch.data import TableLike
from perceiver_pytorch.tables.forms import ROOT_OF_A_PATH, open_table
from perceiver_pytorch.tables.predictor import QUIET
from perceiver_pytorch.tables.run import Run
from perceiver_pytorch.training.run.durations import Deadline, seconds
from perceiver_pytorch.training.run.folder import free_folder, remove_if_empty
from perceiver_pytorch.training.run.job import INTERRUPTED, run_job
from perceiver_pytorch.training.run.ranks import after_first, from_first, is_first, joined
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.run.resuming import check_resumable
from perceiver_pytorch.training.table import settings
from perceiver_pytorch.training.table.datasets import read_options
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.training.table.task import TableTask

LINES = Reporter(warn=QUIET.warn)
"""Prints lines; warnings are Python's."""


def fit(
    table: Any,
    target: str | Sequence[str] | None = None,
    *,
    run: str | os.PathLike[str] | None = None,
    preset: str = "auto",
    config: str | os.PathLike[str] | None = None,
    resume: Run | str | os.PathLike[str] | None = None,
    time_limit: str | None = None,
    root: str | Path | None = None,
    verbose: bool = True,
    **options: Any,
) -> Run:
    """Recognises the columns of a table, trains, keeps the best model, measures it, and writes a report.

    Settings come from the preset, then the ``config`` file, then the options. Started by torchrun, all processes train
    together and get the same run.

    Args:
        table: a path, an address, ``hf:NAME`` or the name of a built-in set, as ``perceiver fit`` takes it; a pandas,
            polars or pyarrow table, a polars LazyFrame or an Arrow dataset, which may be larger than memory, a
            `datasets.Dataset`, a list of dicts, or a dict of columns.
        target: the column to predict, or several. None: that of a built-in set, or the class of files in folders.
        run: folder to write. None: ``runs/NAME`` after the path, or ``runs/table`` for a table in memory, with a number
            behind it where there is one.
        preset: size of the model: auto (by the table), tiny, small or base.
        config: YAML file with any of the settings that ``perceiver config`` prints.
        resume: a stopped run to go on with, on the same table and as it was configured.
        time_limit: the longest that this takes, reading and the result included: ``"90s"``, ``"5m"``, ``"1h30m"``.
        root: of a table in memory, the folder that relative paths in cells start at. None: the current one.
        verbose: print what happens.
        options: any setting by its name, as ``epochs=3, lr=1e-3, image_size=32``.

    Raises:
        DataError: for a table that cannot be used; the message names row and column.
        TypeError, ValueError: for an unknown option or a value that it cannot have.
        KeyboardInterrupt: for Ctrl-C; what was trained is saved.
    """
    deadline = None if time_limit is None else Deadline(seconds(time_limit, "time_limit"))
    path = os.fspath(table) if isinstance(table, str | os.PathLike) else None
    if path is not None and root is not None:
        raise ValueError(ROOT_OF_A_PATH)
    folder = None if resume is None else resume.folder if isinstance(resume, Run) else TableRun.open(Path(resume))
    base = settings.preset(preset, path) if folder is None else folder.config()
    if config is not None:
        base = load_config(Path(config), base)
    if target is not None:
        options["target"] = target if isinstance(target, str) else list(target)
    asked = with_keywords(base, options)
    in_memory = open_table(table, read_options(asked.data), root)[0] if path is None else None
    asked = with_keywords(asked, {"table": path if in_memory is None else in_memory.source})
    if folder is not None:
        check_resumable(base, asked, folder.path)

    def created() -> Path:
        return TableRun.create(free_folder(path or "table") if run is None else Path(run)).path

    with joined(asked.training):
        folder = folder or TableRun(from_first(created))
        reporter = LINES if verbose and is_first() else QUIET
        return _trained(asked, in_memory, folder, resume is not None, deadline, reporter)


def _trained(
    config: FitConfig,
    table: TableLike | None,
    folder: TableRun,
    resume: bool,
    deadline: Deadline | None,
    reporter: Reporter,
) -> Run:
    try:
        task = TableTask(config, table, deadline=deadline)
        outcome = run_job(task, folder, resume=resume, deadline=deadline, reporter=reporter)
    finally:
        if is_first():
            remove_if_empty(folder.path)
    after_first()
    if outcome.stopped == INTERRUPTED:
        raise KeyboardInterrupt(f"stopped, all is saved; go on with fit(table, resume={str(folder.path)!r})")
    if outcome.stopped:
        reporter.say(f"stopped: {outcome.stopped}; go on with: {folder.resume_command}")
    run = Run(folder)
    for line in run.lines():
        reporter.say(line)
    return run
