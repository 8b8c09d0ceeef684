"""What the cells of an experiment say: paired differences of each comparison, per set and over all sets."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from perceiver_pytorch.experiments.spec import Comparison, Experiment, Metric
from perceiver_pytorch.experiments.statistics import UNDECIDED, Estimate, decide, estimate, holm
from perceiver_pytorch.experiments.store import DONE, Record

POOLED = "all sets"


@dataclass(frozen=True)
class Finding:
    """A contestant against its baseline.

    Attributes:
        comparison: its name.
        metric: its name.
        where: the set, or "all sets".
        contestant, baseline: levels.
        found: differences, larger being better for the contestant, with the interval of 95 % (1 - alpha).
        adjusted: probability, corrected by Holm for the comparisons of this metric in this place; None: too few pairs.
        decision: helps, harms, no difference or undecided.
        pairs: cells that were paired.
    """

    comparison: str
    metric: str
    where: str
    contestant: str
    baseline: str
    found: Estimate
    adjusted: float | None
    decision: str
    pairs: int


def findings(experiment: Experiment, records: Sequence[Record]) -> list[Finding]:
    """All comparisons for all metrics: over all sets first, then for each set."""
    found: list[Finding] = []
    for metric in experiment.metrics:
        places = [POOLED] if len(experiment.sets) > 1 else []
        for where in [*places, *(one.name for one in experiment.sets)]:
            found += _in_place(experiment, records, metric, where)
    return found


def wide_sets(experiment: Experiment, records: Sequence[Record]) -> list[str]:
    """Sets in which half the interval of some comparison of the primary metric is wider than the experiment allows."""
    until = experiment.seeds.until
    if until is None:
        return []
    wide = []
    for one in experiment.sets:
        estimates = [finding.found for finding in _in_place(experiment, records, experiment.metrics[0], one.name)]
        if any(e.low is None or e.high is None or e.high - e.low > 2 * until for e in estimates):
            wide.append(one.name)
    return wide


def differences(
    experiment: Experiment, records: Sequence[Record], comparison: Comparison, contestant: str, metric: Metric
) -> dict[str, dict[int, list[float]]]:
    """{set: {seed: contestant less baseline}}, one for each combination of the other factors; more is better."""
    values: dict[tuple[str, int, tuple[str, ...]], dict[str, float]] = defaultdict(dict)
    for record in records:
        value = metric_of(record, metric.name)
        if value is not None and comparison.factor in record.levels:
            others = tuple(level for name, level in sorted(record.levels.items()) if name != comparison.factor)
            values[record.set, record.seed, others][record.levels[comparison.factor]] = value
    found: dict[str, dict[int, list[float]]] = {one.name: {} for one in experiment.sets}
    for (name, seed, _), by_level in sorted(values.items()):
        if name in found and {contestant, comparison.baseline} <= by_level.keys():
            difference = metric.sign * (by_level[contestant] - by_level[comparison.baseline])
            found[name].setdefault(seed, []).append(difference)
    return found


def metric_of(record: Record, name: str) -> float | None:
    """A metric of a cell that is done."""
    if record.state != DONE or record.result is None:
        return None
    return record.result["metrics"].get(name)


def _in_place(experiment: Experiment, records: Sequence[Record], metric: Metric, where: str) -> list[Finding]:
    """Every comparison in one set, or over all; their number is what probabilities are corrected for."""
    asked = [(one, contestant) for one in experiment.comparisons for contestant in one.against]
    tested: list[tuple[Comparison, str, list[list[float]], int]] = []
    for comparison, contestant in asked:
        by_set = differences(experiment, records, comparison, contestant, metric)
        chosen = by_set.values() if where == POOLED else [by_set[where]]
        groups = [[fmean(each) for each in seeds.values()] for seeds in chosen if seeds]
        pairs = sum(len(each) for seeds in chosen for each in seeds.values())
        if groups:
            tested.append((comparison, contestant, groups, pairs))
    shown = [estimate(groups, 1 - experiment.alpha) for _, _, groups, _ in tested]
    strict = [estimate(groups, 1 - experiment.alpha / len(tested)) for _, _, groups, _ in tested]
    adjusted = _adjusted([each.p for each in shown])
    return [
        Finding(
            comparison.name,
            metric.name,
            where,
            contestant,
            comparison.baseline,
            shown[i],
            adjusted[i],
            UNDECIDED if adjusted[i] is None else decide(strict[i], metric.margin, experiment.alpha, adjusted[i]),
            pairs,
        )
        for i, (comparison, contestant, _, pairs) in enumerate(tested)
    ]


def _adjusted(probabilities: Sequence[float | None]) -> list[float | None]:
    """Holm's, where there are any."""
    there = {i: p for i, p in enumerate(probabilities) if p is not None}
    found: Mapping[int, float] = dict(zip(there, holm(list(there.values())), strict=True))
    return [found.get(i) for i in range(len(probabilities))]
