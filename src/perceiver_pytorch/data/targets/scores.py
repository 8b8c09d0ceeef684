"""One score for one or several targets, and their metrics as lines on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.targets import Target


def score_name(targets: Sequence[Target], choice: Choice) -> str:
    """The metric that chooses the best epoch: that of the one target, or ``score`` of several targets."""
    return choice.of(targets[0]) if len(targets) == 1 else "score"


def score_title(targets: Sequence[Target], name: str) -> str:
    """A `score_name`, for people."""
    return targets[0].titles[name] if len(targets) == 1 else name


def score(targets: Sequence[Target], metrics: Mapping[str, Mapping[str, Any]], choice: Choice) -> float:
    """One figure, larger is better: the chosen score of one target.

    Of several targets the mean of theirs, each within 0 and 1, over those that have a known row.
    """
    values = [target.score(metrics[target.name], choice.of(target)) for target in targets if target.name in metrics]
    if len(targets) == 1:
        return values[0]
    return sum(min(max(value, 0.0), 1.0) for value in values) / len(values)


def by_target(targets: Sequence[Target], metrics: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """{target: its metrics}, of the targets that were measured, from the metrics of a run."""
    return metrics.get("tasks") or {targets[0].name: metrics}


def metric_lines(targets: Sequence[Target], metrics: Mapping[str, Any]) -> list[str]:
    """For people: a line per target that was measured, and one per modality, with the scores without and with it alone.

    Args:
        targets: what is predicted.
        metrics: of a run (``metrics.json``).
    """
    measured, title = by_target(targets, metrics), score_title(targets, metrics["score_name"])
    lines = [target.line(measured[target.name]) for target in targets if target.name in measured]
    for name, values in metrics["modalities"].items():
        scores = [f"{values[key]:.4f} {words}" for key, words in _WAYS.items() if key in values]
        lines.append(f"  {name}: {title} {', '.join(scores)}")
    return lines


_WAYS = {"without": "without it", "alone": "with it alone"}
