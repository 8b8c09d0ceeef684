"""Columns of sets: any number of names in a cell, in no order, as ids."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data import map_drawing
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.data.kinds.base import CUT, ColumnSpec, Encoded, Kind, ModalitySpec, Part, check_positive
from perceiver_pytorch.data.label_cells import find_separator, labels_of
from perceiver_pytorch.data.losses import Change
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.train_rows import TrainRows
from perceiver_pytorch.data.values import readable


@dataclass(frozen=True, kw_only=True)
class SetSettings(Settings):
    """How sets become arrays."""

    max_set_names: int = knob(1000, "names of a set that are known, the most common ones", above=0)
    max_set_size: int = knob(64, "names of a cell that are read", above=0)


@dataclass(frozen=True)
class SetSpec(ColumnSpec):
    """One column of sets as at most `length` ids, one for each name of a cell, in the order of `names`.

    Attributes:
        name: the modality's and the column's name.
        names: the known names, in string form; the id after the last stands for every other one.
        length: tokens; larger sets lose names.
        separator: what stands between the names of a text; empty where a text is one name.
    """

    name: str
    names: tuple[str, ...]
    length: int
    separator: str = ""

    kind: ClassVar[str] = "set"
    dtype: ClassVar[str] = "int64"
    changes: ClassVar[Mapping[str, str]] = {"cut": CUT, "unseen": "have names that the train rows did not have"}

    def __post_init__(self) -> None:
        check_positive(self, "length")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"the names of {self.name!r} must differ")

    @classmethod
    def fit(cls, name: str, cells: Iterable[Any], options: SetSettings) -> "SetSpec":
        """Learn the names and the size of the largest set."""
        cells = list(cells)
        separator = find_separator(cells) or ""
        found = readable(cells, lambda cell: labels_of(cell, separator or None))
        counts = Counter(one for names in found for one in names)
        known = sorted(one for one, _ in counts.most_common(options.max_set_names))
        largest = max(map(len, found), default=1)
        return cls(name, tuple(known), max(1, min(largest, options.max_set_size)), separator)

    @property
    def vocab_size(self) -> int:
        """Number of ids, that of unknown names included."""
        return len(self.names) + 1

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def channels(self) -> int:
        return 1

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """int64 (names,), ascending; None where the cell is missing or has no names."""
        try:
            names = labels_of(row[self.name], self.separator or None)
        except ValueError as error:
            raise where.error(self.name, str(error)) from error
        if not names:
            return None
        other = len(self.names)
        ids = sorted({self._ids.get(name, other) for name in names})
        new = [name for name in names if name not in self._ids][:1]
        unseen = [Change("unseen", value=name) for name in new]
        unusual = [Oddity("unseen", f"{self.name} has {name!r}, which no train row has") for name in new]
        cut = [Change("cut")] if len(ids) > self.length else []
        return Encoded(np.array(ids[: self.length], dtype=np.int64), changes=(*unseen, *cut), unusual=tuple(unusual))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def fields(self) -> tuple[Field, ...]:
        return (Field(self.name, "names", list(self.names[:2]), self.names),)

    def note(self) -> str:
        return f"at most {self.length} of {len(self.names):,} names"

    def pieces(self, encoded: Encoded, most: int) -> "np.ndarray":
        """A name each."""
        return np.arange(len(encoded.values))

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        names = [(*self.names, "(names that the train rows lack)")[id_] for id_ in encoded.values.tolist()]
        return [{"kind": "drawing", "name": self.name, "value": map_drawing.bars(names, heat.tolist())}]

    def id_meanings(self) -> Sequence[Hashable]:
        """(column, name) of every id; None for unknown names."""
        return [(self.name, name) for name in (*self.names, None)]


class SetKind(Kind):
    """Lists of words, and texts of such lists."""

    name = "set"
    spec = SetSpec
    settings = SetSettings

    def recognises(self, column: Column) -> bool:
        return column.sets

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        (name,) = columns
        return [SetSpec.fit(name, rows.cells(name), rows.options(name))]
