"""Rows of a table as data sets, as a configuration says."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from perceiver_pytorch._processes import worded_deaths
from perceiver_pytorch.data import BadRow, InputSpec, ReadOptions, ShardedTable, TableDataset, TableLike
from perceiver_pytorch.data.predicate import Predicate
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.settings import DataConfig

DECODING = 0.3
"""Share of the time left that decoding the rows of a split beforehand may take."""
MANY_ROWS = 250_000
"""Of more rows than these none is decoded beforehand: even short ones would take longer than people wait."""


def read_options(data: DataConfig, spec: InputSpec | None = None) -> ReadOptions:
    """How the configuration wants tables read.

    Args:
        spec: what a run learned when it began; None: it begins now.
    """
    if spec is None:
        settings = ("decimal", "thousands", "date_format")
        as_written: Any = tuple(name for name, own in data.column_options.items() if any(own.get(s) for s in settings))
    else:
        as_written = None if spec.spellings is None else spec.spellings.as_written
    return ReadOptions(
        encoding=data.encoding,
        delimiter=data.delimiter,
        skip_lines=data.skip_lines,
        header=data.header,
        quoting=data.quoting,
        skip_bad=data.on_error == "skip",
        stream=data.stream,
        table_mb=data.table_mb,
        as_written=as_written,
        decimal=data.decimal,
        where=None if data.where is None else Predicate.of(data.where),
        unread=frozenset(name for name, kind in data.columns.items() if kind == "ignore"),
        hosts=tuple(data.allow_web),
    )


def make_dataset(
    table: TableLike,
    rows: np.ndarray,
    spec: InputSpec,
    data: DataConfig,
    *,
    require_target: bool = True,
    workers: int | None = None,
) -> TableDataset:
    """A data set of these rows.

    Args:
        rows: int64 row numbers.
        spec: what the model reads and predicts.
        data: what to do with bad rows, and how much to keep in memory.
        require_target: whether a row without the target is bad.
        workers: processes that decode; 0: this one; None: one a core where there is much to decode.
    """
    return TableDataset(
        table,
        rows,
        spec,
        on_error="skip" if data.on_error == "skip" else "raise",
        allow_outside=data.allow_outside,
        cache_bytes=0 if isinstance(table, ShardedTable) else data.cache_mb << 20,
        require_target=require_target,
        workers=workers,
        cell_bytes=data.cell_mb << 20,
    )


class _NoTimeError(Exception):
    """Decoding has taken its share of a time limit."""


def decode_where_it_fits(
    dataset: TableDataset, title: str, reporter: Reporter, deadline: Deadline | None = None
) -> None:
    """Decodes all rows once and keeps them; or none, where they would not fit or are to stay on the disk: then a row is
    decoded, and found to be bad, when it is needed.

    Unless rows may be skipped (which ones are left then says what is trained on), neither are `MANY_ROWS` decoded, and
    with a ``deadline`` it stops after a share of the time that is left.
    """
    may_wait = dataset.on_error == "raise"
    if isinstance(dataset.table, ShardedTable) or not dataset.fits() or (may_wait and len(dataset) > MANY_ROWS):
        return
    until = None
    if deadline is not None and may_wait:
        until = Deadline(DECODING * deadline.left())
    with suppress(_NoTimeError), worded_deaths(), reporter.step(title) as progress:
        dataset.prepare(progress if until is None else _until(until, progress))


def _until(deadline: Deadline, progress: Callable[[int, int], None] | None) -> Callable[[int, int], None]:
    """``progress``, which ends what it is told of once the time is up."""

    def told(done: int, total: int) -> None:
        if done < total and deadline.left() <= 0:
            raise _NoTimeError
        if progress is not None:
            progress(done, total)

    return told


def bad_rows(datasets: dict[str, TableDataset]) -> list[BadRow]:
    """All that were met, by their number."""
    found = {row: entry for dataset in datasets.values() for row, entry in dataset.bad.items()}
    return [found[row] for row in sorted(found)]
