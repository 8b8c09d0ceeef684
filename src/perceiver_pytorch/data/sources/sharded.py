"""Tables that stay on the disk: rows in shards, read where they are needed."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from perceiver_pytorch.data.errors import DataError, listed, near_column, need
from perceiver_pytorch.data.predicate import Predicate
from perceiver_pytorch.data.remote.addresses import Root
from perceiver_pytorch.data.splits import SPLIT_NAMES
from perceiver_pytorch.data.table import Spelled, Table
from perceiver_pytorch.data.values import is_missing

_BLOCK = 256  # rows read at a time
_SAMPLE_ROWS = 4096
_SAMPLE_BYTES = 256 << 20
_WINDOW_BYTES = 128 << 20
_MAX_VALUES = 2000  # different values of a target that each get a row in the sample
SPLIT = "split"


class Shard(Protocol):
    """One file of rows."""

    path: Root
    called: Root
    """What messages call it."""
    num_rows: int
    column_names: tuple[str, ...]
    nbytes: int
    """Bytes of its rows, unpacked."""

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> list[dict[str, Any]]:
        """The cells of rows (numbers in the shard, ascending or not); None where a column is not in the shard."""

    def place(self, row: int) -> str:
        """What a row is called in a message."""


class ShardedTable:
    """A `Table` whose rows are in shards and stay there: what is asked for is read, and forgotten again.

    Memory does not grow with the rows, but for the lists of row numbers (8 bytes a row) that splits are made of.

    Args:
        source: what was asked for, for messages.
        root: the folder that relative paths in cells start at.
        shards: the files, in order. A shard whose name or folder says train, val or test puts its rows into that split,
            if there are several and no column is called `split`.
        notes: what is to be known about how it was read.
        metadata: what the files say of their columns, as an Arrow schema has it.
        hosts: of the web, whose files cells may lead to.
        where: what holds for its rows; those of the shards for which it does not are left out.
    """

    def __init__(
        self,
        source: str,
        root: Root,
        shards: Sequence[Shard],
        notes: Sequence[str] = (),
        metadata: Mapping[bytes, bytes] | None = None,
        hosts: tuple[str, ...] = (),
        where: Predicate | None = None,
    ):
        self.source = source
        self.metadata = metadata
        self.root = root
        self.hosts = hosts
        self.where = where
        self.shards = tuple(shards)
        self.notes = tuple(notes)
        self.starts = np.cumsum([0, *(shard.num_rows for shard in shards)], dtype=np.int64)
        if not len(self):
            raise DataError(f"{source}: the shards have no rows")
        names: dict[str, None] = {}
        for shard in shards:
            names |= dict.fromkeys(shard.column_names)
        parts = [split_of(shard.path, root) for shard in shards]
        self._splits = parts if len(parts) > 1 and all(parts) and SPLIT not in names else None
        self._names = [*names, *([SPLIT] if self._splits else [])]
        self._spellings: Spelled | None = None

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def column_names(self) -> list[str]:
        """The columns, in the order in which the shards bring them."""
        return list(self._names)

    @property
    def bytes_per_row(self) -> float:
        """The mean size of a row, unpacked."""
        return sum(shard.nbytes for shard in self.shards) / len(self)

    @property
    def window(self) -> int:
        """Rows that are mixed with one another when they are shuffled: so many that their row groups stay at hand."""
        return max(256, min(4096, int(_WINDOW_BYTES / max(1.0, self.bytes_per_row))))

    def require(self, name: str) -> None:
        """Raise a `DataError` that lists the known columns if `name` is none of them."""
        if name not in self._known:
            raise DataError(
                f"{self.source}: no column {name!r}{near_column(name, self._names)}; "
                f"its columns are {listed(self._names)}",
                column=name,
            )

    def column(self, name: str) -> list[Any]:
        """All cells of one column; equal texts are one object."""
        return self.take(name, np.arange(len(self)))

    def take(self, name: str, rows: np.ndarray) -> list[Any]:
        """The cells of one column at `rows`; equal texts are one object."""
        known: dict[str, str] = {}
        cells = (row[name] for _, row in self.iterate(rows, [name]))
        return [known.setdefault(cell, cell) if isinstance(cell, str) and len(known) < 10_000 else cell
                for cell in cells]  # fmt: skip

    def row(self, i: int) -> dict[str, Any]:
        """Row `i` (from 0) as {column: Python value}."""
        if not 0 <= i < len(self):
            raise DataError(f"{self.source}: no row {i}; it has {len(self)} rows, counted from 0", row=i)
        return next(self.iterate(np.array([i]), self._names))[1]

    def iterate(self, rows: np.ndarray, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (row number, {column: Python value}) for the given rows, reading only the given columns."""
        for name in columns:
            self.require(name)
        for start in range(0, len(rows), _BLOCK):
            block = np.asarray(rows[start : start + _BLOCK], dtype=np.int64)
            yield from zip(block.tolist(), self._read(block, columns), strict=True)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._names)

    def with_empty(self, names: Sequence[str]) -> "ShardedTable":
        """The table with further columns that have no cells."""
        table = ShardedTable.__new__(ShardedTable)
        table.__dict__ = {**self.__dict__, "_names": [*self._names, *names]}
        table.__dict__.pop("_known", None)
        return table

    def moved(self, source: str, root: Root, notes: Sequence[str], file: Root) -> "ShardedTable":
        """The table as one of another place, where its file was fetched from: relative paths in cells start there, and
        messages speak of that file."""
        for shard in self.shards:
            shard.called = file
        table = ShardedTable.__new__(ShardedTable)
        table.__dict__ = {**self.__dict__, "source": source, "root": root, "notes": tuple(notes)}
        return table

    def spelled(self, spellings: Spelled) -> "ShardedTable":
        """The table with its texts read as they are meant."""
        table = ShardedTable.__new__(ShardedTable)
        table.__dict__ = {**self.__dict__, "_spellings": spellings}
        return table

    def place(self, row: int) -> str:
        """The shard of a row, and what the row is called in it."""
        shard = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.shards[shard].place(row - int(self.starts[shard]))

    def shard_of(self, rows: np.ndarray) -> np.ndarray:
        """The number of each row's shard."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def sample(self, rows: np.ndarray, targets: Sequence[str]) -> tuple[Table, np.ndarray]:
        """Some of the rows as a table in memory, to learn from.

        Args:
            rows: int64 numbers of the rows to choose from; evenly spread ones are taken, and one at least for each
                value of a target.
            targets: columns to be predicted.

        Returns:
            The table, and the numbers in it of all its rows.
        """
        count = min(len(rows), _SAMPLE_ROWS, max(64, int(_SAMPLE_BYTES / max(1.0, self.bytes_per_row))))
        chosen = set(rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)].tolist())
        for target in targets if count < len(rows) else ():
            chosen |= set(self._first_of_each(rows, target))
        return self._table(np.array(sorted(chosen), dtype=np.int64)), np.arange(len(chosen))

    def _table(self, rows: np.ndarray) -> Table:
        cells = [row for _, row in self.iterate(rows, self._names)]
        arrow = need("pyarrow", "read tables")
        try:
            made = arrow.table(
                {name: arrow.array([row[name] for row in cells]) for name in self._names}, metadata=self.metadata
            )
        except (arrow.ArrowException, TypeError) as error:
            raise DataError(f"{self.source}: a column has cells of different types ({error})") from error
        return Table(self.source, self.root, made, self.notes, hosts=self.hosts)

    def _first_of_each(self, rows: np.ndarray, target: str) -> list[int]:
        first: dict[Any, int] = {}
        for row, cells in self.iterate(rows, [target]):
            value = cells[target]
            value = tuple(value) if isinstance(value, list) else value
            if not is_missing(value) and len(first) < _MAX_VALUES:
                first.setdefault(value, row)
        return list(first.values())

    def _read(self, rows: np.ndarray, columns: Sequence[str]) -> list[dict[str, Any]]:
        """The cells of rows in any order; each shard is asked once."""
        wanted = [name for name in columns if not (self._splits and name == SPLIT)]
        shards = self.shard_of(rows)
        cells: list[dict[str, Any]] = [{} for _ in rows]
        for number in np.unique(shards):
            places = np.flatnonzero(shards == number)
            found = self.shards[number].read(rows[places] - self.starts[number], wanted)
            for place, row in zip(places, found, strict=True):
                cells[place] = row if not self._splits else {**row, SPLIT: self._splits[number]}
        for name in wanted if self._spellings is not None and cells else ():
            self._read_texts(cells, name)
        return cells

    def _read_texts(self, cells: list[dict[str, Any]], name: str) -> None:
        """Reads the texts of a column as they are meant."""
        arrow = need("pyarrow", "read tables")
        values = [row[name] for row in cells]
        plain = {type(value) for value in values} - {type(None)}
        if self._spellings is None or plain not in ({str}, {int}):
            return
        column = arrow.array(values)
        read = self._spellings.read(name, column)
        if read is not column:
            for row, value in zip(cells, read.to_pylist(), strict=True):
                row[name] = value


def split_of(path: Root, root: Root) -> str | None:
    """train, val or test, if the first word of a shard's name, or a folder above it, says so."""
    folders = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()  # type: ignore[arg-type]
    for part in (path.stem, *folders):
        word = part.lower().replace("_", "-").split("-")[0]
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    return None
