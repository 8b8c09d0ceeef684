"""Parquet files as shards: a row group is unpacked when one of its rows is asked for, and kept for a while."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from perceiver_pytorch.data.budget import ON_DISK, Budget
from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.predicate import Predicate
from perceiver_pytorch.data.remote.addresses import Root
from perceiver_pytorch.data.remote.errors import RemoteError
from perceiver_pytorch.data.remote.files import columns as cached_columns
from perceiver_pytorch.data.remote.files import opened
from perceiver_pytorch.data.remote.retries import retried
from perceiver_pytorch.data.remote.stores import state_of
from perceiver_pytorch.data.sources.base import Place, ReadOptions, Source, check_file
from perceiver_pytorch.data.sources.parquet_metadata import check_metadata, check_rows
from perceiver_pytorch.data.sources.parquet_size import ROW_BYTES, largest_size, unpacked_size
from perceiver_pytorch.data.sources.sharded import SPLIT, ShardedTable, split_of
from perceiver_pytorch.data.table import Table, arrow_array

KEPT_BYTES = 256 << 20  # of unpacked row groups, in each process
_IN_MEMORY = 1 << 30  # bytes of rows, unpacked, that are read whole where nobody says

_NUMBER = "\0number"  # of a row in its row group, while rows are chosen
T = TypeVar("T")

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
        return parquet_files(place.name, place.root, paths, options)


def parquet_files(source: str, root: Root, paths: Sequence[Root], options: ReadOptions) -> Table | ShardedTable:
    """The rows of Parquet files, read whole or where they are, as the options or their size say.

    Raises:
        DataError: one cannot be read.
    """
    read = parquet_table if _stays(options, paths) else whole_parquet
    return read(source, root, paths, options)


def _stays(options: ReadOptions, paths: Sequence[Root]) -> bool:
    """Whether the rows of Parquet files stay where they are."""
    if options.stream is not None:
        return options.stream
    arrow, size = need("pyarrow", "read tables"), 0
    try:
        for path in paths:
            with parquet_file(path) as file:
                groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
                size += sum(group.total_byte_size for group in groups)
            if size > _IN_MEMORY:
                return True
    except (arrow.ArrowException, OSError, UnicodeError):
        return False  # the reader says what is wrong
    return False


def parquet_file(path: Root, metadata: Any = None) -> Any:
    """A `pyarrow.parquet.ParquetFile`, here or elsewhere.

    Args:
        path: where it lies.
        metadata: of the file, if it has been opened before.

    Raises:
        OSError: its row groups have other rows than it tells of.
    """
    parquet = need("pyarrow.parquet", "read tables")
    if isinstance(path, Path):
        file = parquet.ParquetFile(path, metadata=metadata)
    else:
        file = retried(path, lambda: parquet.ParquetFile(opened(path), metadata=metadata, pre_buffer=True))
    if metadata is None:
        try:
            check_rows(file.metadata)
        except OSError:
            file.close()
            raise
    return file


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

    Attributes:
        called: what messages call it; its path, unless it was fetched from elsewhere.

    Raises:
        DataError: it is none.
    """

    def __init__(self, path: Root, kept: RowGroups, where: Predicate | None = None, unread: Iterable[str] = ()) -> None:
        self.path = self.called = path
        self._kept = kept
        self._metadata: Any = None
        self._version = "" if isinstance(path, Path) else state_of(path).version
        with self._opened() as file:
            self._metadata = metadata = file.metadata
            self.column_names = tuple(file.schema_arrow.names)
            self.metadata = file.schema_arrow.metadata
            schema = file.schema_arrow
        self._known = frozenset(self.column_names).difference(unread)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)], dtype=np.int64)
        self._chosen = None if where is None else self._chosen_rows(where, schema)
        self.num_rows = int(metadata.num_rows) if self._chosen is None else len(self._chosen)
        size = sum(group.total_byte_size for group in groups)
        self.nbytes = size * self.num_rows // max(1, metadata.num_rows)

    def _chosen_rows(self, where: Predicate, schema: Any) -> np.ndarray:
        """The numbers of the rows that a predicate holds for; of the others' row groups only the summary is read."""
        expression = where.expression(schema, str(self.path))
        found = []
        for group in groups_with(self.path, expression, where.columns):
            rows = self._kept.get(self, group, where.columns)
            numbered = rows.append_column(_NUMBER, arrow_array(np.arange(len(rows), dtype=np.int64)))
            found.append(where.rows(numbered, str(self.path)).column(_NUMBER).to_numpy() + self._starts[group])
        return np.concatenate([np.empty(0, np.int64), *found])

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> list[dict[str, Any]]:
        rows = rows if self._chosen is None else self._chosen[rows]
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
                    size = _asked(self.path, lambda: unpacked_size(file, self.path, group, columns, budget.limit))
                    budget.check(f"{self.called}: row group {group}", size, SMALLER_GROUPS)
                rows = self._columns(file, group, columns)
            rows.validate(full=True)  # a damaged file may hold texts that are none, or lists out of bounds
            return rows
        except RemoteError:
            raise
        except (arrow.ArrowException, OSError, UnicodeError) as error:
            raise DataError(f"{self.called}: row group {group} cannot be read ({error})") from error

    def _columns(self, file: Any, group: int, columns: tuple[str, ...]) -> Any:
        """Columns of a row group; those of a file elsewhere from the cache, if they are there."""

        def fetch(names: Sequence[str]) -> Any:
            return file.read_row_group(group, columns=list(names), use_threads=False)

        path = self.path
        if isinstance(path, Path):
            return fetch(columns)
        return cached_columns(path, self._version, group, columns, lambda names: retried(path, lambda: fetch(names)))

    def place(self, row: int) -> str:
        row = row if self._chosen is None else int(self._chosen[row])
        return f"{self.called.name}, its row {row}"

    def _opened(self) -> Any:
        """The file; not kept open, since there may be thousands, and worker processes."""
        arrow = need("pyarrow", "read tables")
        try:
            return parquet_file(self.path, self._metadata)
        except RemoteError:
            raise
        except (arrow.ArrowException, OSError, UnicodeError) as error:
            raise DataError(f"{self.called}: cannot be read as parquet: {error}") from error


def groups_with(path: Root, expression: Any, columns: Sequence[str]) -> list[int]:
    """The row groups of a Parquet file that may have rows of which an expression of Arrow's holds, by its summary.

    Args:
        path: of the file.
        expression: of Arrow's.
        columns: that it speaks of.

    Raises:
        DataError: the summary is damaged.
    """
    dataset = need("pyarrow.dataset", "read tables")
    if isinstance(path, Path):
        here = need("pyarrow.fs", "read tables").LocalFileSystem()
        fragment = dataset.ParquetFileFormat().make_fragment(str(path), here)
        return _groups_of(fragment, path, expression, columns)
    with opened(path) as file:
        return _groups_of(dataset.ParquetFileFormat().make_fragment(file), path, expression, columns)


def _groups_of(fragment: Any, path: Root, expression: Any, columns: Sequence[str]) -> list[int]:
    metadata = fragment.metadata
    try:
        for group in range(metadata.num_row_groups):
            check_metadata(metadata, group, columns)
    except OSError as error:
        raise DataError(f"{path}: cannot be read as parquet: {error}") from error
    return [group.id for group in fragment.subset(filter=expression).row_groups]


def parquet_table(source: str, root: Root, paths: Sequence[Root], options: ReadOptions | None = None) -> ShardedTable:
    """The rows of Parquet files, one after the other, left where they are.

    Raises:
        DataError: one is no Parquet file, or they have no rows.
    """
    options = options or ReadOptions()
    kept = RowGroups(budget=options.budget)
    shards = [ParquetShard(path, kept, options.where, options.unread) for path in paths]
    if options.where is not None and not any(shard.num_rows for shard in shards):
        raise options.where.holds_nowhere(source)
    kept.budget.check(source, ROW_BYTES * sum(shard.num_rows for shard in shards), "divide it into several tables")
    return ShardedTable(source, root, shards, metadata=shards[0].metadata, hosts=options.hosts, where=options.where)


def whole_parquet(source: str, root: Root, paths: Sequence[Root], options: ReadOptions | None = None) -> Table:
    """The same, read into memory.

    Raises:
        DataError: one is no Parquet file, they have different columns, or they take more memory than they may.
    """
    options, size = options or ReadOptions(), 0
    arrow = need("pyarrow", "read tables")
    splits = [split_of(path, root) if len(paths) > 1 else None for path in paths]
    parts = []
    for path, split in zip(paths, splits, strict=True):
        try:
            with parquet_file(path) as file:  # read_table makes columns out of folder names like "year=2020"
                groups = _groups(file, path, options.where)
                names = _needed(file.schema_arrow, path, options)
                size += _checked_size(file, groups, names, path, options.budget, size)
                rows = _whole(file, groups, names, path, options)
            rows.validate(full=True)  # a damaged file may hold texts that are none, or lists out of bounds
        except RemoteError:
            raise
        except (arrow.ArrowException, OSError, UnicodeError) as error:
            raise DataError(f"{path}: cannot be read as parquet: {error}") from error
        if all(splits) and SPLIT not in rows.column_names:
            rows = rows.append_column(SPLIT, arrow.array([split] * len(rows), arrow.string()))
        parts.append(rows)
    try:
        whole = arrow.concat_tables(parts, promote_options="permissive")
        return Table(source, root, whole)
    except arrow.ArrowException as error:
        raise DataError(f"{source}: the files have different columns ({error})") from error


def _groups(file: Any, path: Root, where: Predicate | None) -> Sequence[int]:
    """The row groups that have to be read."""
    if where is None:
        return range(file.num_row_groups)
    return groups_with(path, where.expression(file.schema_arrow, str(path)), where.columns)


def _needed(schema: Any, path: Root, options: ReadOptions) -> list[str] | None:
    """The columns of a file that have to be read; None: all."""
    unread = options.unread if options.where is None else options.unread.difference(options.where.columns)
    if isinstance(path, Path) or unread.isdisjoint(schema.names):
        return None
    return [name for name in schema.names if name not in unread]


def _asked(path: Root, call: Callable[[], T]) -> T:
    """What a call gives that reads a file; of one elsewhere it is called anew after errors that pass."""
    return call() if isinstance(path, Path) else retried(path, call)


def _whole(file: Any, groups: Sequence[int], names: list[str] | None, path: Root, options: ReadOptions) -> Any:
    """All rows of a file that are wanted. Of one elsewhere, row groups without such rows and columns that nobody needs
    do not travel; these columns are empty."""

    def read() -> Any:
        return file.read(names) if options.where is None else file.read_row_groups(list(groups), names)

    schema = file.schema_arrow
    rows = _asked(path, read)
    rows = rows if options.where is None else options.where.rows(rows, str(path))
    if len(rows.schema) == len(schema):
        return rows
    arrow = need("pyarrow", "read tables")
    there = set(rows.column_names)
    cells = [rows.column(f.name) if f.name in there else arrow.nulls(len(rows), f.type) for f in schema]
    return arrow.Table.from_arrays(cells, schema=schema)


def _checked_size(
    file: Any, groups: Sequence[int], names: list[str] | None, path: Root, budget: Budget, before: int
) -> int:
    """Bytes that some columns of a file's row groups take.

    Raises:
        DataError: they are more than a table may take, with the `before` of other files.
    """
    size = 0
    for group in groups:
        part = _asked(path, partial(unpacked_size, file, path, group, names, budget.limit))
        budget.check(f"{path}: row group {group}", part, SMALLER_GROUPS)  # on the disk it would not do either
        size += part
        budget.check(path, before + size, ON_DISK)
    return size
