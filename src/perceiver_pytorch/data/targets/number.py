"""A target that is a number or a date."""

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from perceiver_pytorch._lazy import torch
from perceiver_pytorch.data.amounts import amount
from perceiver_pytorch.data.targets import intervals
from perceiver_pytorch.data.targets.base import Baseline, Target
from perceiver_pytorch.data.targets.conformal import local_spread
from perceiver_pytorch.data.targets.report_parts import BLUE, GREY, Answer, Drawing, Section, spread
from perceiver_pytorch.data.targets.scaling import ROUNDING, Fitted
from perceiver_pytorch.data.values import as_date, as_number, is_infinite, readable

if TYPE_CHECKING:
    from torch import Tensor

_MANY = 20  # more different values than this are measurements if they are numbers
_MAX_POINTS = 5000  # of a scatter plot
_SECONDS_PER_DAY = 86400
_SKEWED = 1.5  # skewness of amounts that are learned by their logarithm
_EVEN = 1.0  # skewness that their logarithms stay below
_LEAST = 1e-6  # of the mean of the train rows: nearer to 0, a share of the number says nothing
_NOTHING = 1e-6  # what float32 leaves of a 0 that was standardised, as a share of the deviation and the mean
_FURTHEST = 2.0  # no such target is predicted to be so many times the greatest of the train rows


@dataclass(frozen=True)
class NumberTarget(Target):
    """A number; encoded standardised by the train rows, NaN where unknown. The model gives it standardised, or its
    logarithm.

    Numbers that are never negative and mostly small, such as prices and counts, are learned by their logarithm: the
    model gives it standardised, and the loss is the Poisson deviance. What has the least of it is the mean, as with the
    squared error, so predictions need no correction when they are turned back (a mean of logarithms would be too low).

    Attributes:
        name: the column.
        mean, std: of the train rows, in the column's unit; of dates in days since 1970-01-01.
        dates: `"day"` where the cells are dates, `"second"` where they have a time of day; empty for numbers.
        log_mean, log_std: of the logarithms of the train rows where the model gives those; else 0.
        greatest: of the train rows where the model gives logarithms; else 0.
    """

    mean: float
    std: float
    dates: str = ""
    log_mean: float = 0.0
    log_std: float = 0.0
    greatest: float = 0.0

    kind: ClassVar[str] = "number"
    plural: ClassVar[str] = "numbers"
    titles: ClassVar[Mapping[str, str]] = {"mae": "MAE", "rmse": "RMSE", "r2": "R²", "mape": "MAPE"}
    baseline: ClassVar[Baseline] = Baseline("mean of the train rows", "baseline_mae", "mae")
    scores: ClassVar[tuple[str, ...]] = ("r2",)

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise ValueError(f"std must be positive, got {self.std}")
        if self.dates not in ("", "day", "second"):
            raise ValueError(f"dates must be 'day', 'second' or empty, got {self.dates!r}")
        if self.log_std < 0 or (self.log_std and not min(self.mean, self.greatest) > 0):
            raise ValueError(
                "log_std must be 0, or above 0 with a mean and a greatest number above 0, got "
                f"{self.log_std}, {self.mean} and {self.greatest}"
            )

    @classmethod
    def recognises(cls, cells: Sequence[Any], separator: str | None) -> bool:
        """Numbers with many different values, or with decimals and hardly a value twice."""
        if any(isinstance(cell, bool) for cell in cells):
            return False
        try:
            numbers = [number for number in map(as_number, filterfalse(is_infinite, cells)) if number is not None]
        except ValueError:
            return False
        distinct = len(set(numbers))
        return distinct > _MANY or (any(number % 1 for number in numbers) and distinct > max(2, len(numbers) / 2))

    @classmethod
    def fit(cls, name: str, cells: Sequence[Any], separator: str | None = None) -> "NumberTarget":
        values = np.array(readable(cells, as_number), dtype=np.float64)
        if not len(values):
            raise ValueError("has no number in the train rows")
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = float(values.mean()), float(values.std())
        if not (math.isfinite(mean) and math.isfinite(std)):
            raise ValueError("has numbers that are too large to average")
        if std <= 1e-12 * abs(mean):
            raise ValueError(f"has one value only in the train rows ({mean:g}); there is nothing to learn")
        dates = all(isinstance(cell, datetime.date) for cell in cells)
        timed = any(isinstance(cell, datetime.datetime) for cell in cells)
        logs = () if dates else _logs(values)
        return cls(name, mean, std, "" if not dates else "second" if timed else "day", *logs)

    def note(self) -> str:
        kind, unit = ("a date", " days") if self.dates else ("a number", "")
        how = ", learned by its logarithm, since most are small" if self.log_std else ""
        return f"{kind}, {self.text(self.mean)} ± {amount(self.std)}{unit}{how}"

    def cells(self, values: np.ndarray) -> np.ndarray:
        """Numbers in the column's unit as what the cells are: datetime64 where they are dates, NaT of infinite ones."""
        if not self.dates:
            return values
        unit = "s" if self.dates == "second" else "D"
        counts = np.rint(values * (_SECONDS_PER_DAY if unit == "s" else 1))
        there = np.isfinite(counts)
        dates = np.where(there, counts, 0).astype(np.int64).astype(f"datetime64[{unit}]")
        return dates if there.all() else np.where(there, dates, np.datetime64("NaT"))

    def text(self, value: float) -> str:
        """A number in the column's unit, for people."""
        return str(self.cells(np.array(value))) if self.dates else amount(value, _NOTHING * (self.std + abs(self.mean)))

    @property
    def size(self) -> int:
        return 1

    def encode(self, value: Any) -> np.ndarray:
        """float32 (): the number in standard deviations from the mean."""
        number = as_number(as_date(value) if self.dates and isinstance(value, str) else value)
        return self.unknown() if number is None else np.array((number - self.mean) / self.std, dtype=np.float32)

    def _decoded(self, standardised: "Tensor") -> "Tensor":
        """In the column's unit; in double precision, since a unit may be large against the spread."""
        return standardised.double() * self.std + self.mean

    def _predicted(self, outputs: "Tensor") -> "Tensor":
        """What outputs mean in the column's unit, in double precision."""
        if not self.log_std:
            return self._decoded(outputs)
        return (outputs.double() * self.log_std + self.log_mean).exp().clamp(max=_FURTHEST * self.greatest)

    def loss(
        self, outputs: "Tensor", encoded: "Tensor", *, weights: "Tensor | None" = None, label_smoothing: float = 0.0
    ) -> "Tensor":
        """Mean squared error, standardised; of logarithms the Poisson deviance, which is about as large near its least:
        the squared error of numbers whose variance is as large as their mean."""
        if not self.log_std:
            return torch.nn.functional.mse_loss(outputs[:, 0], encoded)
        spread = self.std / self.mean
        truth = (encoded * spread + 1).clamp(min=0)  # in means of the train rows, as `log` is
        log = outputs[:, 0] * self.log_std + (self.log_mean - math.log(self.mean))
        above = (log - math.log(_FURTHEST * self.greatest / self.mean)).clamp(min=0)
        given = (log - above).exp() * (1 + above)  # grows evenly beyond what may be predicted
        deviance = torch.xlogy(truth, truth) - truth * log - truth + given
        return 2 * deviance.mean() / spread**2

    def metrics(self, outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """``mae``, ``rmse``, ``r2``, ``baseline_mae``, ``baseline_rmse`` in the column's unit; ``mape``, the mean
        of the errors as shares of the truth; None where not all numbers are positive."""
        from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score

        given, truth = self._predicted(outputs[:, 0]), self._decoded(encoded)
        mean = torch.full_like(truth, self.mean)
        varies = len(truth) > 1 and bool(truth.max() > truth.min())
        return {
            "mae": float(mean_absolute_error(given, truth)),
            "rmse": float(mean_squared_error(given, truth, squared=False)),
            "r2": float(r2_score(given, truth)) if varies else None,
            "mape": float(((given - truth).abs() / truth).mean()) if self._positive(truth) else None,
            "baseline_mae": float(mean_absolute_error(mean, truth)),
            "baseline_rmse": float(mean_squared_error(mean, truth, squared=False)),
        }

    def _positive(self, truth: "Tensor") -> bool:
        """Whether errors can be told as shares: these numbers, and those of the train rows, are amounts above 0."""
        return not self.dates and self.mean > 0 and bool((truth > _LEAST * self.mean).all())

    def score_name(self, balanced: bool = False) -> str:
        return "r2"

    def score(self, metrics: Mapping[str, Any], name: str) -> float:
        """R²; of one row, or of equal ones, against the spread of the train rows."""
        return 1 - (metrics["rmse"] / self.std) ** 2 if metrics["r2"] is None else metrics["r2"]

    def without_inputs(self, metrics: Mapping[str, Any], name: str) -> float | None:
        """Of the mean."""
        return 0.0 if name == "r2" else super().without_inputs(metrics, name)

    def intervals(self, metrics: Mapping[str, Any], outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """Of every metric, by a bootstrap."""
        truth = self._decoded(encoded).numpy()
        wrong = self._predicted(outputs[:, 0]).numpy() - truth
        shares = abs(wrong) / truth if metrics["mape"] is not None else wrong
        truth = truth - truth.mean()

        def scores(drawn: np.ndarray) -> dict[str, np.ndarray]:
            absolute, squared = (drawn @ abs(wrong) / len(truth), drawn @ wrong**2 / len(truth))
            spread = drawn @ truth**2 / len(truth) - (drawn @ truth / len(truth)) ** 2
            r2 = 1 - np.divide(squared, spread, out=np.full_like(squared, np.nan), where=spread > 0)
            return {"mae": absolute, "rmse": np.sqrt(squared), "r2": r2, "mape": drawn @ shares / len(truth)}

        found = intervals.bootstrap(scores, len(truth))
        return {
            name: intervals.stated(interval, "bootstrap")
            for name, interval in found.items()
            if metrics[name] is not None
        }

    def fitted(self, outputs: "Tensor", encoded: "Tensor", like: Fitted | None = None) -> Fitted:
        """How large errors are where a number is predicted; the outputs stay as they are."""
        predicted = self._standardised(self.values(outputs).numpy())
        return Fitted((), (), *local_spread(predicted, encoded.double().numpy() - predicted, like))

    def misfits(self, values: np.ndarray, encoded: np.ndarray, fitted: Fitted) -> np.ndarray | None:
        """How far the truth lies above, and below, the prediction, in usual errors."""
        predicted = self._standardised(values)
        above = (encoded - predicted) / fitted.spread_at(predicted)
        return np.stack([above, -above], axis=1)

    def regions(self, values: np.ndarray, limits: Sequence[float], fitted: Fitted) -> np.ndarray:
        """float64 ``(rows, 2)``: from where to where, in the column's unit; amounts are never below 0."""
        above, below = (np.float64(limit) * self.std for limit in limits)
        spread = fitted.spread_at(self._standardised(values))
        ends = np.stack([values[:, 0] - below * spread, values[:, 0] + above * spread], axis=1)
        return ends.clip(min=0) if self.log_std else ends

    def holds(self, regions: np.ndarray, encoded: np.ndarray) -> np.ndarray:
        truth, rounding = encoded * np.float64(self.std) + self.mean, ROUNDING * self.std
        return (regions[:, 0] - rounding <= truth) & (truth <= regions[:, 1] + rounding)

    def region_sizes(self, regions: np.ndarray) -> np.ndarray:
        return regions[:, 1] - regions[:, 0]

    def region_columns(self, regions: np.ndarray) -> dict[str, Any]:
        """``low`` and ``high``; no date where an end is infinite."""
        return {name: self.cells(regions[:, i]) for i, name in enumerate(("low", "high"))}

    def _standardised(self, values: np.ndarray) -> np.ndarray:
        """float64 ``(rows,)``: predictions in standard deviations of the train rows, as truth is encoded."""
        return (values[:, 0].astype(np.float64) - self.mean) / self.std

    def values(self, outputs: "Tensor") -> "Tensor":
        """float64 ``(rows, 1)``: in the column's unit."""
        return self._predicted(outputs)

    def columns(self, values: np.ndarray) -> dict[str, Any]:
        """The number, or the date."""
        return {"prediction": self.cells(values[:, 0])}

    def answer(self, values: "Tensor", encoded: "Tensor | None") -> Answer:
        prediction = self.text(float(values[0]))
        return Answer(prediction, None if encoded is None else self.text(float(encoded) * self.std + self.mean))

    def chosen(self, outputs: "Tensor") -> "Tensor":
        return outputs.argmax(-1).clamp(max=0)

    row_score: ClassVar[str] = "mean absolute error"

    def row_losses(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor":
        """The error in the column's unit."""
        return (self._predicted(outputs[:, 0]) - self._decoded(encoded)).abs()

    def evidence_note(self, chosen: int) -> str:
        return f"{self.name}, in standard deviations of {'its logarithm' if self.log_std else 'the train rows'}"

    def sections(self, metrics: Mapping[str, Any], values: "Tensor", encoded: "Tensor", of: str) -> list[Section]:
        rows = self.known(encoded).nonzero().flatten()
        places = spread(rows, _MAX_POINTS)
        truth, predicted = self._decoded(encoded[places]).tolist(), values[places, 0].tolist()
        drawing = Drawing(5.0, 4.6, lambda axes: self._draw(axes, truth, predicted))
        note = f"{len(places)} of {len(rows)} rows are drawn." if len(places) < len(rows) else ""
        return [Section(f"True and predicted {self.name}", drawing, note=note)]

    def _draw(self, axes: Any, truth: Sequence[float], predicted: Sequence[float]) -> None:
        """A point per row, true against predicted; on the line both are the same."""
        alpha = float(np.clip(200 / max(1, len(truth)), 0.1, 0.8))
        axes.scatter(truth, predicted, s=14, alpha=alpha, color=BLUE, linewidths=0)
        low, high = min(*truth, *predicted), max(*truth, *predicted)
        axes.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle=":")
        axes.set(xlabel=f"true {self.name}", ylabel=f"predicted {self.name}")


def _logs(values: np.ndarray) -> tuple[float, float, float] | tuple[()]:
    """Mean and deviation of the logarithms of numbers that are better learned by them, and the greatest number."""
    if values.min() < 0 or _skewness(values) < _SKEWED:
        return ()
    logs = np.log(np.maximum(values, values[values > 0].min() / 2))  # 0 has none
    return (float(logs.mean()), float(logs.std()), float(values.max())) if abs(_skewness(logs)) < _EVEN else ()


def _skewness(values: np.ndarray) -> float:
    return float((((values - values.mean()) / values.std()) ** 3).mean())
