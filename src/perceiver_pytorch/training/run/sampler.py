"""Shuffled batches of an epoch, from any step of it."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler


class EpochBatches(Sampler[list[int]]):
    """Batches of row places; the order depends on seed and epoch alone, so a resumed run can take it up anywhere.

    Args:
        size: number of rows.
        batch_size: rows per batch; the last may be smaller.
        seed: of the order.
        parts: where each part of the rows starts, for rows that are best read part by part (shards): the parts come in
            a random order, and rows are mixed within windows. None: all rows are mixed.
        window: rows in a window.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        *,
        parts: Sequence[int] | np.ndarray | None = None,
        window: int = 4096,
    ) -> None:
        self.size = size
        self.parts = None if parts is None else np.asarray(parts, dtype=np.int64)
        self.window = window
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.skip = 0
        """Batches to leave out at the start of the next epoch that is read, then forgotten."""

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order(self.seed * 1_000_003 + self.epoch)
        first, self.skip = self.skip, 0
        for start in range(first * self.batch_size, self.size, self.batch_size):
            yield order[start : start + self.batch_size].tolist()

    def _order(self, seed: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        if self.parts is None:
            return torch.randperm(self.size, generator=generator).numpy()
        ends = [*self.parts[1:].tolist(), self.size]
        shuffled = torch.randperm(len(self.parts), generator=generator).tolist()
        order = np.concatenate([np.arange(self.parts[i], ends[i]) for i in shuffled])
        for start in range(0, self.size, self.window):
            rows = order[start : start + self.window]
            rows[:] = rows[torch.randperm(len(rows), generator=generator).numpy()]
        return order
