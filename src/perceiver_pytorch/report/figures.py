"""The report's drawings, as SVG text: nothing is fetched when the page is opened.

A drawing that fails says so in its place; a run of hours does not end by it.
"""

import functools
import html
import io
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from perceiver_pytorch.data.targets.report_parts import BLUE, GREY, ORANGE, Drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

_STYLE: Any = {
    # Names are drawn as they are written: two dollar signs in a name are no formula.
    "text.parse_math": False,
    # Without a date and with fixed ids equal data gives equal bytes.
    "svg.hashsalt": "perceiver",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
}
_LONGEST_REASON = 160


def in_its_place(draw: Callable[P, str]) -> Callable[P, str]:
    """``draw``, which gives an SVG with the reason where it fails."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            with _style():
                return draw(*args, **kwargs)
        except Exception as error:
            return _reason(error)

    return drawn


@in_its_place
def learning_curves(history: Sequence[Mapping[str, float]], measure: str, title: str) -> str:
    """Losses, and the validation score called ``measure``, over the epochs."""
    figure, (left, right) = _figure(9.0, 3.0, 2)
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["train_loss"] for row in history], color=BLUE, label="train", marker=".")
    left.plot(epochs, [row["val_loss"] for row in history], color=ORANGE, label="validation", marker=".")
    left.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    left.legend(frameon=False)
    for axes in (left, right):
        axes.locator_params(axis="x", nbins=6, integer=all(epoch == int(epoch) for epoch in epochs))
    values = [row[measure] for row in history]
    right.plot(epochs, values, color=ORANGE, marker=".")
    right.set(xlabel="epoch", ylabel=f"validation {title}", ylim=(min(0, *values), 1))
    return _svg(figure)


@in_its_place
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


@in_its_place
def drawn(drawing: Drawing) -> str:
    """What a target draws."""
    figure, axes = _figure(drawing.width, drawing.height, 1)
    drawing.draw(axes)
    return _svg(figure)


@in_its_place
def drawn_by(draw: Callable[[], Any]) -> str:
    """What a library draws by pyplot; ``draw`` gives its axes, one or an array of them."""
    import matplotlib
    from matplotlib import pyplot

    before = set(pyplot.get_fignums())
    try:
        with matplotlib.rc_context({"text.parse_math": True}):  # for the numbers of a logarithmic axis
            axes = np.ravel(np.asarray(draw(), dtype=object))
            figure = axes[0].figure
            figure.set_size_inches(max(9.0, 3.0 * len(axes)), figure.get_figheight())
            return _svg(figure, bbox_inches="tight")
    finally:
        for number in set(pyplot.get_fignums()) - before:
            pyplot.close(number)


@in_its_place
def combinations(measured: Sequence[Mapping[str, Any]], title: str, baseline: tuple[str, float] | None) -> str:
    """The score of each combination of modalities, and beside it which of them are present."""
    names = [*measured[0]["present"]]
    height = 1.1 + 0.27 * len(measured)
    figure, (left, right) = _figure(2.6 + 0.42 * len(names) + 4.4, height, 2, widths=(0.42 * len(names) + 0.3, 4.4))
    places = range(len(measured))
    for place, entry in zip(places, measured, strict=True):
        columns = [names.index(name) for name in entry["present"]]
        left.scatter(range(len(names)), [place] * len(names), s=26, color="#e3e7ec", linewidths=0)
        left.plot(columns, [place] * len(columns), color=BLUE, marker="o", markersize=5, linewidth=1.2)
    left.set_xticks(range(len(names)), names, rotation=90)
    left.xaxis.tick_top()
    left.set_yticks([])
    left.spines[["left", "bottom"]].set_visible(False)
    left.tick_params(length=0)
    scores = [entry["score"] for entry in measured]
    right.barh(places, scores, height=0.62, color=[BLUE, *[ORANGE] * (len(scores) - 1)])
    span = max(1.0, *scores) - min(0.0, *scores)
    for place, value in zip(places, scores, strict=True):
        right.text(max(value, 0) + 0.012 * span, place, f"{value:.3f}", va="center", fontsize=8)
    if baseline is not None:
        right.axvline(
            baseline[1], color="#3c4650", linewidth=1.2, linestyle=":", label=f"{baseline[0]}: {baseline[1]:.3f}"
        )
        right.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    right.set(xlabel=title, yticks=[], xlim=(min(0.0, *scores), max(1.0, *scores) + 0.1 * span))
    for axes in (left, right):
        axes.set_ylim(len(measured) - 0.4, -0.6)
    return _svg(figure)


@in_its_place
def importance(columns: Mapping[str, Mapping[str, float]], title: str, most: int = 40) -> str:
    """By how much the score falls where a column's cells change rows, with intervals; the columns that count first."""
    shown = sorted(columns.items(), key=lambda pair: -pair[1]["drop"])[:most]
    figure, axes = _figure(7.5, 0.9 + 0.27 * len(shown), 1)
    places = range(len(shown))
    drops = np.array([each["drop"] for _, each in shown])
    ends = np.array([[each["low"], each["high"]] for _, each in shown]).T
    axes.barh(places, drops, height=0.62, color=BLUE)
    axes.errorbar(drops, places, xerr=np.abs(ends - drops), fmt="none", ecolor="#1c2530", capsize=3, linewidth=1)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_yticks(places, [name if len(name) <= 40 else f"{name[:39]}…" for name, _ in shown])
    axes.set(xlabel=f"fall of the {title}", ylim=(len(shown) - 0.4, -0.6))
    return _svg(figure)


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Browsers have fonts for letters that the one here lacks, which only measures them.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def _reason(error: Exception) -> str:
    """An SVG that says why there is no figure."""
    first = next(iter(str(error).strip().splitlines()), "")
    words = f"This figure could not be drawn: {first or type(error).__name__}"
    text = "".join(letter for letter in words[:_LONGEST_REASON] if letter.isprintable())
    width = 8 * len(text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="24" viewBox="0 0 {width} 24">'
        f'<text x="0" y="16" font-family="sans-serif" font-size="13">{html.escape(text)}</text></svg>'
    )


def _figure(width: float, height: float, columns: int, widths: tuple[float, ...] | None = None) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, width_ratios=widths)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: "Figure", **options: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, **options)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
