"""The rows of a table, some at a time, and what is kept of their answers."""

from collections.abc import Iterator, Mapping

import numpy as np

from perceiver_pytorch.data import InputSpec, Sample, TableDataset
from perceiver_pytorch.data.stacking import Stacked

BATCH = 256
"""Rows that a graph computes at once."""


class Kept:
    """Gathers what is known of rows, batch by batch."""

    def __init__(self, spec: InputSpec) -> None:
        self.rows: list[np.ndarray] = []
        self.values: dict[str, list[np.ndarray]] = {target.name: [] for target in spec.targets}
        self.has: dict[str, list[np.ndarray]] = {modality.name: [] for modality in spec.modalities}
        self.latents: list[np.ndarray] = []

    def add(self, batch: Stacked, values: Mapping[str, np.ndarray], latents: np.ndarray | None) -> None:
        self.rows.append(batch.rows)
        for name, parts in self.values.items():
            parts.append(values[name])
        for name, parts in self.has.items():
            parts.append(present(batch, name))
        self.latents += [] if latents is None else [latents]

    def joined(self) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray | None]:
        values = {name: np.concatenate(parts) for name, parts in self.values.items()}
        has = {name: np.concatenate(parts) for name, parts in self.has.items()}
        return np.concatenate(self.rows), values, has, np.concatenate(self.latents) if self.latents else None


def present(batch: Stacked, modality: str) -> np.ndarray:
    """bool ``(rows,)``: which rows of a batch have a real token of a modality."""
    mask = batch.masks.get(modality)
    return np.ones(len(batch.rows), dtype=bool) if mask is None else np.any(mask.reshape(len(mask), -1), axis=1)


def batches(dataset: TableDataset) -> Iterator[tuple[int, list[Sample]]]:
    """The good rows of a data set, some at a time, and how many rows are read then.

    Raises:
        DataError: for a bad row, unless such rows are skipped.
    """
    for start in range(0, len(dataset), BATCH):
        places = range(start, min(start + BATCH, len(dataset)))
        samples, bad = dataset.samples(places)
        if bad and dataset.on_error == "raise":
            raise dataset.error(bad[0])
        dataset.bad |= {entry.row: entry for entry in bad}
        dataset.oddities |= {sample.row: odd for sample in samples if (odd := sample.unusual)}
        if not dataset.prepared:
            dataset.losses.count_all([sample.row for sample in samples], {s.row: s.changes for s in samples})
        yield places[-1] + 1, samples
