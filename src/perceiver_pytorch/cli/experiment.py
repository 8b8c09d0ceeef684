"""``perceiver experiment``."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perceiver_pytorch.cli import console

if TYPE_CHECKING:
    from perceiver_pytorch.experiments.progress import Standing

REPORT = "report"


def experiment(
    name: Annotated[
        str | None, typer.Argument(help="YAML file, or the name of one that comes with the package; or report.")
    ] = None,
    report: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="After report: an experiment's folder.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the experiments that come with the package.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="The small form, which takes minutes.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--run", help="Folder of the results; default: experiments/NAME. A stopped one goes on."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that paths of tables start at; default: the current one.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Cells at once, at most; default: one for each core.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Run cells again that failed before.")] = False,
) -> int:
    """Train every cell of an experiment, keep the results, and report what they say."""
    if list_:
        return _list()
    if name is None:
        raise ValueError(
            "which experiment? perceiver experiment FILE.yaml, or one that perceiver experiment --list names"
        )
    if name == REPORT:
        if report is None:
            raise ValueError("of which folder? perceiver experiment report DIR")
        return _report(report)
    if report is not None:
        raise ValueError(f"perceiver experiment takes one file or name, got {name} and {report}")
    return _run(name, quick, folder, data, processes, retry)


def _list() -> int:
    from perceiver_pytorch.experiments.library import find_experiment, shipped

    for name in shipped():
        console.say(f"{name}: {find_experiment(name).question}")
    return 0


def _report(folder: Path) -> int:
    from perceiver_pytorch.experiments.report import write_experiment_report

    for path in write_experiment_report(folder):
        console.say(str(path))
    return 0


def _run(name: str, quick: bool, folder: Path | None, data: Path | None, processes: int | None, retry: bool) -> int:
    from perceiver_pytorch.experiments.facts import facts_of
    from perceiver_pytorch.experiments.library import find_experiment
    from perceiver_pytorch.experiments.runner import Runner
    from perceiver_pytorch.experiments.store import FAILED

    asked = find_experiment(name, quick=quick)
    folder = folder or Path("experiments") / (f"{asked.name}-quick" if quick else asked.name)
    view = _Live() if console.console().is_terminal else _Lines()
    runner = Runner(asked, folder, data=data, processes=processes, watch=view.show)
    runner.store.set_facts(facts_of(asked, sys.argv[1:], data))
    console.say(f"{asked.name}: {len(runner.store.records())} cells, {runner.processes} at once, kept in {folder}")
    try:
        with view.shown:
            records = runner.run(retry=retry)
    except KeyboardInterrupt:
        console.say("stopped; finished cells are kept, and the same command goes on")
        return 130
    failed = sum(record.state == FAILED for record in records)
    if failed:
        console.warn(f"{failed} cells failed; the report has their errors, and --retry runs them again")
    _report(folder)
    return 1 if failed == len(records) else 0


class _Lines:
    """A line for each cell that ends, where there is no terminal."""

    def __init__(self) -> None:
        self.shown: Any = nullcontext()
        self.done = 0
        self.errors: set[str] = set()

    def show(self, standing: "Standing") -> None:
        for title in standing.errors.keys() - self.errors:
            console.warn(f"{title} failed: {standing.errors[title]}")
        self.errors |= standing.errors.keys()
        if standing.done != self.done:
            self.done = standing.done
            console.say(f"{standing.done} of {standing.total} cells{_time_left(standing)}")


class _Live:
    """A table that is drawn anew, where there is a terminal."""

    def __init__(self) -> None:
        from rich.live import Live

        self.shown: Any = Live(console=console.console(), refresh_per_second=2)

    def show(self, standing: "Standing") -> None:
        self.shown.update(table(standing))


def table(standing: "Standing") -> Any:
    """How an experiment stands, as a table of rich."""
    from rich.table import Table

    title = f"{standing.done} of {standing.total} cells{_time_left(standing)}"
    drawn = Table("set", "level", "done", "running", "waiting", "failed", f"mean {standing.metric}", title=title)
    for row in standing.rows:
        counts = [str(row.states[state]) for state in ("done", "running", "waiting", "failed")]
        drawn.add_row(row.set, row.level, *counts, "" if row.mean is None else f"{row.mean:.4f}")
    for name, error in list(standing.errors.items())[-3:]:
        drawn.add_section()
        drawn.add_row(f"failed: {name}", error[:200])
    return drawn


def _time_left(standing: "Standing") -> str:
    if standing.seconds_left is None or standing.done == standing.total:
        return ""
    minutes = standing.seconds_left / 60
    return f", about {minutes:.0f} min left" if minutes >= 1 else f", about {standing.seconds_left:.0f} s left"
