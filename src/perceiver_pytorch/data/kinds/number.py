"""All number columns together: standardised, one token each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.kinds.base import Encoded, Kind, ModalitySpec, StandardisedSpec
from perceiver_pytorch.data.losses import Change
from perceiver_pytorch.data.train_rows import TrainRows, too_large
from perceiver_pytorch.data.values import as_number

_CLIP = 10.0  # standard deviations: one absurd cell must not swamp a batch
_EXACT = 2.0**53  # whole numbers up to here are read as they are
_MANY_DIGITS = 15  # a float holds all numbers that have so many
_DIGITS = "have more digits than a floating-point number holds (15), and lose the last ones; read codes as text"


@dataclass(frozen=True)
class NumbersSpec(StandardisedSpec):
    """The number columns as tokens `(number of columns, 1)`.

    Attributes:
        name: the modality's name.
        columns: the columns, in token order.
        means, stds: what each column is standardised by.
    """

    kind: ClassVar[str] = "number"
    changes: ClassVar[Mapping[str, str]] = {**StandardisedSpec.changes, "digits": _DIGITS}

    @property
    def channels(self) -> int:
        return 1

    @classmethod
    def fit(cls, name: str, numbers: Mapping[str, Sequence[float | None]]) -> "NumbersSpec":
        """Learn mean and standard deviation of each column, leaving missing values out (None)."""
        moments = [_moments(column, [v for v in values if v is not None]) for column, values in numbers.items()]
        return cls(name, tuple(numbers), tuple(mean for mean, _ in moments), tuple(std for _, std in moments))

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """float32 (columns, 1) within ±10; a missing number is 0 and masked; None if all are missing."""
        values = np.zeros((len(self.columns), 1), dtype=np.float32)
        mask = np.ones(len(self.columns), dtype=bool)
        changes = []
        for i, column in enumerate(self.columns):
            try:
                number = as_number(row[column])
            except ValueError as error:
                raise where.error(column, str(error)) from error
            if number is None:
                mask[i] = False
            else:
                standard = (number - self.means[i]) / self.stds[i]
                values[i] = min(max(standard, -_CLIP), _CLIP)
                if abs(standard) > _CLIP:
                    changes.append(Change("clipped", column, str(row[column])))
                if abs(number) >= _EXACT and _loses_digits(row[column]):
                    changes.append(Change("digits", column, str(row[column])))
        if not mask.any():
            return None
        return Encoded(values, None if mask.all() else mask, changes=tuple(changes))

    def note(self) -> str:
        return "standardised by the train rows"


class NumberKind(Kind):
    """Numbers, times of day and durations, and texts that are all numbers."""

    name = "number"
    spec = NumbersSpec
    together = True
    plain = True

    def recognises(self, column: Column) -> bool:
        return column.numbers

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        return [NumbersSpec.fit(rows.free_name("numbers"), rows.values(columns, as_number))]


def _loses_digits(cell: Any) -> bool:
    """Whether a cell is a whole number that a float does not hold."""
    try:
        exact = Decimal(cell)
    except (InvalidOperation, TypeError, ValueError):
        return False  # text with marks that only a reader of numbers knows
    return len(exact.normalize().as_tuple().digits) > _MANY_DIGITS and exact != Decimal(float(cell))


def _moments(column: str, values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation; (0, 1) of nothing, and a spread of 1 where all are equal."""
    if not values:
        return 0.0, 1.0
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(array.mean()), float(array.std())
    if not (math.isfinite(mean) and math.isfinite(std)):
        raise too_large(column)
    if std > 1e-12 * max(1.0, abs(mean)):
        return mean, std
    apart = array - array[0]  # numbers that differ little for their size, such as codes of 16 digits
    widest = float(np.abs(apart).max())
    return float(array[0] + apart.mean()), float((apart / widest).std() * widest) or 1.0 if widest else 1.0
