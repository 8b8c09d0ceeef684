"""Shuffled batches of an epoch, from any step of it."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class EpochBatches(Sampler[list[int]]):
    """Batches of row places; the order depends on seed and epoch alone, so a resumed run can take it up anywhere.

    Args:
        size: number of rows.
        batch_size: rows per batch; the last may be smaller.
        seed: of the order.
    """

    def __init__(self, size: int, batch_size: int, seed: int) -> None:
        self.size = size
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
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.size, generator=generator).tolist()
        first, self.skip = self.skip, 0
        for start in range(first * self.batch_size, self.size, self.batch_size):
            yield order[start : start + self.batch_size]
