"""All category columns together: one token id each."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.kinds.base import Encoded, Kind, ModalitySpec
from perceiver_pytorch.data.losses import Change
from perceiver_pytorch.data.train_rows import TrainRows
from perceiver_pytorch.data.values import as_label, is_missing

_MOST = 8  # columns whose number of values is told of each
_MAX_WORDS, _MAX_LENGTH = 3, 40  # a category's name is short
_SHORT = 0.9  # share of the cells that must be


@dataclass(frozen=True)
class CategoriesSpec(ModalitySpec):
    """The category columns as token ids `(number of columns,)`.

    Column j's ids are its own: `offsets[j]` + the value's place in `values[j]`, and the id after its last value stands
    for every value that the train rows did not have.

    Attributes:
        name: the modality's name.
        columns: the columns, in token order.
        values: each column's known values, in string form.
    """

    name: str
    columns: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]

    kind: ClassVar[str] = "category"
    dtype: ClassVar[str] = "int64"
    changes: ClassVar[Mapping[str, str]] = {"unseen": "have values that the train rows did not have"}

    def __post_init__(self) -> None:
        if not len(self.columns) == len(self.values) > 0:
            raise ValueError("values must have one list per column")
        for column, values in zip(self.columns, self.values, strict=True):
            if len(set(values)) != len(values):
                raise ValueError(f"the values of {column!r} must differ")

    @classmethod
    def fit(cls, name: str, cells: Mapping[str, list[Any]]) -> "CategoriesSpec":
        """Learn each column's values."""
        known = [
            tuple(sorted({as_label(cell) for cell in column if not is_missing(cell)})) for column in cells.values()
        ]
        return cls(name, tuple(cells), tuple(known))

    @property
    def offsets(self) -> tuple[int, ...]:
        """The first id of each column."""
        sizes = [len(values) + 1 for values in self.values]
        return tuple(itertools.accumulate(sizes[:-1], initial=0))

    @property
    def vocab_size(self) -> int:
        """Ids of all columns together, each column's unknown id included."""
        return sum(len(values) + 1 for values in self.values)

    @property
    def axes(self) -> tuple[int, ...]:
        return (len(self.columns),)

    @property
    def channels(self) -> int:
        return 1

    @property
    def shared(self) -> bool:
        return False  # a row costs less than its key

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """int64 (columns,); a missing value has the unknown id and is masked; None if all are missing."""
        cells = [row[column] for column in self.columns]
        there = [not is_missing(cell) for cell in cells]
        mask = np.array(there)
        if not mask.any():
            return None
        ids = [known.get(as_label(cell), other) for cell, (known, other) in zip(cells, self._lookup, strict=True)]
        others = [] if self._others.isdisjoint(ids) else zip(self.columns, cells, ids, there, strict=True)
        changes = [Change("unseen", name, as_label(cell)) for name, cell, i, has in others if i in self._others and has]
        return Encoded(np.array(ids, dtype=np.int64), None if mask.all() else mask, changes=tuple(changes))

    @cached_property
    def _others(self) -> frozenset[int]:
        """The unknown ids of all columns."""
        return frozenset(other for _, other in self._lookup)

    @cached_property
    def _lookup(self) -> list[tuple[dict[str, int], int]]:
        """Each column's {value: id} and its unknown id."""
        return [
            ({value: offset + i for i, value in enumerate(values)}, offset + len(values))
            for offset, values in zip(self.offsets, self.values, strict=True)
        ]

    def note(self) -> str:
        counts = [len(values) for values in self.values]
        each = ", ".join(map(str, counts)) if len(counts) <= _MOST else f"{min(counts)} to {max(counts)}"
        return f"{each} values"

    def id_meanings(self) -> Sequence[Hashable]:
        """(column, value) of every id; None for a column's unknown values."""
        pairs = zip(self.columns, self.values, strict=True)
        return [(column, value) for column, values in pairs for value in (*values, None)]


class CategoryKind(Kind):
    """True and false, and short words of few different values."""

    name = "category"
    spec = CategoriesSpec
    together = True
    plain = True

    def recognises(self, column: Column) -> bool:
        return column.booleans or few_and_short(column)

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        return [CategoriesSpec.fit(rows.free_name("categories"), {column: rows.cells(column) for column in columns})]


def few_and_short(column: Column) -> bool:
    """Whether a column has words that are short, and few different ones."""
    words = column.words
    if not words:
        return False
    short = sum(len(word.split()) <= _MAX_WORDS and len(word) <= _MAX_LENGTH for word in words)
    few = column.num_distinct <= column.num_present / 2 and column.num_distinct <= max(50, column.num_present / 20)
    return few and short >= _SHORT * len(words)
