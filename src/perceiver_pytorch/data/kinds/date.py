"""All date columns together: when it was, and where that is in the year, the week and the day."""

import calendar
import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.data.kinds.base import Encoded, Kind, ModalitySpec, ModelInput, StandardisedSpec
from perceiver_pytorch.data.losses import Change
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.train_rows import TrainRows
from perceiver_pytorch.data.values import as_date

_CLIP = 10.0  # standard deviations: one absurd date must not swamp a batch
_FAR = 2.0  # standard deviations: evenly spread dates lie within 1.8
_PARTS = 12  # values of a token: 2 of the elapsed time, a sine and a cosine of 5 shares
_EPOCH = datetime.datetime(1970, 1, 1)


@dataclass(frozen=True)
class DatesSpec(StandardisedSpec):
    """The date columns as tokens `(number of columns, 13)`.

    A token has the elapsed time and the year, standardised, as sine and cosine the part of the year, the month, the day
    of the month, the weekday and the time of day, and 1 where the date is missing.

    Attributes:
        name: the modality's name.
        columns: the columns, in token order.
        means, stds: of each column, in days since 1970-01-01 (UTC).
        gaps: whether a column's date is missing in some train rows: then a missing one is a token, which the model has
            learned something about; else it is masked. Empty, as in runs of early versions: all are masked, and a token
            does not say whether its date is missing.
    """

    gaps: tuple[bool, ...] = ()

    kind: ClassVar[str] = "date"
    head: ClassVar[str] = "columns"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.gaps) not in (0, len(self.columns)):
            raise ValueError("gaps must have one entry per column")

    @property
    def channels(self) -> int:
        return _PARTS + bool(self.gaps)

    @classmethod
    def fit(cls, name: str, dates: Mapping[str, Sequence[datetime.datetime | None]]) -> "DatesSpec":
        """Learn mean and standard deviation of each column, leaving missing values out (None)."""
        days = [np.array([_days(date) for date in column if date is not None]) for column in dates.values()]
        means = tuple(float(column.mean()) if len(column) else 0.0 for column in days)
        stds = tuple(float(column.std()) if len(column) and column.std() > 1e-6 else 1.0 for column in days)
        return cls(name, tuple(dates), means, stds, tuple(None in column for column in dates.values()))

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """float32 (columns, channels); None if all are missing.

        A missing date is 0 and masked, or is its column's token for it. A date further than 10 standard deviations from
        the train rows' is taken as that far.
        """
        values = np.zeros(self.shape, dtype=np.float32)
        there = np.ones(len(self.columns), dtype=bool)
        changes, unusual = [], []
        for i, column in enumerate(self.columns):
            try:
                date = as_date(row[column])
            except ValueError as error:
                raise where.error(column, str(error)) from error
            if date is None:
                there[i] = False
                continue
            elapsed = (_days(date) - self.means[i]) / self.stds[i]
            if abs(elapsed) > _FAR:
                around = f"{_date(self.means[i] - self.stds[i])} to {_date(self.means[i] + self.stds[i])}"
                reason = f"{column} is {row[column]}, far from the train rows' (mostly {around})"
                unusual.append(Oddity("far", reason, abs(elapsed)))
            if abs(elapsed) > _CLIP:
                changes.append(Change("clipped", column, str(row[column])))
            year = (date.year - 1970 - self.means[i] / 365.2425) / max(1.0, self.stds[i] / 365.2425)
            values[i, :2] = np.clip([elapsed, year], -_CLIP, _CLIP)
            values[i, 2:_PARTS] = [part for share in _shares(date) for part in _circle(share)]
        if not there.any():
            return None
        mask = there
        if self.gaps:
            values[:, _PARTS] = ~there
            mask = there | np.array(self.gaps)
        return Encoded(values, None if mask.all() else mask, changes=tuple(changes), unusual=tuple(unusual))

    def model_input(self) -> ModelInput:
        stem = {"name": "numbers", "columns": len(self.columns), "input_channels": self.channels}
        return dataclasses.replace(super().model_input(), stem=stem if self.gaps else None)

    def fields(self) -> tuple[Field, ...]:
        return tuple(Field(name, "date", _date(mean)) for name, mean in zip(self.columns, self.means, strict=True))

    def note(self) -> str:
        spans = [(_date(mean - std), _date(mean + std)) for mean, std in zip(self.means, self.stds, strict=True)]
        return "mostly " + ", ".join(f"{first} to {last}" for first, last in spans)


class DateKind(Kind):
    """Dates, dates with times, and texts that are all ISO 8601 dates."""

    name = "date"
    spec = DatesSpec
    together = True
    plain = True

    def recognises(self, column: Column) -> bool:
        return column.dates

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        return [DatesSpec.fit(rows.free_name("dates"), rows.values(columns, as_date))]


def _days(date: datetime.datetime) -> float:
    return (date - _EPOCH).total_seconds() / 86400


def _date(days: float) -> str:
    try:
        return (_EPOCH + datetime.timedelta(days=days)).date().isoformat()
    except OverflowError:
        return "?"


def _shares(date: datetime.datetime) -> tuple[float, ...]:
    """How much of the year, of the months, of the month, of the week and of the day has passed, in [0, 1)."""
    day = (date.hour * 3600 + date.minute * 60 + date.second + date.microsecond * 1e-6) / 86400
    year_days = 366 if calendar.isleap(date.year) else 365
    month_days = calendar.monthrange(date.year, date.month)[1]
    return (
        (date.timetuple().tm_yday - 1 + day) / year_days,
        (date.month - 1) / 12,
        (date.day - 1) / month_days,
        date.weekday() / 7,
        day,
    )


def _circle(share: float) -> tuple[float, float]:
    return math.sin(2 * math.pi * share), math.cos(2 * math.pi * share)
