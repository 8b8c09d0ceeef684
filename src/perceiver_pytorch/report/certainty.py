"""Sections of the report on how far a target's probabilities, sets and intervals can be trusted."""

from collections.abc import Mapping, Sequence
from typing import Any

from perceiver_pytorch.data.targets.report_parts import BLUE, GREY, ORANGE, Drawing, Section

_METHODS = {
    "none": "Outputs stay as they are: no scaling did better on validation rows that it was not learned from, or these "
    "are fewer than 50.",
    "temperature": "One temperature was learned for all outputs.",
    "vector": "A factor and a shift were learned for each output.",
}


def certainty_sections(
    name: str, metrics: Mapping[str, Any], combinations: Sequence[Mapping[str, Any]], of: str
) -> list[Section]:
    """Of a target: its reliability before and after calibration, and how much its sets hold; none without either.

    Args:
        name: the target.
        metrics: its own.
        combinations: of all metrics.
        of: what a heading ends with to tell several targets apart; empty for the only one.
    """
    sections = []
    calibration = metrics.get("calibration", {})
    if "before" in calibration:
        before, after = calibration["before"], calibration["after"]
        rows = [[title, *(f"{told[key]:.4f}" for told in (before, after))] for key, title in _FIGURES.items()]
        drawing = Drawing(5.2, 4.8, lambda axes: draw_reliability(axes, before, after))
        note = (
            f"{_METHODS[calibration['method']]} Large marks stand for many rows; on the dotted line all is as stated."
        )
        header = ("", "before", "calibrated")
        sections.append(Section(f"Stated probability and what was right{of}", drawing, header, rows, note))
    if metrics.get("coverage"):
        sections.append(Section(f"Coverage of sets{of}", None, *_coverage(name, metrics["coverage"], combinations)))
    return sections


_FIGURES = {"ece": "expected calibration error", "brier": "Brier score", "loss": "loss"}


def draw_reliability(axes: Any, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """The share that was right over the stated probability, as the model gives it and calibrated."""
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    most = max(each["rows"] for told in (before, after) for each in told["bins"])
    for told, color, marker, name in ((before, ORANGE, "s", "before"), (after, BLUE, "o", "calibrated")):
        stated, found = ([each[key] for each in told["bins"]] for key in ("stated", "found"))
        sizes = [12 + 90 * each["rows"] / most for each in told["bins"]]
        axes.plot(stated, found, color=color, linewidth=1.1, linestyle="--" if told is before else "-")
        axes.scatter(stated, found, s=sizes, color=color, marker=marker, linewidths=0, alpha=0.85, label=name)
    axes.set(xlabel="stated probability", ylabel="share that was right", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(frameon=False, loc="upper left")


def _coverage(
    name: str, coverage: Sequence[Mapping[str, Any]], combinations: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[str], Sequence[Sequence[str]], str]:
    """Header, rows and note of a table: measured coverage with all modalities, and with some of them."""
    header = ["modalities present", *(f"{row['asked']:g} asked" for row in coverage)]
    rows = [
        ["(all)", *(f"{row['measured']:.3f} ({row['low']:.3f}–{row['high']:.3f})" for row in coverage)],
        ["(all), mean size", *("infinite" if row["size"] is None else f"{row['size']:.4g}" for row in coverage)],
    ]
    for entry in combinations[1:]:
        told = entry.get("trust", {}).get(name, {}).get("coverage", {})
        if told:
            rows.append([", ".join(entry["present"]), *(f"{told[str(row['asked'])]:.3f}" for row in coverage)])
    note = "The share of rows whose truth is in its set or interval (perceiver predict --coverage)."
    return header, rows, note
