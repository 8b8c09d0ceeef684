"""A table: rows of cells, where they came from, and the folder its file paths start at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.errors import DataError, listed, near_column, need
from perceiver_pytorch.data.remote.addresses import Root

if TYPE_CHECKING:
    import pyarrow

_CHUNK = 256  # rows turned into Python values at a time: bounds memory, large enough to amortise the call


class Spelled(Protocol):
    """How the cells of a table are written: `perceiver_pytorch.data.spelling.spellings`."""

    def read(self, name: str, cells: Any) -> Any:
        """The cells of a column, an Arrow array, as they are meant."""


class TableLike(Protocol):
    """What a `Table` and a table in shards have in common; `Table` describes the methods."""

    @property
    def source(self) -> str: ...
    @property
    def root(self) -> Root: ...
    @property
    def hosts(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def column_names(self) -> list[str]: ...
    def __len__(self) -> int: ...
    def require(self, name: str) -> None: ...
    def column(self, name: str) -> list[Any]: ...
    def take(self, name: str, rows: "np.ndarray") -> list[Any]: ...
    def row(self, i: int) -> dict[str, Any]: ...
    def iterate(self, rows: "np.ndarray", columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]: ...
    def place(self, row: int) -> str: ...
    def sample(self, rows: "np.ndarray", targets: Sequence[str]) -> "tuple[Table, np.ndarray]": ...
    def with_empty(self, names: Sequence[str]) -> "TableLike": ...
    def spelled(self, spellings: Spelled) -> "TableLike": ...


@dataclass(frozen=True, eq=False)
class Table:
    """Rows with named columns.

    Attributes:
        source: the path or built-in name it was loaded from, for messages.
        root: the folder that relative file paths in cells start at, here or elsewhere.
        rows: the cells, a `pyarrow.Table`.
        notes: what is to be known about how it was read.
        decimal: what stands before the decimals of its numbers, where the file it was read from lets one suppose it.
        as_written: columns whose numbers were left as texts, since it is not known yet how they are written.
        hosts: of the web, whose files its cells may lead to.
    """

    source: str
    root: Root
    rows: "pyarrow.Table"
    notes: tuple[str, ...] = ()
    decimal: str | None = None
    as_written: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.rows.num_rows

    @property
    def column_names(self) -> list[str]:
        """The columns, in the table's order."""
        return list(self.rows.column_names)

    @cached_property
    def _known(self) -> frozenset[str]:
        """For tables of many columns: Arrow makes a list of all names each time."""
        return frozenset(self.rows.column_names)

    def require(self, name: str) -> None:
        """Raise a `DataError` that lists the known columns if `name` is none of them."""
        if name not in self._known:
            known = self.column_names
            raise DataError(
                f"{self.source}: no column {name!r}{near_column(name, known)}; its columns are {listed(known)}",
                column=name,
            )

    def column(self, name: str) -> list[Any]:
        """All cells of one column as Python values (None where a cell is missing).

        Raises:
            DataError: there is no such column.
        """
        self.require(name)
        return self.rows.column(name).to_pylist()

    def take(self, name: str, rows: "np.ndarray") -> list[Any]:
        """The cells of one column at `rows` (int64 row numbers), as Python values.

        Raises:
            DataError: there is no such column.
        """
        self.require(name)
        return self.rows.column(name).take(arrow_array(np.asarray(rows, dtype=np.int64))).to_pylist()

    def row(self, i: int) -> dict[str, Any]:
        """Row `i` (from 0) as {column: Python value}.

        Raises:
            DataError: there is no such row.
        """
        if not 0 <= i < len(self):
            raise DataError(f"{self.source}: no row {i}; it has {len(self)} rows, counted from 0", row=i)
        return self.rows.slice(i, 1).to_pylist()[0]

    def iterate(self, rows: "np.ndarray", columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (row number, {column: Python value}) for the given rows, reading only the given columns.

        Raises:
            DataError: there is no such column.
        """
        for name in columns:
            self.require(name)
        cells = self.rows.select(list(columns))
        for start in range(0, len(rows), _CHUNK):
            chunk = np.asarray(rows[start : start + _CHUNK], dtype=np.int64)
            values = cells.take(arrow_array(chunk)).to_pylist() if columns else [{} for _ in chunk]
            yield from zip(chunk.tolist(), values, strict=True)

    def place(self, row: int) -> str:
        """What a row is called in a message."""
        return self.source

    def sample(self, rows: "np.ndarray", targets: Sequence[str]) -> "tuple[Table, np.ndarray]":
        """The table to learn from, and the rows of it: all. A table in shards gives some."""
        return self, np.asarray(rows, dtype=np.int64)

    def with_empty(self, names: Sequence[str]) -> "Table":
        """The table with further columns that have no cells."""
        if not names:
            return self
        arrow = need("pyarrow", "read tables")
        cells = [*self.rows.itercolumns(), *[arrow.nulls(len(self))] * len(names)]
        return replace(self, rows=arrow.Table.from_arrays(cells, names=[*self.column_names, *names]))

    def spelled(self, spellings: "Spelled") -> "Table":
        """The table with its texts read as they are meant."""
        names, columns = self.rows.column_names, self.rows.columns
        read = [spellings.read(name, cells) for name, cells in zip(names, columns, strict=True)]
        if all(new is old for new, old in zip(read, columns, strict=True)):
            return self
        return replace(self, rows=need("pyarrow", "read tables").table(read, names=names))


def arrow_array(values: "np.ndarray | Sequence[str | None]") -> "pyarrow.Array":
    """Numbers, or texts and None, for Arrow. `pyarrow.array` does the same, and imports pandas where that is there."""
    arrow = need("pyarrow", "read tables")
    if isinstance(values, np.ndarray):
        numbers = np.ascontiguousarray(values)
        buffers = [None, arrow.py_buffer(numbers)]
        return arrow.Array.from_buffers(arrow.from_numpy_dtype(numbers.dtype), len(numbers), buffers)
    texts = [b"" if text is None else text.encode() for text in values]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    there = np.packbits(np.array([text is not None for text in values], bool), bitorder="little")
    buffers = [arrow.py_buffer(part) for part in (ends, b"".join(texts), there)]
    return arrow.StringArray.from_buffers(len(texts), *buffers)
