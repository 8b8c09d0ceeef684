"""``perceiver tune``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.arguments import asked_settings
from perceiver_pytorch.cli.options import Config, Given, Preset, Set, set_values, with_settings
from perceiver_pytorch.training.run.durations import Deadline, seconds
from perceiver_pytorch.training.run.ranks import asked_ranks
from perceiver_pytorch.training.table.settings import FitConfig, preset

if TYPE_CHECKING:
    from perceiver_pytorch.tuning.study import Plan, StudyFolder

_CLOSING = 0.1
"""Share of the time limit that is left for completing the best trial."""
PANEL = "Search"


@with_settings(
    FitConfig,
    order="table target target_kind trials time_limit trial_time search run resume storage processes",
)
def tune(
    given: Given,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="Trials in all, those of other processes counted; default: 20.", rich_help_panel=PANEL
        ),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="The longest that all of it takes: 10m, 1h30m.", rich_help_panel=PANEL)
    ] = None,
    trial_time: Annotated[
        str | None,
        typer.Option(
            help="The longest that a trial takes; default: its share of the time limit, or as long as its steps take.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY[=LOW..HIGH|=VALUE,VALUE]",
            help="What to try of a setting; default: all settings that declare it and are not given. Repeatable.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of the search; default: searches/NAME.", rich_help_panel=PANEL)
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Go on with a search, or take trials from one that runs.", rich_help_panel=PANEL
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database that machines share, such as postgresql://HOST/NAME; default: a file in the folder.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes of this machine that run trials.", rich_help_panel=PANEL)
    ] = 1,
    preset_name: Preset = "auto",
    config: Config = None,
    set_: Set = None,
) -> int:
    """Search for the settings that are best on the validation rows of a table.

    The best trial becomes a run like any other. Trial 0 has the settings as they are. Every option of perceiver fit may
    be given; what is given is not searched.
    """
    limit = None if time_limit is None else Deadline(seconds(time_limit))
    from perceiver_pytorch.tuning.space import search_space
    from perceiver_pytorch.tuning.study import DEFAULT_TRIALS, HIDDEN, Plan, StudyFolder

    if resume is not None:
        if given or config or set_ or search or run:
            raise ValueError(
                "--resume goes on with the settings that the search began with; give --trials, --storage or times alone"
            )
        folder = StudyFolder(resume)
        plan = folder.plan()
        plan = replace(plan, trials=trials or plan.trials, storage=storage or plan.storage)
        if HIDDEN in (plan.storage or ""):
            raise ValueError(f"the password of {plan.storage} is not kept; give --storage again")
    else:
        settings = asked_settings(preset(preset_name, given.get(("data", "table"))), config, set_, given)
        if not settings.data.table:
            raise ValueError("which table? perceiver tune TABLE --target COLUMN, or perceiver tune digits")
        if asked_ranks(settings.training) > 1:
            raise ValueError("a trial has one device: leave out --devices and --nodes; --processes runs several trials")
        folder = StudyFolder(run or Path("searches") / Path(settings.data.table).stem)
        fixed = {".".join(keys) for keys in set_values(set_) | given}
        space = tuple(search_space(search or [], fixed, settings))
        plan = Plan(settings, space, trials or DEFAULT_TRIALS, storage=storage)
    plan = replace(plan, trial_seconds=_trial_seconds(plan, trial_time, limit, processes))
    _open(folder, plan, resume=resume is not None)
    try:
        return _run(folder, plan, limit, processes)
    except Exception:
        if resume is None and not folder.has_results:  # with what was wrong mended, the same command begins anew
            folder.discard()
        raise


def _trial_seconds(plan: "Plan", trial_time: str | None, limit: Deadline | None, processes: int) -> float | None:
    """What was asked for; else a trial's share of the time limit, unless its steps or epochs are given."""
    if trial_time is not None:
        return seconds(trial_time, "--trial-time")
    training = plan.config.training
    if limit is None or training.steps is not None or training.epochs is not None:
        return plan.trial_seconds
    return (1 - _CLOSING) * limit.limit * processes / plan.trials


def _open(folder: "StudyFolder", plan: "Plan", *, resume: bool) -> None:
    if resume:
        folder.write_search(plan)
    else:
        folder.create(plan)
    console.say(f"searching {'; '.join(map(str, plan.space))}")
    each = "" if plan.trial_seconds is None else f", {plan.trial_seconds:.0f} s each at most"
    trials = "1 trial" if plan.trials == 1 else f"{plan.trials} trials"
    console.say(f"{trials}{each}, kept in {folder.path}")


def _run(folder: "StudyFolder", plan: "Plan", limit: Deadline | None, processes: int) -> int:
    from perceiver_pytorch.tuning.best import finish_best
    from perceiver_pytorch.tuning.page import PAGE, measure_of, write_page
    from perceiver_pytorch.tuning.processes import run_trials
    from perceiver_pytorch.tuning.study import best_of, open_study

    study = open_study(folder, plan)
    command = f"perceiver tune --resume {folder.path}"
    try:
        run_trials(
            folder,
            plan,
            study,
            deadline=None if limit is None else limit.earlier(_CLOSING * limit.limit),
            processes=processes,
            told=lambda trial: _tell(study, plan, trial),
        )
        best = best_of(study.trials)
        run = None if best is None else finish_best(folder, plan, best, console.reporter())
    except KeyboardInterrupt:
        console.say(f"stopped, finished trials are kept; go on with: {command}")
        return 130
    finally:
        write_page(folder, plan, study, command)
    if best is None:
        console.error(f"no trial was trained to its end; go on with: {command}")
        return 1
    console.say(f"trial {best.number} is the best: {best.value:.4f} {measure_of(study.trials)}")
    if run is None:
        console.warn(
            f"its run is on {best.user_attrs.get('machine')}; to train it again: "
            f"perceiver fit --config {folder.path / 'best.yaml'}"
        )
    else:
        from perceiver_pytorch.tables.run import Run

        for line in Run(run).lines():
            console.say(line)
    console.say(str(folder.path / PAGE))
    return 0


def _tell(study: Any, plan: "Plan", trial: Any) -> None:
    from perceiver_pytorch.tuning.page import row_of
    from perceiver_pytorch.tuning.study import best_of, finished

    row, best = row_of(plan, trial), best_of(study.trials)
    told = f"trial {row['number']}: {row['state']} {row['score']}".rstrip()
    top = "" if best is None else f"; best {best.value:.4f} of trial {best.number}"
    console.say(f"{told} in {row['seconds']} s{top} ({len(finished(study))} of {plan.trials})")
    if row["error"]:
        console.warn(row["error"])
