"""How an experiment stands: what is done, what it says so far, and how long the rest takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from perceiver_pytorch.experiments.spec import Experiment
from perceiver_pytorch.experiments.store import DONE, FAILED, RUNNING, WAITING, Record


@dataclass(frozen=True)
class Row:
    """The cells of one set with one level of the factor that is asked about.

    Attributes:
        set, level: which ones.
        states: {state: number of cells}.
        mean: of the primary metric so far; None before the first.
    """

    set: str
    level: str
    states: Mapping[str, int]
    mean: float | None


@dataclass(frozen=True)
class Standing:
    """A look at an experiment.

    Attributes:
        metric: name of the primary metric.
        rows: of the live table.
        states: {state: number of cells}.
        seconds_left: about; None until a cell is done.
        errors: of failed cells, {title: error}.
    """

    metric: str
    rows: tuple[Row, ...]
    states: Mapping[str, int]
    seconds_left: float | None
    errors: Mapping[str, str]

    @classmethod
    def of(cls, experiment: Experiment, records: Sequence[Record], processes: int) -> "Standing":
        """From the cells, of which so many run at once."""
        factor, metric = experiment.factors[0], experiment.metrics[0].name
        rows = []
        for one in experiment.sets:
            for level in factor.levels:
                cells = [r for r in records if r.set == one.name and r.levels.get(factor.name) == level.name]
                values = [r.result["metrics"][metric] for r in cells if r.result and metric in r.result["metrics"]]
                rows.append(Row(one.name, level.name, _states(cells), fmean(values) if values else None))
        errors = {title(record): record.error or "" for record in records if record.state == FAILED}
        return cls(metric, tuple(rows), _states(records), _left(records, processes), errors)

    @property
    def done(self) -> int:
        """Cells that are not waited for any more."""
        return self.states[DONE] + self.states[FAILED]

    @property
    def total(self) -> int:
        """All cells."""
        return sum(self.states.values())


def title(record: Record) -> str:
    """What a cell is called in messages."""
    return ", ".join([record.set, *record.levels.values(), f"seed {record.seed}"])


def _states(records: Sequence[Record]) -> dict[str, int]:
    counts: dict[str, Any] = dict.fromkeys((DONE, RUNNING, WAITING, FAILED), 0)
    for record in records:
        counts[record.state] += 1
    return counts


def _left(records: Sequence[Record], processes: int) -> float | None:
    """By the mean of those of the same set, else of all; what runs counts by half."""
    took: dict[str, list[float]] = {}
    for record in records:
        if record.state == DONE and record.took is not None:
            took.setdefault(record.set, []).append(record.took)
    if not took:
        return None
    usual = fmean(seconds for each in took.values() for seconds in each)
    share = {WAITING: 1.0, RUNNING: 0.5}
    left = sum(share.get(r.state, 0.0) * (fmean(took[r.set]) if r.set in took else usual) for r in records)
    return left / max(1, min(processes, sum(r.state in share for r in records)))
