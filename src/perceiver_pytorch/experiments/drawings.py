"""The figures of an experiment's report: differences with their intervals, and learning curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from perceiver_pytorch.data.targets.report_parts import BLUE, GREY, ORANGE, Drawing
from perceiver_pytorch.experiments.findings import Finding
from perceiver_pytorch.experiments.spec import Experiment, Metric
from perceiver_pytorch.experiments.statistics import HARMS, HELPS, NO_DIFFERENCE
from perceiver_pytorch.experiments.store import Record

_COLOURS = {HELPS: BLUE, HARMS: ORANGE, NO_DIFFERENCE: "#1c2530"}
_LINES = (BLUE, ORANGE, "#1d7a3a", "#b3261e", "#7a4fa3", GREY)
_POINTS = 60


def forest(found: Sequence[Finding], metric: Metric) -> Drawing:
    """A line per finding: the mean difference and its interval, over the band of differences that do not matter."""

    def draw(axes: Any) -> None:
        axes.axvspan(-metric.margin, metric.margin, color="#e3e7ec", zorder=0)
        axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
        for place, finding in enumerate(found):
            colour, one = _COLOURS.get(finding.decision, GREY), finding.found
            if one.low is not None:
                axes.plot([one.low, one.high], [place, place], color=colour, linewidth=1.6)
            axes.plot([one.mean], [place], marker="o", markersize=5, color=colour)
        labels = [f"{one.where}: {one.contestant} less {one.baseline}" for one in found]
        axes.set_yticks(range(len(found)), labels)
        axes.set_ylim(len(found) - 0.4, -0.6)
        words = "larger is better" if metric.sign > 0 else "turned round, so that larger is better"
        axes.set_xlabel(f"difference of {metric.name} ({words}); grey: too small to matter")

    return Drawing(8.5, 0.9 + 0.3 * len(found), draw)


def curves(experiment: Experiment, records: Sequence[Record], name: str) -> Drawing | None:
    """Validation losses of one set over the steps, a line per level of the first factor; None where none was kept.

    A line is the mean over all cells of the level, seeds and other factors alike; the band is one deviation of them.
    """
    factor = experiment.factors[0]
    lines = {}
    for level in factor.levels:
        cells = [r for r in records if r.set == name and r.result and r.levels.get(factor.name) == level.name]
        curve = mean_curve([r.result["history"] for r in cells if r.result])
        if curve is not None:
            lines[level.name] = curve
    if not lines:
        return None

    def draw(axes: Any) -> None:
        for i, (label, (steps, means, deviations)) in enumerate(lines.items()):
            colour = _LINES[i % len(_LINES)]
            style = {"linestyle": "-" if i < len(_LINES) else "--", "marker": "." if len(steps) == 1 else ""}
            axes.plot(steps, means, color=colour, label=label, **style)
            axes.fill_between(steps, means - deviations, means + deviations, color=colour, alpha=0.12, linewidth=0)
        axes.set(xlabel="passes over the train rows", ylabel="validation loss")
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return Drawing(8.5, 3.2, draw)


def mean_curve(histories: Sequence[Sequence[dict[str, float]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Places, means and deviations of the validation loss, as far as the shortest history goes; None without any."""
    kept = [history for history in histories if history]
    if not kept:
        return None
    first = max(history[0]["epoch"] for history in kept)
    last = min(history[-1]["epoch"] for history in kept)
    places = np.linspace(first, max(first, last), _POINTS if last > first else 1)
    values = np.stack([np.interp(places, [row["epoch"] for row in h], [row["val_loss"] for row in h]) for h in kept])
    return places, values.mean(0), values.std(0)
