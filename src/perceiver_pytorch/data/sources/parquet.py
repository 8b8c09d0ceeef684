"""Parquet files as shards: a row group is unpacked when one of its rows is asked for, and kept for a while."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch.data.budget import ON_DISK, Budget
from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.sources.base import Place, ReadOptions, Source, check_file
from perceiver_pytorch.data.sources.parquet_size import ROW_BYTES, largest_size, unpacked_size
from perceiver_pytorch.data.sources.sharded import SPLIT, ShardedTable, split_of
from perceiver_pytorch.data.table import Table

KEPT_BYTES = 256 << 20  # of unpacked row groups, in each process
_IN_MEMORY = 1 << 30  # bytes of rows, unpacked, that are read whole where nobody says

SMALLER_GROUPS = "write the file with smaller row groups, and leave its rows on the disk with --stream"


class ParquetFiles(Source):
    """A Parquet file, several, or a folder of them; the rows of large ones stay on the disk."""

    suffixes = (".parquet",)

    def claims(self, place: Place) -> bool:
        return bool(place.files(".parquet"))

    def load(self, place: Place, options: ReadOptions) -> Table | ShardedTable:
        paths = place.files(".parquet")
        for path in paths:
            check_file(path)
        read = parquet_table if _stays(options, paths) else whole_parquet
        return read(place.name, place.root, paths, options.budget)


def _stays(options: ReadOptions, paths: list[Path]) -> bool:
    """Whether the rows of Parquet files stay on the disk."""
    if options.stream is not None:
        return options.stream
    parquet, arrow = need("pyarrow.parquet", "read tables"), need("pyarrow", "read tables")
    try:
        metadata = [parquet.read_metadata(path) for path in paths]
    except (arrow.ArrowException, OSError, UnicodeError):
        return False  # the reader says what is wrong
    return sum(m.row_group(i).total_byte_size for m in metadata for i in range(m.num_row_groups)) > _IN_MEMORY


class RowGroups:
    """The row groups that were asked for last, up to a number of bytes (one at least).

    Args:
        limit: bytes.
        budget: memory that one row group may take.
    """

    def __init__(self, limit: int = KEPT_BYTES, budget: Budget | None = None) -> None:
        self.limit = limit
        self.budget = budget or Budget.of(None)
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._size = 0

    def get(self, shard: "ParquetShard", group: int, columns: tuple[str, ...]) -> Any:
        """Columns of a row group as a `pyarrow.Table`."""
        key = (shard.path, group, columns)
        if key not in self._kept:
            rows = shard.unpack(group, columns)
            self._kept[key] = rows
            self._size += rows.nbytes
            while self._size > self.limit and len(self._kept) > 1:
                self._size -= self._kept.popitem(last=False)[1].nbytes
        self._kept.move_to_end(key)
        return self._kept[key]


class ParquetShard:
    """One Parquet file.

    Raises:
        DataError: it is none.
    """

    def __init__(self, path: Path, kept: RowGroups) -> None:
        self.path = path
        self._kept = kept
        self._metadata: Any = None
        with self._opened() as file:
            self._metadata = metadata = file.metadata
            self.column_names = tuple(file.schema_arrow.names)
            self.metadata = file.schema_arrow.metadata
        self._known = frozenset(self.column_names)
        self.num_rows = int(metadata.num_rows)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        self.nbytes = sum(group.total_byte_size for group in groups)
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)], dtype=np.int64)

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> list[dict[str, Any]]:
        there = tuple(name for name in columns if name in self._known)
        missing = {name: None for name in columns if name not in self._known}
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        cells: list[dict[str, Any]] = [{} for _ in rows]
        for group in np.unique(groups):
            places = np.flatnonzero(groups == group)
            part = self._kept.get(self, int(group), there).take(rows[places] - self._starts[group])
            for place, row in zip(places, part.to_pylist() if there else [{}] * len(places), strict=True):
                cells[place] = {**row, **missing}
        return cells

    def unpack(self, group: int, columns: tuple[str, ...]) -> Any:
        """Columns of a row group, read from the file."""
        arrow, budget = need("pyarrow", "read tables"), self._kept.budget
        try:
            with self._opened() as file:
                if largest_size(file, group, columns) > budget.limit:
                    size = unpacked_size(file, self.path, group, columns, budget.limit)
                    budget.check(f"{self.path}: row group {group}", size, SMALLER_GROUPS)
                rows = file.read_row_group(group, columns=list(columns), use_threads=False)
            rows.validate(full=True)  # a damaged file may hold texts that are none, or lists out of bounds
            return rows
        except (arrow.ArrowException, OSError, UnicodeError) as error:
            raise DataError(f"{self.path}: row group {group} cannot be read ({error})") from error

    def place(self, row: int) -> str:
        return f"{self.path.name}, its row {row}"

    def _opened(self) -> Any:
        """The file; not kept open, since there may be thousands, and worker processes."""
        arrow, parquet = need("pyarrow", "read tables"), need("pyarrow.parquet", "read tables")
        try:
            return parquet.ParquetFile(self.path, metadata=self._metadata)
        except (arrow.ArrowException, OSError, UnicodeError) as error:
            raise DataError(f"{self.path}: cannot be read as parquet: {error}") from error


def parquet_table(source: str, root: Path, paths: Sequence[Path], budget: Budget | None = None) -> ShardedTable:
    """The rows of Parquet files, one after the other.

    Raises:
        DataError: one is no Parquet file, or they have no rows.
    """
    kept = RowGroups(budget=budget)
    shards = [ParquetShard(path, kept) for path in paths]
    kept.budget.check(source, ROW_BYTES * sum(shard.num_rows for shard in shards), "divide it into several tables")
    return ShardedTable(source, root, shards, metadata=shards[0].metadata)


def whole_parquet(source: str, root: Path, paths: Sequence[Path], budget: Budget | None = None) -> Table:
    """The same, read into memory.

    Raises:
        DataError: one is no Parquet file, they have different columns, or they take more memory than they may.
    """
    budget, size = budget or Budget.of(None), 0
    arrow, parquet = need("pyarrow", "read tables"), need("pyarrow.parquet", "read tables")
    splits = [split_of(path, root) if len(paths) > 1 else None for path in paths]
    parts = []
    for path, split in zip(paths, splits, strict=True):
        try:
            with parquet.ParquetFile(path) as file:  # read_table makes columns out of folder names like "year=2020"
                size += _checked_size(file, path, budget, size)
                rows = file.read()
            rows.validate(full=True)  # a damaged file may hold texts that are none, or lists out of bounds
        except (arrow.ArrowException, OSError, UnicodeError) as error:
            raise DataError(f"{path}: cannot be read as parquet: {error}") from error
        if all(splits) and SPLIT not in rows.column_names:
            rows = rows.append_column(SPLIT, arrow.array([split] * len(rows), arrow.string()))
        parts.append(rows)
    try:
        return Table(source, root, arrow.concat_tables(parts, promote_options="permissive"))
    except arrow.ArrowException as error:
        raise DataError(f"{source}: the files have different columns ({error})") from error


def _checked_size(file: Any, path: Path, budget: Budget, before: int) -> int:
    """Bytes that the rows of a file take.

    Raises:
        DataError: they are more than a table may take, with the `before` of other files.
    """
    size = 0
    for group in range(file.num_row_groups):
        part = unpacked_size(file, path, group, None, budget.limit)
        budget.check(f"{path}: row group {group}", part, SMALLER_GROUPS)  # on the disk it would not do either
        size += part
        budget.check(path, before + size, ON_DISK)
    return size
