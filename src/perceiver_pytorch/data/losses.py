"""What cells lost on their way into the model: the one counter of it, and its words.

A kind says in `Encoded.changes` what it did to a row's cells. The `TableDataset` counts it in its `Losses`, once a row,
whichever process decoded the row. `lines` words the counts for the terminal and the report, `as_json` for
``metrics.json``. A doubt about the table as a whole is a warning of the `Reporter`; during `fit` these are kept, and
stand in the same places.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

from perceiver_pytorch._lazy import numpy as np

EMPTY = "empty"
_EVERY_KIND = {EMPTY: "hold or lead to nothing that can be read, and count as missing"}
_NAMED = 5  # rows, and values, that a line names
_MAX_LENGTH = 40  # characters of a value that a line shows


class Change(NamedTuple):
    """What was done to a cell.

    Attributes:
        what: a key of the spec's `changes`, or `EMPTY`.
        column: the column; empty: the modality's only one.
        value: the cell, where it helps to see it.
    """

    what: str
    column: str = ""
    value: str = ""


class Changing(Protocol):
    """What is asked of a modality; `ModalitySpec` has it."""

    @property
    def name(self) -> str: ...
    @property
    def changes(self) -> Mapping[str, str]: ...
    @property
    def harmless(self) -> frozenset[str]: ...


@dataclass
class Count:
    """How often one thing was done to the cells of one column.

    Attributes:
        column: the column.
        what: a key of the modality's `changes`.
        text: that in words.
        rows: rows that it was done to.
        first: the first of them.
        values: some of the cells, those that differ.
    """

    column: str
    what: str
    text: str
    rows: int = 0
    first: list[int] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def add(self, row: int, value: str) -> None:
        self.rows += 1
        if len(self.first) < _NAMED:
            self.first.append(row)
        shown = " ".join(value[:_MAX_LENGTH].split())
        if shown and len(self.values) <= _NAMED and shown not in self.values:
            self.values.append(shown)


class Losses:
    """Counts what was done to the cells of a data set's rows; a row that is decoded again counts once.

    Args:
        modalities: whose cells they are.
        num_rows: of the table.

    Attributes:
        rows: rows that were looked at.
    """

    def __init__(self, modalities: Iterable[Changing], num_rows: int) -> None:
        self.rows = 0
        self._modalities = {modality.name: modality for modality in modalities}
        self._seen = np.zeros(num_rows, dtype=bool)
        self._counts: dict[tuple[str, str, str], Count] = {}

    def count(self, row: int, changes: Iterable[tuple[str, Change]]) -> None:
        """Takes in a row: the names of modalities, each with what was done to a cell of it."""
        if self._seen[row]:
            return
        self._seen[row] = True
        self.rows += 1
        for name, change in changes:
            key = (name, change.what, change.column)
            if key not in self._counts:
                text = {**_EVERY_KIND, **self._modalities[name].changes}.get(change.what, change.what)
                self._counts[key] = Count(change.column or name, change.what, text)
            self._counts[key].add(row, change.value)

    def count_all(self, rows: Iterable[int], changes: Mapping[int, list[tuple[str, Change]]]) -> None:
        """Takes in rows; `changes` has those that anything was done to."""
        for row in rows:
            self.count(row, changes.get(row, ()))

    def counts(self, *, harmless: bool = False) -> list[Count]:
        """What was lost, or with `harmless` what was done without a loss; that of most rows first."""
        found = [
            count
            for (name, what, _), count in self._counts.items()
            if (what in self._modalities[name].harmless) == harmless
        ]
        return sorted(found, key=lambda count: -count.rows)

    def lines(self, split: str = "", *, harmless: bool = False) -> list[str]:
        """A sentence for each of `counts`; `split` is what the rows are called."""
        return [_line(count, self.rows, split) for count in self.counts(harmless=harmless)]

    def as_json(self, split: str) -> list[dict[str, Any]]:
        """JSON values that say the same of what was lost."""
        return [{"split": split, **asdict(count), "of": self.rows} for count in self.counts()]

    def state(self) -> dict[str, Any]:
        """For a checkpoint: JSON values, and as `seen` a uint8 array with a bit per row."""
        counts = [[*key, asdict(count)] for key, count in self._counts.items()]
        return {"seen": np.packbits(self._seen), "counts": counts}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self._seen = np.unpackbits(state["seen"], count=len(self._seen)).astype(bool)
        self.rows = int(self._seen.sum())
        self._counts = {(name, what, column): Count(**count) for name, what, column, count in state["counts"]}


def told(lines: Sequence[str], where: str = "", most: int = _NAMED) -> list[str]:
    """As many lines as one reads on a terminal, and one that says where the others are."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[:most], f".. and {len(lines) - most:,} more warnings of this kind{where}"]


def _line(count: Count, rows: int, split: str) -> str:
    some = "" if count.rows == rows else f" ({_some(list(map(str, count.first)), count.rows)})"
    more = " .." if len(count.values) > _NAMED else ""
    values = f": {', '.join(count.values[:_NAMED])}{more}" if count.values else ""
    what = f"{split} rows" if split else "rows"
    return f"{count.rows:,} of {rows:,} {what}{some}: cells of {count.column!r} {count.text}{values}"


def _some(names: Sequence[str], count: int) -> str:
    return f"row{'s' * (count > 1)} {', '.join(names)}{' ..' * (count > len(names))}"
