"""What is learned about a target, and how its cells become numbers: a class, several labels at once, or a number."""

from __future__ import annotations

import contextlib
import datetime
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np

from .errors import DataError, listed
from .labels import labels_of
from .values import as_label, as_number, is_missing

T = TypeVar("T")


@dataclass(frozen=True)
class ClassTarget:
    """One of several classes; encoded as its index, -1 where unknown.

    Attributes:
        name: the column.
        classes: in string form, numbers first, by value, then the others as text.
        counts: train rows of each class.
    """

    name: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]

    kind: ClassVar[str] = "class"
    dtype: ClassVar[str] = "int64"
    shape: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes was expected to hold two or more different names, got {self.classes}")
        _check_counts(self.counts, len(self.classes))

    @classmethod
    def fit(cls, name: str, cells: Iterable[Any]) -> ClassTarget:
        """Learn the classes of cells with a value.

        Raises:
            ValueError: there is one class only.
        """
        counts = Counter(as_label(cell) for cell in cells)
        if len(counts) < 2:
            raise ValueError(f"has one value only in the train rows ({', '.join(counts)}); two classes are needed")
        classes = tuple(sort_labels(counts))
        return cls(name, classes, tuple(counts[label] for label in classes))

    @property
    def size(self) -> int:
        """Outputs of a model."""
        return len(self.classes)

    def encode(self, value: Any) -> np.ndarray:
        """int64 (): the index.

        Raises:
            ValueError: the train rows did not have this class.
        """
        if is_missing(value):
            return self.unknown()
        index = self._index.get(as_label(value))
        if index is None:
            raise ValueError(
                f"the class {as_label(value)!r} is none of the train rows' classes ({listed(self.classes)})"
            )
        return np.array(index)

    def unknown(self) -> np.ndarray:
        """What stands for a missing value."""
        return np.array(-1)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.classes)}

    def note(self) -> str:
        return f"{len(self.classes)} classes"


@dataclass(frozen=True)
class LabelsTarget:
    """Any number of labels at once; encoded as 0 or 1 for each label, NaN where unknown.

    Attributes:
        name: the column.
        labels: in string form, sorted like classes.
        counts: train rows that have each label.
        rows: train rows with a value.
        separator: what stands between the labels of a text; empty where a text is one label.
    """

    name: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    rows: int
    separator: str

    kind: ClassVar[str] = "labels"
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels was expected to hold one or more different names, got {self.labels}")
        _check_counts(self.counts, len(self.labels))
        if self.rows < max(self.counts):
            raise ValueError(f"rows was expected to be at least {max(self.counts)}, got {self.rows}")

    @classmethod
    def fit(cls, name: str, cells: Iterable[Any], separator: str | None) -> LabelsTarget:
        """Learn the labels of cells with a value.

        Raises:
            ValueError: there is no label, or more labels than rows.
        """
        found = _readable(cells, lambda cell: labels_of(cell, separator))
        counts = Counter(label for labels in found for label in labels)
        if not counts:
            raise ValueError(f"has no label in {len(found)} train rows")
        if len(counts) > len(found):
            raise ValueError(f"has {len(counts)} different labels in {len(found)} train rows, too many to learn")
        labels = tuple(sort_labels(counts))
        return cls(name, labels, tuple(counts[label] for label in labels), len(found), separator or "")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an encoded cell."""
        return (len(self.labels),)

    @property
    def size(self) -> int:
        """Outputs of a model."""
        return len(self.labels)

    def encode(self, value: Any) -> np.ndarray:
        """float32 (labels,): 1 for the labels of the cell.

        Raises:
            ValueError: the cell cannot be read, or the train rows did not have one of its labels.
        """
        given = labels_of(value, self.separator or None)
        if given is None:
            return self.unknown()
        encoded = np.zeros(len(self.labels), dtype=np.float32)
        for label in given:
            if label not in self._index:
                raise ValueError(f"the label {label!r} is none of the train rows' labels ({listed(self.labels)})")
            encoded[self._index[label]] = 1
        return encoded

    def unknown(self) -> np.ndarray:
        """What stands for a missing value."""
        return np.full(len(self.labels), np.nan, dtype=np.float32)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.labels)}

    def note(self) -> str:
        return f"{len(self.labels)} labels, {sum(self.counts) / self.rows:.1f} a row"


@dataclass(frozen=True)
class NumberTarget:
    """A number; encoded standardised by the train rows, NaN where unknown.

    Attributes:
        name: the column.
        mean, std: of the train rows, in the column's unit; of dates in days since 1970-01-01.
        dates: `"day"` where the cells are dates, `"second"` where they have a time of day; empty for numbers.
    """

    name: str
    mean: float
    std: float
    dates: str = ""

    kind: ClassVar[str] = "number"
    dtype: ClassVar[str] = "float32"
    shape: ClassVar[tuple[int, ...]] = ()
    size: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise ValueError(f"std was expected to be positive, got {self.std}")
        if self.dates not in ("", "day", "second"):
            raise ValueError(f"dates was expected to be 'day', 'second' or empty, got {self.dates!r}")

    @classmethod
    def fit(cls, name: str, cells: Iterable[Any]) -> NumberTarget:
        """Learn mean and standard deviation of cells with a value.

        Raises:
            ValueError: there is no number, all are equal, or they are too large to average.
        """
        cells = list(cells)
        values = np.array(_readable(cells, as_number), dtype=np.float64)
        if not len(values):
            raise ValueError("has no number in the train rows")
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = float(values.mean()), float(values.std())
        if not (math.isfinite(mean) and math.isfinite(std)):
            raise ValueError("has numbers that are too large to average")
        if std <= 1e-12 * max(1.0, abs(mean)):
            raise ValueError(f"has one value only in the train rows ({mean:g}); there is nothing to learn")
        dates = all(isinstance(cell, datetime.date) for cell in cells)
        timed = any(isinstance(cell, datetime.datetime) for cell in cells)
        return cls(name, mean, std, "" if not dates else "second" if timed else "day")

    def cells(self, values: np.ndarray) -> np.ndarray:
        """Numbers in the column's unit as what the cells are: datetime64 where they are dates."""
        if not self.dates:
            return values
        counts = np.rint(values * (86400 if self.dates == "second" else 1))
        return counts.astype(np.int64).astype(f"datetime64[{'s' if self.dates == 'second' else 'D'}]")

    def text(self, value: float) -> str:
        """A number in the column's unit, for people."""
        return str(self.cells(np.array(value))) if self.dates else f"{value:.4g}"

    def encode(self, value: Any) -> np.ndarray:
        """float32 (): the number in standard deviations from the mean.

        Raises:
            ValueError: the cell is no number.
        """
        number = as_number(value)
        return self.unknown() if number is None else np.array((number - self.mean) / self.std, dtype=np.float32)

    def unknown(self) -> np.ndarray:
        """What stands for a missing value."""
        return np.array(np.nan, dtype=np.float32)

    def note(self) -> str:
        kind, unit = ("a date", " days") if self.dates else ("a number", "")
        return f"{kind}, {self.text(self.mean)} ± {self.std:.4g}{unit}"


TargetSpec = ClassTarget | LabelsTarget | NumberTarget
TARGET_SPECS: Mapping[str, type[ClassTarget] | type[LabelsTarget] | type[NumberTarget]] = {
    spec.kind: spec for spec in (ClassTarget, LabelsTarget, NumberTarget)
}


def is_known(encoded: np.ndarray) -> bool:
    """Whether an encoded target is there."""
    return bool(encoded >= 0) if encoded.dtype.kind == "i" else not bool(np.isnan(encoded).any())


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Finite numbers first, by value, then the others as text."""
    return sorted(labels, key=_order)


def check_unique(targets: Iterable[TargetSpec]) -> None:
    """Raise a `DataError` unless there are one or more targets of different names."""
    names = [target.name for target in targets]
    if not names or len(set(names)) != len(names):
        raise DataError(f"targets was expected to hold one or more of different names, got {names}")


def _readable(cells: Iterable[Any], read: Callable[[Any], T | None]) -> list[T]:
    """What can be read of the cells; the others are reported with their rows when those are decoded."""
    found = []
    for cell in cells:
        with contextlib.suppress(ValueError):
            value = read(cell)
            found += [] if value is None else [value]
    return found


def _order(label: str) -> tuple[bool, float, str]:
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    return (False, value, label) if math.isfinite(value) else (True, 0.0, label)


def _check_counts(counts: tuple[int, ...], size: int) -> None:
    if len(counts) != size or min(counts) < 0:
        raise ValueError(f"one count per name was expected, {size} in all, got {counts}")
