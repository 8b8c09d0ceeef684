"""Which classes are taken for which, of two classes or of a thousand."""

from collections.abc import Sequence
from typing import Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.targets.report_parts import Drawing, Section

MOST_COUNTED = 30
"""Classes of a matrix whose cells have their counts in them."""
MOST_NAMED = 60
"""Classes of a matrix that names them all; of more, some are named, and the commonest confusions are listed."""
_LISTED = 20
_TICKS = 24


def confusion_sections(classes: Sequence[str], counts: "np.ndarray", of: str) -> list[Section]:
    """Args:
    classes: their names.
    counts: int ``(classes, classes)``: rows are the truth, columns the prediction.
    of: what headings end with.
    """
    size = len(classes)
    side = min(10.0, 2.2 + 0.42 * size) if size <= MOST_NAMED else 8.0
    note = "A colour is the share of a true class's rows" + ("; numbers are rows." if size <= MOST_COUNTED else ".")
    if size > MOST_NAMED:
        note = (
            "A dot is a pair of classes, darker where more of a class's rows are taken for the other; white has none."
        )
    matrix = Section(f"Confusion matrix{of}", Drawing(side, side, lambda axes: _draw(axes, classes, counts)), note=note)
    return [matrix] if size <= MOST_COUNTED else [matrix, *_commonest(classes, counts, of)]


def _draw(axes: Any, classes: Sequence[str], counts: "np.ndarray") -> None:
    """Rows: truth, columns: prediction; the colour is the share of the row, numbers are counts."""
    size = len(classes)
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    if size > MOST_NAMED:
        shares = _widened(np.sqrt(shares), max(0, size // 400))  # what is rare and small is to be seen, too
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="none" if size <= MOST_NAMED else "nearest")
    places = range(0, size, 1 if size <= MOST_NAMED else -(-size // _TICKS))
    names = [_short(classes[i]) for i in places]
    axes.set_xticks(places, names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(places, names)
    axes.set(xlabel="predicted", ylabel="true")
    if size <= MOST_COUNTED:
        for i, j in zip(*counts.nonzero(), strict=True):
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, counts[i, j], ha="center", va="center", color=color, fontsize=7)
    for spine in axes.spines.values():
        spine.set_visible(True)


def _widened(shares: "np.ndarray", by: int) -> "np.ndarray":
    """Each dot as large as can be seen: the greatest of its neighbours' shares."""
    if not by:
        return shares
    padded = np.pad(shares, by)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * by + 1, 2 * by + 1))
    return windows.max((-2, -1))


def _commonest(classes: Sequence[str], counts: "np.ndarray", of: str) -> list[Section]:
    """The pairs that are confused most often."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_LISTED]
    pairs = [divmod(int(place), len(classes)) for place in order if wrong.flat[place]]
    if not pairs:
        return []
    of_class = counts.sum(1)
    rows = [
        [
            f"{_short(classes[i])} taken for {_short(classes[j])}",
            f"{wrong[i, j]:,}",
            f"{100 * wrong[i, j] / of_class[i]:.0f} %",
        ]
        for i, j in pairs
    ]
    return [Section(f"Commonest confusions{of}", header=("true and predicted", "rows", "of the class"), rows=rows)]


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
