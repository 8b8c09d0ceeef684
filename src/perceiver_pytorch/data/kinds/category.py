"""All category columns together: one token id each."""

import itertools
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data import map_drawing
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.data.kinds.base import Encoded, Kind, ModalitySpec, Part
from perceiver_pytorch.data.losses import Change
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.train_rows import TrainRows
from perceiver_pytorch.data.values import as_label, is_missing

_MOST = 8  # columns whose number of values is told of each
_MAX_WORDS, _MAX_LENGTH = 3, 40  # a category's name is short
_SHORT = 0.9  # share of the cells that must be
_RARE, _RARE_SHARE = 3, 0.02  # a value of fewer train rows, and of a smaller share of them, is rare


@dataclass(frozen=True)
class CategoriesSpec(ModalitySpec):
    """The category columns as token ids `(number of columns,)`.

    Column j's ids are its own: `offsets[j]` + the value's place in `values[j]`. The id after its last value stands for
    all values that the train rows hardly had, or did not have; the one after that, where the column has gaps, for a
    missing value.

    Attributes:
        name: the modality's name.
        columns: the columns, in token order.
        values: each column's known values, in string form.
        rare: each column's values that share an id with unknown ones, since few train rows have them.
        gaps: whether a column's value is missing in some train rows: then a missing one is an id, which the model has
            learned something about; else it is masked. Empty, as in runs of early versions: all are masked.
    """

    name: str
    columns: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    rare: tuple[tuple[str, ...], ...] = ()
    gaps: tuple[bool, ...] = ()

    kind: ClassVar[str] = "category"
    head: ClassVar[str] = "columns"
    dtype: ClassVar[str] = "int64"
    changes: ClassVar[Mapping[str, str]] = {"unseen": "have values that the train rows did not have"}

    def __post_init__(self) -> None:
        if not len(self.columns) == len(self.values) > 0:
            raise ValueError("values must have one list per column")
        for column, values in zip(self.columns, self.values, strict=True):
            if len(set(values)) != len(values):
                raise ValueError(f"the values of {column!r} must differ")
        for field in ("rare", "gaps"):
            if len(getattr(self, field)) not in (0, len(self.columns)):
                raise ValueError(f"{field} must have one entry per column")

    @classmethod
    def fit(cls, name: str, cells: Mapping[str, list[Any]]) -> "CategoriesSpec":
        """Learn each column's values, and which of them are rare."""
        counts = [Counter(as_label(cell) for cell in column if not is_missing(cell)) for column in cells.values()]
        least = [min(_RARE, _RARE_SHARE * len(column)) for column in cells.values()]
        parts = [_parted(found, least) for found, least in zip(counts, least, strict=True)]
        gaps = tuple(any(map(is_missing, column)) for column in cells.values())
        return cls(name, tuple(cells), tuple(known for known, _ in parts), tuple(rare for _, rare in parts), gaps)

    @property
    def offsets(self) -> tuple[int, ...]:
        """The first id of each column."""
        return tuple(itertools.accumulate(self._sizes[:-1], initial=0))

    @property
    def vocab_size(self) -> int:
        """Ids of all columns together, each column's ids of unknown and missing values included."""
        return sum(self._sizes)

    @cached_property
    def _sizes(self) -> list[int]:
        """How many ids each column has."""
        gaps = self.gaps or (False,) * len(self.columns)
        return [len(values) + 1 + gap for values, gap in zip(self.values, gaps, strict=True)]

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
        """int64 (columns,); None if all are missing.

        A missing value has its column's id for it, or the unknown id and is masked.
        """
        ids, mask = list(self._missing), np.array(self.gaps or (False,) * len(self.columns))
        changes, unusual = [], []
        present = [(i, as_label(row[column])) for i, column in enumerate(self.columns) if not is_missing(row[column])]
        if not present:
            return None
        for i, label in present:
            mask[i] = True
            known = self._ids[i].get(label)
            ids[i] = self._others[i] if known is None else known
            if known is None:
                column = self.columns[i]
                changes.append(Change("unseen", column, label))
                unusual.append(Oddity(f"unseen {column}", f"{column} is {label!r}, which no train row has"))
        return Encoded(
            np.array(ids, dtype=np.int64), None if mask.all() else mask, changes=tuple(changes), unusual=tuple(unusual)
        )

    @cached_property
    def _others(self) -> list[int]:
        """Each column's id of unknown values."""
        return [offset + len(values) for offset, values in zip(self.offsets, self.values, strict=True)]

    @cached_property
    def _missing(self) -> list[int]:
        """Each column's last id: that of missing values, or else of unknown ones."""
        return [offset + size - 1 for offset, size in zip(self.offsets, self._sizes, strict=True)]

    @cached_property
    def _ids(self) -> list[dict[str, int]]:
        """Each column's {value: id}."""
        rare = self.rare or ((),) * len(self.columns)
        return [
            {**dict.fromkeys(few, other), **{value: offset + i for i, value in enumerate(values)}}
            for offset, values, few, other in zip(self.offsets, self.values, rare, self._others, strict=True)
        ]

    def fields(self) -> tuple[Field, ...]:
        return tuple(
            Field(column, "choice", next(iter(values), ""), values)
            for column, values in zip(self.columns, self.values, strict=True)
        )

    def note(self) -> str:
        counts = [len(values) for values in self.values]
        each = ", ".join(map(str, counts)) if len(counts) <= _MOST else f"{min(counts)} to {max(counts)}"
        rare = sum(map(len, self.rare))
        return f"{each} values" + (f", and {rare:,} rare ones" if rare else "")

    def pieces(self, encoded: Encoded, most: int) -> "np.ndarray":
        """A column each."""
        return np.arange(len(self.columns))

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        drawn = map_drawing.columns(self.columns, heat, row)
        return [{"kind": "drawing", "name": self.name, "value": drawn}]

    sliced: ClassVar[bool] = True

    def slices_of(self, column: str, cells: Sequence[Any]) -> list[str | None]:
        """Its values."""
        return ["(missing)" if is_missing(cell) else as_label(cell) for cell in cells]

    def id_meanings(self) -> Sequence[Hashable]:
        """(column, value) of every id; (column, None) for a column's unknown values, (column,) for missing ones."""
        found: list[Hashable] = []
        for column, values, size in zip(self.columns, self.values, self._sizes, strict=True):
            found += [*((column, value) for value in (*values, None)), (column,)][:size]
        return found


class CategoryKind(Kind):
    """True and false, short words of few different values, and whole numbers that are codes."""

    name = "category"
    spec = CategoriesSpec
    together = True
    plain = True

    def recognises(self, column: Column) -> bool:
        return column.booleans or column.codes or few_and_short(column)

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        return [CategoriesSpec.fit(rows.free_name("categories"), {column: rows.cells(column) for column in columns})]


def _parted(counts: Mapping[str, int], least: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The values that are counted at least so often, and the others, each sorted."""
    return (
        tuple(sorted(value for value, count in counts.items() if count >= least)),
        tuple(sorted(value for value, count in counts.items() if count < least)),
    )


def few_and_short(column: Column) -> bool:
    """Whether a column has words that are short, and few different ones."""
    words = column.words
    if not words:
        return False
    short = sum(len(word.split()) <= _MAX_WORDS and len(word) <= _MAX_LENGTH for word in words)
    few = column.num_distinct <= column.num_present / 2 and column.num_distinct <= max(50, column.num_present / 20)
    return few and short >= _SHORT * len(words)
