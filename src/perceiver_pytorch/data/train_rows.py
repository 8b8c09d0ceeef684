"""The train rows of a table, as kinds of columns look at them to learn."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cell_memory import CELL_BYTES
from perceiver_pytorch.data.cells import Where, cell_key, media_source, of_the_cell, reason_of
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.table import Table

T = TypeVar("T")

_PART = 1 << 16  # cells that are Python values at a time


class TrainRows:
    """The train rows of a table.

    Args:
        table: the table.
        rows: int64 row numbers of the train split; no other row is looked at.
        options: a `SpecOptions`.
        allow_outside: let paths in cells lead out of the table's folder.
        taken: names that modalities have already.
        cell_bytes: memory that decoding a cell may take.

    Attributes:
        table, rows, allow_outside, cell_bytes: as given.
    """

    def __init__(
        self,
        table: Table,
        rows: "np.ndarray",
        options: Any,
        *,
        allow_outside: bool,
        taken: Iterable[str] = (),
        cell_bytes: int = CELL_BYTES,
    ) -> None:
        self.table = table
        self.rows = rows
        self.allow_outside = allow_outside
        self.cell_bytes = cell_bytes
        self._options = options
        self._taken = set(taken)

    def options(self, column: str) -> Any:
        """The options of a column: those of all kinds, with what is said about the column itself."""
        return self._options.of(column)

    def free_name(self, name: str) -> str:
        """A name for a modality: `name`, or with `_columns` behind it where it is taken."""
        while name in self._taken:
            name += "_columns"
        self._taken.add(name)
        return name

    def cells(self, column: str) -> list[Any]:
        """All cells of a column."""
        return self.table.take(column, self.rows)

    def values(self, columns: Sequence[str], read: Callable[[Any], T | None]) -> dict[str, list[T | None]]:
        """{column: what `read` makes of its cells}; None where it cannot, which is told when the row is decoded."""

        def or_none(value: Any) -> T | None:
            try:
                return read(value)
            except ValueError:
                return None

        parts = [self.rows[start : start + _PART] for start in range(0, len(self.rows), _PART)]
        return {
            column: [or_none(cell) for part in parts for cell in self.table.take(column, part)] for column in columns
        }

    def look(
        self,
        column: str,
        look: Callable[[Any, Where], T | None],
        *,
        most: int | None = None,
        what: str = "file",
        without: str = "ignore",
    ) -> Iterator[T]:
        """`look` at every different cell of a column. Cells that cannot be read are left out, unless all are.

        Args:
            column: the column.
            look: gives what is to be known of a cell, None where it is missing; raises `ValueError` for a bad one.
            most: rows looked at, evenly spread; None: all.
            what: is looked for, for the message that there is none.
            without: kind to give the column then.
        """
        rows = self.rows if most is None else spread(self.rows, most)
        return self.look_at((column,), rows, lambda cells, where: look(cells[column], where), what, without)

    def look_at(
        self,
        columns: Sequence[str],
        rows: "np.ndarray",
        look: Callable[[Mapping[str, Any], Where], T | None],
        what: str,
        without: str = "ignore",
    ) -> Iterator[T]:
        """The same for cells of several columns together, the first of which is named if none can be read."""
        name, seen, found = columns[0], set(), False
        first_error: DataError | None = None
        for row, cells in self.table.iterate(rows, columns):
            key = tuple(cell_key(cells[column]) for column in columns)
            if key in seen:
                continue
            seen.add(key)
            where = self.where(row)
            try:
                fact = look(cells, where)
            except DataError as error:
                first_error = first_error or error
                continue
            except (ValueError, OSError) as error:
                if not of_the_cell(error):
                    raise
                first_error = first_error or where.error(name, reason_of(error), cells[name])
                continue
            if fact is not None:
                found = True
                yield fact
        if not found:
            raise first_error or DataError(
                f"{self.table.source}: column {name!r} has no {what} in the train rows looked at; "
                f"--column {name}={without} goes on without",
                column=name,
            )

    def files(self, column: str, most: int) -> Iterator[bytes | Path]:
        """Some files of a column that can be found."""
        for row, cells in self.table.iterate(spread(self.rows, most), [column]):
            try:
                source = media_source(cells[column], column, self.where(row))
            except DataError:
                continue
            if source is not None:
                yield source

    def where(self, row: int) -> Where:
        """A row's place, for messages and for files that its cells lead to."""
        return Where(
            self.table.source, self.table.root, row, self.allow_outside, self.cell_bytes, hosts=self.table.hosts
        )


def spread(rows: "np.ndarray", count: int) -> "np.ndarray":
    """`count` of the rows (or all), evenly spread: a table may be sorted."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]


def too_large(column: str) -> DataError:
    """What to raise for a column whose sums overflow."""
    reason = f"its numbers are too large to average; --column {column}=ignore leaves it out"
    return DataError(f"column {column!r}: {reason}", column=column, reason=reason)
