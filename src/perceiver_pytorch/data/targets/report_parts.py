"""Parts of a report that a target fills and the report draws."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perceiver_pytorch._lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

BLUE, ORANGE, GREY = "#2563a8", "#d9822b", "#8a94a0"


@dataclass(frozen=True)
class Answer:
    """What a model says about a row: the prediction, the truth where it is known, and whether the two agree.

    ``right`` is None where that is no yes or no.
    """

    prediction: str
    truth: str | None = None
    right: bool | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        width, height: inches.
        draw: called with matplotlib axes.
    """

    width: float
    height: float
    draw: Callable[[Any], None]


@dataclass(frozen=True)
class Section:
    """A heading with a drawing, a table and a note under it, as far as they are given.

    Attributes:
        heading: a few words.
        drawing: a figure.
        header: names of the table's columns.
        rows: the table's cells: text in the first column, numbers in the others.
        note: a sentence in small print.
    """

    heading: str
    drawing: Drawing | None = None
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    note: str = ""


def spread(values: "Tensor", count: int) -> "Tensor":
    """``count`` of the values, evenly spread; all if there are fewer."""
    if len(values) <= count:
        return values
    return values[torch.linspace(0, len(values) - 1, count).long()]


def interval_text(interval: Mapping[str, Any] | None) -> str:
    """`` (0.91–0.97)``, to stand behind a score; empty where it has no interval."""
    return "" if interval is None else f" ({interval['low']:.3g}–{interval['high']:.3g})"
