"""All number columns together: their place among the train rows' and their standardised value, one token each."""

import bisect
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from statistics import NormalDist
from typing import Any, ClassVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.amounts import amount
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.data.kinds.base import Encoded, Kind, ModalitySpec, ModelInput, StandardisedSpec
from perceiver_pytorch.data.losses import Change
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.train_rows import TrainRows, too_large
from perceiver_pytorch.data.values import as_number

_CLIP = 10.0  # standard deviations: one absurd cell must not swamp a batch
_KNOTS = 65  # quantiles that are kept of a column: every 64th part of its train rows
_FURTHEST = 0.5 / (_KNOTS - 1)  # the share of the rows that is taken to lie beyond the first and the last knot
_EXACT = 2.0**53  # whole numbers up to here are read as they are
_MANY_DIGITS = 15  # a float holds all numbers that have so many
_DIGITS = "have more digits than a floating-point number holds (15), and lose the last ones; read codes as text"


@dataclass(frozen=True)
class NumbersSpec(StandardisedSpec):
    """The number columns as tokens `(number of columns, 3)`.

    A token has the number's normal score, its value in standard deviations, and 1 where the number is missing. The
    score is what the number would be if the column's train rows were distributed normally: a skewed column, or one with
    outliers, tells its rows apart as well as another.

    Attributes:
        name: the modality's name.
        columns: the columns, in token order.
        means, stds: what each column is standardised by.
        quantiles: of each column's train rows, evenly spaced from the least to the greatest; empty in runs of early
            versions, whose tokens are the standardised value alone.
        gaps: whether a column's number is missing in some train rows: then a missing one is a token, which the model
            has learned something about; else it is masked.
    """

    quantiles: tuple[tuple[float, ...], ...] = ()
    gaps: tuple[bool, ...] = ()

    kind: ClassVar[str] = "number"
    head: ClassVar[str] = "columns"
    changes: ClassVar[Mapping[str, str]] = {**StandardisedSpec.changes, "digits": _DIGITS}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quantiles and not len(self.columns) == len(self.quantiles) == len(self.gaps):
            raise ValueError("quantiles and gaps must have one entry per column")
        for column, quantiles in zip(self.columns, self.quantiles, strict=False):
            if not quantiles or any(np.diff(quantiles) < 0):
                raise ValueError(f"the quantiles of {column!r} must be one or more ascending numbers")

    @property
    def channels(self) -> int:
        return 3 if self.quantiles else 1

    @classmethod
    def fit(cls, name: str, numbers: Mapping[str, Sequence[float | None]]) -> "NumbersSpec":
        """Learn each column's moments and quantiles, leaving missing values out (None)."""
        known = {column: [v for v in values if v is not None] for column, values in numbers.items()}
        moments = [_moments(column, values) for column, values in known.items()]
        gaps = [len(known[column]) < len(values) for column, values in numbers.items()]
        return cls(
            name,
            tuple(numbers),
            tuple(mean for mean, _ in moments),
            tuple(std for _, std in moments),
            tuple(map(_quantiles, known.values())),
            tuple(gaps),
        )

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """float32 (columns, channels), the value within ±10 deviations; None if all numbers are missing.

        A missing number is 0 and masked, or is its column's token for it.
        """
        values = np.zeros(self.shape, dtype=np.float32)
        there = np.zeros(len(self.columns), dtype=bool)
        changes, unusual = [], []
        for i, column in enumerate(self.columns):
            try:
                number = as_number(row[column])
            except ValueError as error:
                raise where.error(column, str(error)) from error
            if number is None:
                continue
            there[i] = True
            standard = (number - self.means[i]) / self.stds[i]
            value = min(max(standard, -_CLIP), _CLIP)
            values[i, :2] = (_interpolated(number, *self._curves[i]), value) if self.quantiles else value
            if far := self._beyond(i, number):
                unusual.append(Oddity("beyond", f"{column} is {row[column]}, {far[1]}", far[0]))
            if abs(standard) > _CLIP:
                changes.append(Change("clipped", column, str(row[column])))
            if abs(number) >= _EXACT and _loses_digits(row[column]):
                changes.append(Change("digits", column, str(row[column])))
        if not there.any():
            return None
        mask = there
        if self.quantiles:
            values[:, 2] = ~there
            mask = there | np.array(self.gaps)
        return Encoded(values, None if mask.all() else mask, changes=tuple(changes), unusual=tuple(unusual))

    def _beyond(self, i: int, number: float) -> tuple[float, str] | None:
        """By how many spans a number of column i lies beyond those of the train rows, and in words; None: it does not,
        or they had none."""
        if not self.quantiles or len(self.quantiles[i]) == 1:
            return None
        low, high = self.quantiles[i][0], self.quantiles[i][-1]
        if low <= number <= high:
            return None
        share = max(low - number, number - high) / ((high - low) or self.stds[i])
        return share, f"{'below' if number < low else 'above'} the train rows' {low:.6g} to {high:.6g}"

    @cached_property
    def _curves(self) -> list[tuple[list[float], list[float]]]:
        """Each column's different quantiles, and their normal scores."""
        return [_curve(quantiles) for quantiles in self.quantiles]

    def model_input(self) -> ModelInput:
        stem = {"name": "numbers", "columns": len(self.columns), "input_channels": self.channels}
        return dataclasses.replace(super().model_input(), stem=stem if self.quantiles else None)

    def fields(self) -> tuple[Field, ...]:
        known = self.quantiles or ((None,),) * len(self.columns)
        return tuple(
            Field(column, "number", float(f"{mean:.4g}"), low=numbers[0], high=numbers[-1])
            for column, mean, numbers in zip(self.columns, self.means, known, strict=True)
        )

    sliced: ClassVar[bool] = True

    def slices_of(self, column: str, cells: Sequence[Any]) -> list[str | None]:
        """The quarters of the train rows."""
        place = self.columns.index(column)
        middle = self.quantiles[place] if self.quantiles else (self.means[place],)
        known = sorted({middle[round(share * (len(middle) - 1))] for share in (0.25, 0.5, 0.75)})
        numbers = [as_number(cell) for cell in cells]
        return ["(missing)" if number is None else _range(number, known) for number in numbers]

    def note(self) -> str:
        return f"{'normal scores, and ' if self.quantiles else ''}standardised by the train rows"


class NumberKind(Kind):
    """Numbers, times of day and durations, and texts that are all numbers; not codes."""

    name = "number"
    spec = NumbersSpec
    together = True
    plain = True

    def recognises(self, column: Column) -> bool:
        return column.numbers and not column.codes

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        return [NumbersSpec.fit(rows.free_name("numbers"), rows.values(columns, as_number))]


def _range(number: float, ends: Sequence[float]) -> str:
    """Between which of the ascending ends a number lies."""
    place = bisect.bisect_right(ends, number)
    if place == 0:
        return f"below {amount(ends[0])}"
    low = amount(ends[place - 1])
    return f"{low} or more" if place == len(ends) else f"{low} to {amount(ends[place])}"


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


def _quantiles(values: list[float]) -> tuple[float, ...]:
    """Evenly spaced ones, from the least value to the greatest; 0 of nothing."""
    if not values:
        return (0.0,)
    return tuple(np.quantile(values, np.linspace(0, 1, _KNOTS)).tolist())


def _curve(quantiles: Sequence[float]) -> tuple[list[float], list[float]]:
    """Different quantiles and their normal scores: equal ones have the score of the middle of their ranks."""
    known, which = np.unique(quantiles, return_inverse=True)
    shares = np.linspace(0, 1, len(quantiles)) if len(quantiles) > 1 else np.array([0.5])
    middles = np.bincount(which, shares) / np.bincount(which)
    inside = np.clip(middles, _FURTHEST, 1 - _FURTHEST)
    return known.tolist(), [NormalDist().inv_cdf(share) for share in inside.tolist()]


def _interpolated(number: float, places: Sequence[float], values: Sequence[float]) -> float:
    """`numpy.interp` of one number, which takes a tenth of its time."""
    i = bisect.bisect_right(places, number)
    if not 0 < i < len(places):
        return values[0] if i == 0 else values[-1]
    share = (number - places[i - 1]) / (places[i] - places[i - 1])
    return values[i - 1] + share * (values[i] - values[i - 1])
