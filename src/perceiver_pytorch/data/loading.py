"""Batches of a data set's rows, decoded here or in worker processes, and how long they were waited for."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from perceiver_pytorch.data.batch import Batch, collate
from perceiver_pytorch.data.dataset import BadRow, TableDataset
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.losses import Change
from perceiver_pytorch.data.media import decoder
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.workers import as_it_is, begin, usual_workers

_SEARCHED = 1000  # rows tried where a whole batch is bad


@dataclass(frozen=True, eq=False)
class Read:
    """What was read for one batch: its good rows (None: there is none), its bad ones, what its cells lost, and what
    about them is unlike the train rows."""

    batch: Batch | None
    bad: list[BadRow]
    changes: dict[int, list[tuple[str, Change]]]
    oddities: dict[int, list[tuple[str, Oddity]]]


class BatchReader(Dataset[Read]):
    """Reads a batch at a time.

    Args:
        dataset: the rows.
        fill: where all rows of a batch are bad, take the next good one in the data set's order: a training step needs
            something to learn from.
        shared: batches are parts of larger ones, which other processes read. Where one has no good row, some row stands
            in its place, under the number -1, and counts for nothing.
    """

    def __init__(self, dataset: TableDataset, fill: bool, shared: bool = False) -> None:
        self.dataset = dataset
        self.fill = fill and not shared
        self.shared = shared

    def __getitem__(self, places: Sequence[int]) -> Read:
        """The batch of the rows at these places, none of which are below 0; bad rows are told rather than raised, since
        an error that crosses processes loses what it says."""
        places = [place for place in places if place >= 0]
        if not places:
            return Read(self._of_no_row(), [], {}, {})
        samples, bad = self.dataset.samples(places)
        start = places[-1] + 1
        for place in range(start, start + _SEARCHED) if self.fill and not samples else ():
            samples, _ = self.dataset.samples([place % len(self.dataset)])
            if samples:
                break
        new = [] if self.dataset.prepared else samples  # else they are counted
        changes = {sample.row: found for sample in new if (found := sample.changes)}
        oddities = {sample.row: odd for sample in samples if (odd := sample.unusual)}
        if not samples:
            return Read(self._of_no_row() if self.shared else None, bad, {}, {})
        return Read(collate(samples, self.dataset.spec), bad, changes, oddities)

    def _of_no_row(self) -> Batch | None:
        """Some row under the number -1; None where none can be used."""
        for place in range(min(_SEARCHED, len(self.dataset))):
            samples, _ = self.dataset.samples([place])
            if samples:
                batch = collate(samples, self.dataset.spec)
                return replace(batch, rows=torch.full_like(batch.rows, -1))
        return None


class Listed(Sampler[list[int]]):
    """Batches of places, in the order that is given.

    Args:
        places: of rows.
        batch_size: of them in a batch; the last may have fewer.
    """

    def __init__(self, places: Sequence[int], batch_size: int) -> None:
        self.places = places
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.places) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self.places), self.batch_size):
            yield list(self.places[start : start + self.batch_size])


class InOrder(Listed):
    """Batches of places from first to last."""

    def __init__(self, size: int, batch_size: int) -> None:
        super().__init__(range(size), batch_size)


@dataclass
class Waiting:
    """Seconds waited for data, and in all, between the first batch of an epoch and its end."""

    waited: float = 0.0
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """The share of the time that was spent waiting for data; 0 of no time."""
        return self.waited / self.seconds if self.seconds else 0.0


class BatchLoader(DataLoader[Read]):
    """The batches of a data set, in the order of a sampler; whatever the number of workers, they are the same.

    Args:
        dataset: the rows.
        sampler: gives the places of each batch's rows.
        fill, shared: see `BatchReader`.

    Attributes:
        waiting: how long was waited for data.

    Raises:
        DataError: on iteration, for a bad row of a data set that skips none.
    """

    def __init__(
        self, dataset: TableDataset, sampler: Sampler[list[int]], *, fill: bool = False, shared: bool = False
    ) -> None:
        workers = _workers(dataset)
        if workers:
            decoder.close()  # each has its own from now on
        super().__init__(
            BatchReader(dataset, fill, shared),
            batch_size=None,
            sampler=sampler,
            collate_fn=as_it_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_start_worker,
        )
        self.rows = dataset
        self.waiting = Waiting()

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        source = super().__iter__()
        start = asked = time.monotonic()
        before = self.waiting.seconds
        while True:
            read = next(source, None)
            now = time.monotonic()
            self.waiting.waited += now - asked
            self.waiting.seconds = before + now - start
            if read is None:
                return
            if read.bad and self.rows.on_error == "raise":
                raise self.rows.error(read.bad[0])
            self.rows.oddities |= read.oddities
            self.rows.bad |= {entry.row: entry for entry in read.bad}
            if read.batch is not None:
                if not self.rows.prepared and read.batch.rows[0] >= 0:
                    self.rows.losses.count_all(read.batch.rows.tolist(), read.changes)
                yield read.batch
            elif self.dataset.fill or self.dataset.shared:  # type: ignore[attr-defined]
                why = "".join(f": {entry.reason}" for entry in read.bad[:1])
                raise DataError(f"{self.rows.table.source}: none of {_SEARCHED} rows can be used{why}")
            asked = time.monotonic()


def in_order(dataset: TableDataset, batch_size: int) -> BatchLoader:
    """All rows, first to last; those that are bad are left out."""
    return BatchLoader(dataset, InOrder(len(dataset), batch_size))


def _workers(dataset: TableDataset) -> int:
    """What was asked for; else none where all rows are kept decoded, and one per core where not."""
    if dataset.workers is not None:
        return dataset.workers
    return 0 if dataset.prepared else usual_workers()


def _start_worker(worker: int) -> None:
    """Each worker keeps its part of what may be kept."""
    begin(worker)
    info = get_worker_info()
    assert info is not None
    assert isinstance(info.dataset, BatchReader)
    info.dataset.dataset.share_cache(info.num_workers)
