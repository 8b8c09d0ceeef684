"""Shuffled batches, a round of them at a time, from any step of it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from perceiver_pytorch.training.run.ranks import rank, world

ALIKE = 16
"""Batches whose rows are sorted by length together. Of more, rows would meet the same others in every pass."""
NOBODY = -1
"""Stands in the place of a row where a rank has none of a batch, for all of them have to take part in every step."""


class EpochBatches(Sampler[list[int]]):
    """Batches of row places; the order depends on the seed and on how many came before, so a resumed run can take it up
    anywhere.

    What comes between two validations is a round, which Lightning calls an epoch. It is a pass over the rows; or it is
    so many batches, all full, of a stream that has one shuffled pass after the other.

    Args:
        size: number of rows.
        batch_size: rows per batch; the last of a pass may be smaller.
        seed: of the order.
        steps: batches of a round; None: a round is a pass.
        parts: where each part of the rows starts, for rows that are best read part by part (shards): the parts come in
            a random order, and rows are mixed within windows. None: all rows are mixed.
        window: rows in a window.
        lengths: of the rows. Where they are given, a batch has rows of like length: `ALIKE` batches at a time, as the
            pass has them in its random order, are sorted, and the batches then shuffled. They cannot go with parts.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        *,
        steps: int | None = None,
        parts: Sequence[int] | np.ndarray | None = None,
        window: int = 4096,
        lengths: np.ndarray | None = None,
    ) -> None:
        self.size = size
        self.steps = steps
        self.parts = None if parts is None else np.asarray(parts, dtype=np.int64)
        self.window = window
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.skip = 0
        """Batches to leave out at the start of the next round that is read, then forgotten."""

    def set_epoch(self, epoch: int) -> None:
        """Called before each round, with its number."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.size // self.batch_size) if self.steps is None else self.steps

    def __iter__(self) -> Iterator[list[int]]:
        first, self.skip = self.skip, 0
        if self.steps is None:
            order = self._order(self.epoch)
            for start in range(first * self.batch_size, self.size, self.batch_size):
                yield order[start : start + self.batch_size].tolist()
        else:
            yield from self._stream(self.epoch * self.steps + first, (self.epoch + 1) * self.steps)

    def _stream(self, first: int, end: int) -> Iterator[list[int]]:
        """The batches of these numbers, of one shuffled pass after the other."""
        number, start = divmod(first * self.batch_size, self.size)
        order = self._order(number)[start:]
        for _ in range(first, end):
            while len(order) < self.batch_size:
                number += 1
                order = np.concatenate([order, self._order(number)])
            yield order[: self.batch_size].tolist()
            order = order[self.batch_size :]

    def _order(self, number: int) -> np.ndarray:
        """The rows in the order of a pass."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        if self.parts is None:
            order = torch.randperm(self.size, generator=generator).numpy()
            return order if self.lengths is None else self._alike(order, number, generator)
        ends = [*self.parts[1:].tolist(), self.size]
        shuffled = torch.randperm(len(self.parts), generator=generator).tolist()
        order = np.concatenate([np.arange(self.parts[i], ends[i]) for i in shuffled])
        for start in range(0, self.size, self.window):
            rows = order[start : start + self.window]
            rows[:] = rows[torch.randperm(len(rows), generator=generator).numpy()]
        return order

    def _alike(self, order: np.ndarray, number: int, generator: torch.Generator) -> np.ndarray:
        """The order of a pass, with batches of rows of like length."""
        assert self.lengths is not None
        size = self.batch_size
        # In a stream the first rows of a pass complete the batch that the pass before began.
        first = 0 if self.steps is None else -number * self.size % size
        for start in range(first, self.size, ALIKE * size):
            rows = order[start : start + ALIKE * size]
            rows[:] = rows[np.argsort(self.lengths[rows], kind="stable")]
            full = len(rows) // size
            shuffled = torch.randperm(full, generator=generator).numpy()
            rows[: full * size] = rows[: full * size].reshape(full, size)[shuffled].ravel()
        return order


def bounds(size: int, number: int, ranks: int) -> tuple[int, int]:
    """Which of a batch's ``size`` rows belong to a rank: from, up to."""
    return size * number // ranks, size * (number + 1) // ranks


class OfRank(Sampler[list[int]]):
    """Of every batch of a sampler the rows of this rank; all of them where it is alone.

    The batches are those of one process, whatever the number of ranks: each row of them belongs to one rank.

    Args:
        batches: gives the places of each batch's rows.
    """

    def __init__(self, batches: Sampler[list[int]]) -> None:
        self.batches: Any = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for places in self.batches:
            start, stop = bounds(len(places), rank(), world())
            yield places[start:stop] or [NOBODY]

    def set_epoch(self, epoch: int) -> None:
        """As of `EpochBatches`; Lightning calls it for any order."""
        if hasattr(self.batches, "set_epoch"):
            self.batches.set_epoch(epoch)

    @property
    def skip(self) -> int:
        """As of `EpochBatches`."""
        return int(self.batches.skip)

    @skip.setter
    def skip(self, batches: int) -> None:
        self.batches.skip = batches
