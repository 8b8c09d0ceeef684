"""How long rows are: rows of like length share a batch, so that little of it is filled up."""

import math
from collections.abc import Sequence

import numpy as np

from perceiver_pytorch.data.dataset import Sample, TableDataset

_PORTION = 1024  # rows that are looked at together, in case they have to be decoded for it


def token_counts(dataset: TableDataset, places: Sequence[int] | None = None) -> np.ndarray:
    """int64 ``(places, modalities)``: the tokens that the rows at these places (None: all) have of each modality in
    memory; none of what is missing, is read in pieces, or cannot be read. Rows that are not kept are decoded for it."""
    places = range(len(dataset)) if places is None else places
    axes = [(modality.name, len(modality.axes)) for modality in dataset.spec.modalities]
    found: dict[int, list[int]] = {}
    for start in range(0, len(places), _PORTION):
        samples, _ = dataset.samples(places[start : start + _PORTION])
        found |= {sample.row: [_tokens(sample, *axis) for axis in axes] for sample in samples}
    none = [0] * len(axes)
    rows = dataset.rows[np.asarray(places, dtype=np.int64)].tolist()
    return np.array([found.get(row, none) for row in rows], dtype=np.int64).reshape(-1, len(axes))


def _tokens(sample: Sample, name: str, num_axes: int) -> int:
    encoded = sample.inputs[name]
    if encoded is None or encoded.pieces is not None:
        return 0
    return math.prod(encoded.values.shape[:num_axes])


def row_lengths(counts: np.ndarray) -> np.ndarray:
    """float64 ``(rows,)``: how long rows are in all. What is missing is as long as usual: rows that lack a modality are
    not to be among their like alone.

    Args:
        counts: of `token_counts`.
    """
    usual = counts.sum(0) / np.maximum((counts > 0).sum(0), 1)
    return np.where(counts > 0, counts, usual).sum(1)


def longest_first(dataset: TableDataset, places: Sequence[int]) -> list[int]:
    """Places of rows by how many tokens they have, the most first; as they are where all have as many, or where that
    is not known without decoding them."""
    if not dataset.all_kept:
        return list(places)
    lengths = token_counts(dataset, places).sum(1)
    return [places[i] for i in np.argsort(-lengths, kind="stable").tolist()]
