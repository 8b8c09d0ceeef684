"""Draws docs/figures/language.svg: bits per byte of the runs in docs/results.md. Run by ``make figures``.

The histories in docs/figures/language/ are ``history.csv`` and ``metrics.json`` of these runs' folders.
"""

import csv
import json
import math
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
BLUE, ORANGE, GREY = "#2563a8", "#d9822b", "#8a94a0"
STYLES = {"unigram": ":", "neighbours": "-.", "gzip": "--", "lzma": (0, (1, 3)), "lzma after train": (0, (5, 1))}


def draw() -> Figure:
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    for axes, name, title in zip(
        figure.subplots(1, 2, sharey=True), ("causal", "masked"), ("the next byte", "hidden bytes"), strict=True
    ):
        _curve(axes, FOLDER / "language" / name, title)
    return figure


def _curve(axes: Axes, run: Path, title: str) -> None:
    with (run / "history.csv").open(newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    metrics = json.loads((run / "metrics.json").read_text())
    steps = [row["step"] for row in rows]
    axes.plot(steps, [row["train_loss"] / math.log(2) for row in rows], color=BLUE, marker=".", label="train")
    axes.plot(steps, [row["val_bits_per_byte"] for row in rows], color=ORANGE, marker=".", label="validation")
    shown = metrics["baselines"] if metrics["objective"] == "causal" else {
        name: metrics["baselines"][name] for name in ("unigram", "neighbours")
    }  # fmt: skip
    for name, value in shown.items():
        axes.axhline(value, color=GREY, linewidth=1, linestyle=STYLES[name], label=f"{name}: {value:.2f}")
    axes.set(title=f"{title}: {metrics['bits_per_byte']:.2f} on the test part", xlabel="step", ylim=(0, 5.5))
    axes.set_ylabel("bits per byte")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    with matplotlib.rc_context({"svg.hashsalt": "perceiver", "svg.fonttype": "none"}):
        draw().savefig(FOLDER / "language.svg", metadata={"Date": None})
