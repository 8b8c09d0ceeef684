"""The report's drawings, as SVG text: nothing is fetched when the page is opened."""

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2563a8", "#d9822b", "#8a94a0"


def learning_curves(history: Sequence[Mapping[str, float]]) -> str:
    """Losses and validation accuracy over the epochs."""
    figure, (left, right) = _figure(9.0, 3.0, 2)
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["train_loss"] for row in history], color=BLUE, label="train", marker=".")
    left.plot(epochs, [row["val_loss"] for row in history], color=ORANGE, label="validation", marker=".")
    left.set(xlabel="epoch", ylabel="cross-entropy", ylim=(0, None))
    left.legend(frameon=False)
    for axes in (left, right):
        axes.locator_params(axis="x", integer=True)
    right.plot(epochs, [row["val_accuracy"] for row in history], color=ORANGE, marker=".")
    right.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1))
    return _svg(figure)


def bits_curve(history: Sequence[Mapping[str, float]], baselines: Mapping[str, float]) -> str:
    """A language model's bits per byte over the steps, beside those of simple means."""
    figure, axes = _figure(7.5, 3.6, 1)
    steps = [row["step"] for row in history]
    bits = [row["train_loss"] / math.log(2) for row in history]
    axes.plot(steps, bits, color=BLUE, label="train", marker=".")
    axes.plot(steps, [row["val_bits_per_byte"] for row in history], color=ORANGE, label="validation", marker=".")
    for (name, value), style in zip(baselines.items(), itertools.cycle((":", "--", "-.", (0, (1, 3))))):
        axes.axhline(value, color=GREY, linewidth=1, linestyle=style, label=f"{name}: {value:.2f}")
    axes.set(xlabel="step", ylabel="bits per byte", ylim=(0, None))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure)


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Rows: truth, columns: prediction; the colour is the share of the row, numbers are counts."""
    counts = np.array(matrix)
    size = len(classes)
    side = min(10.0, 2.2 + 0.42 * size)
    figure, axes = _figure(side, side, 1)
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(size), classes, rotation=90 if max(map(len, classes)) > 2 else 0)
    axes.set_yticks(range(size), classes)
    axes.set(xlabel="predicted", ylabel="true")
    if size <= 30:
        for i, j in zip(*counts.nonzero(), strict=True):
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, counts[i, j], ha="center", va="center", color=color, fontsize=7)
    for spine in axes.spines.values():
        spine.set_visible(True)
    return _svg(figure)


def modality_bars(accuracies: Mapping[str, Mapping[str, float]], all_of_them: float, majority: float) -> str:
    """Accuracy without each modality and with it alone, beside that with all."""
    names = list(accuracies)
    figure, axes = _figure(7.5, 0.9 + 0.55 * len(names), 1)
    places = np.arange(len(names))
    for key, shift, color in (("without", -0.18, ORANGE), ("alone", 0.18, BLUE)):
        values = [accuracies[name][key] for name in names]
        axes.barh(places + shift, values, height=0.34, color=color, label=key)
        for place, value in zip(places, values, strict=True):
            axes.text(value + 0.01, place + shift, f"{value:.3f}", va="center", fontsize=8)
    axes.axvline(all_of_them, color="black", linewidth=1, label=f"all: {all_of_them:.3f}")
    axes.axvline(majority, color=GREY, linewidth=1, linestyle=":", label=f"majority class: {majority:.3f}")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set(xlabel="accuracy", xlim=(0, 1.08))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure)


def _figure(width: float, height: float, columns: int) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: "Figure") -> str:
    import matplotlib

    buffer = io.StringIO()
    # Without a date and with fixed ids equal data gives equal bytes.
    with matplotlib.rc_context({"svg.hashsalt": "perceiver", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
