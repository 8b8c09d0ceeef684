"""Scores of parts of the rows: a class, a range of a number, a category, rows that have or lack a modality."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from perceiver_pytorch.data import Predictions, TableDataset, Target
from perceiver_pytorch.data.targets import intervals

LEAST_ROWS = 5
"""Of a slice: fewer say nothing."""
_MOST_ROWS = 20_000  # whose cells are read
_MOST_SLICES = 12  # of a column


@dataclass(frozen=True)
class Slice:
    """A part of the rows and its score.

    Attributes:
        by: what the rows are divided by.
        name: of the part.
        rows: with a known target.
        score: the mean of `Target.row_scores`.
        low, high: its 95 % interval.
        differs: whether the interval lies wholly beside the score of all rows.
    """

    by: str
    name: str
    rows: int
    score: float
    low: float
    high: float
    differs: bool


def slices(dataset: TableDataset, predictions: Predictions, target: Target) -> list[Slice]:
    """Every slice of `LEAST_ROWS` rows or more, those of a column together."""
    encoded = predictions.encoded[target.name]
    known = target.known(encoded).nonzero().flatten()
    if len(known) > _MOST_ROWS:
        known = known[torch.linspace(0, len(known) - 1, _MOST_ROWS).long()]
    if not len(known):
        return []
    outputs, truth = predictions.outputs[target.name][known].float(), encoded[known]
    scores = target.row_scores(outputs, truth).double().numpy()
    found: list[Slice] = []
    for by, names in _divisions(dataset, predictions, target, known, truth):
        found += _of(by, names, scores)
    return found


def _divisions(
    dataset: TableDataset, predictions: Predictions, target: Target, known: torch.Tensor, truth: torch.Tensor
) -> list[tuple[str, list[str | None]]]:
    """What rows are divided by, and each row's part; None: of none."""
    found: list[tuple[str, list[str | None]]] = []
    if (classes := target.slices_of(truth)) is not None:
        found.append((f"true {target.name}", list(classes)))
    for name, there in predictions.present.items():
        if not bool(there[known].all()) and bool(there[known].any()):
            found.append((f"modality {name}", ["there" if has else "missing" for has in there[known].tolist()]))
    divided = [
        (column, modality) for modality in dataset.spec.modalities for column in modality.columns if modality.sliced
    ]
    if divided:
        rows = predictions.rows[known].numpy()
        cells = {column: [None] * len(rows) for column, _ in divided}
        places = {int(row): i for i, row in enumerate(rows)}
        for row, given in dataset.table.iterate(np.sort(rows), list(cells)):
            for column in cells:
                cells[column][places[row]] = given[column]
        found += [(column, modality.slices_of(column, cells[column])) for column, modality in divided]
    return found


def _of(by: str, names: Sequence[str | None], scores: np.ndarray) -> list[Slice]:
    whole, found = float(scores.mean()), []
    each = np.array([name is not None for name in names])
    order = list(dict.fromkeys(sorted((name for name in names if name is not None), key=_natural)))
    for name in order:
        chosen = scores[np.array([one == name for one in names]) & each]
        if len(chosen) < LEAST_ROWS:
            continue
        low, high = interval(chosen)
        differs = len(chosen) < len(scores) and not low <= whole <= high
        found.append(Slice(by, name, len(chosen), float(chosen.mean()), low, high, differs))
    if len(found) > _MOST_SLICES:
        chosen_ones = sorted(found, key=lambda one: -one.rows)[:_MOST_SLICES]
        found = [one for one in found if one in chosen_ones]
    return found if len(found) > 1 else []


def interval(scores: np.ndarray) -> tuple[float, float]:
    """95 % of the mean: Wilson's of zeros and ones, else by the standard error."""
    mean = float(scores.mean())
    if ((scores == 0) | (scores == 1)).all():
        return intervals.wilson(mean, len(scores))
    half = 1.959964 * float(scores.std(ddof=1)) / math.sqrt(len(scores))
    return mean - half, mean + half


def _natural(name: str) -> tuple[int, float, str]:
    """Numbers by their value, before words; what is below one is before it."""
    least = name.removeprefix("below ")
    try:
        return 0, float(least.split(" ", 1)[0].replace(",", "")), "" if least != name else name
    except ValueError:
        return 1, 0.0, name
