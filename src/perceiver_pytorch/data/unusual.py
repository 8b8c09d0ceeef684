"""Rows unlike the train rows: what of it is usual in validation rows, and what is not.

Two things tell: what the kinds say of a row's cells (`Oddity`), and how far the latents of a row lie from those of
train rows with the same modalities. Of each the validation rows, which are like the train rows, give the limit: one in
a hundred of them may be beyond it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.spec_json import from_json, to_json

RATE = 0.01
"""Share of validation rows that a limit may call unusual."""
MOST_USUAL = 0.1
"""Of the validation rows: what more of them have is usual, also where it is no matter of degree."""
_MOST_TOLD = 3  # reasons of a row
_MOST_DIRECTIONS, _ROWS_PER_DIRECTION = 32, 10
_LEAST_VARIANCE = 1e-12

Oddities = Mapping[int, Sequence[tuple[str, Oddity]]]
"""{row: (modality, oddity) ..}, of the rows that have any."""


@dataclass(frozen=True)
class Limit:
    """From where on something is unusual.

    Attributes:
        modality, what: of the `Oddity`.
        above: strengths above it are; None: none is, so many validation rows have it.
    """

    modality: str
    what: str
    above: float | None


@dataclass(frozen=True)
class Centre:
    """Where the latents of rows with the same modalities lie.

    Attributes:
        present: the modalities.
        mean: of the pooled latents of train rows.
        above: distances above it are unusual.
    """

    present: tuple[str, ...]
    mean: tuple[float, ...]
    above: float


@dataclass(frozen=True)
class Unusual:
    """What is unlike the train rows.

    Attributes:
        rows: validation rows that the limits are from.
        share: of them that are beyond some limit.
        limits: of oddities that some validation row had; of others any is unusual.
        centres: of latents; empty for a model that does not show them.
        directions: of the largest variance of latents within a pattern, each as wide as the latents.
        variances: along each direction, and last along any other.
    """

    rows: int
    share: float
    limits: tuple[Limit, ...] = ()
    centres: tuple[Centre, ...] = ()
    directions: tuple[tuple[float, ...], ...] = ()
    variances: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        width = {len(each) for each in (*self.directions, *(centre.mean for centre in self.centres))}
        if len(width) > 1 or (self.centres and len(self.variances) != len(self.directions) + 1):
            raise ValueError(
                "means and directions must be equally long, with a variance for each direction and one more"
            )
        if min(self.variances, default=1.0) <= 0:
            raise ValueError("variances must be above 0")

    def reasons(
        self,
        rows: np.ndarray,
        oddities: Oddities,
        latents: np.ndarray | None = None,
        present: Mapping[str, np.ndarray] | None = None,
    ) -> list[str]:
        """Per row what is unusual about it, as text; empty where nothing is.

        Args:
            rows: int64 ``(rows,)``, numbers in the table.
            oddities: what kinds said.
            latents: float ``(rows, width)``, pooled; None: they are not known.
            present: {modality: bool ``(rows,)``}, where there are latents.
        """
        above = {(limit.modality, limit.what): limit.above for limit in self.limits}
        found: list[list[str]] = []
        for row in rows.tolist():
            told = []
            for modality, oddity in oddities.get(row, ()):
                limit = above.get((modality, oddity.what), 0.0)
                if limit is not None and oddity.strength > limit:
                    told.append(oddity.reason)
            found.append(told)
        if latents is not None and present and self.centres:
            if latents.shape[1] != len(self.centres[0].mean):
                width = len(self.centres[0].mean)
                raise ValueError(
                    f"latents must be {width} wide as those that were learned from, got {latents.shape[1]}"
                )
            distances, limits = self._distances(latents, present)
            for i in np.flatnonzero(distances > limits):
                further = f"{distances[i] / limits[i]:.3g} times as far from them as is usual"
                found[i].append(f"unlike the train rows as a whole: {further}")
        return ["; ".join(told[:_MOST_TOLD]) for told in found]

    def _distances(self, latents: np.ndarray, present: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """How far each row lies from its centre, and what is usual there."""
        distances, limits = np.empty(len(latents)), np.empty(len(latents))
        there = np.stack([*present.values()], axis=1)
        for pattern in np.unique(there, axis=0):
            names = {name for name, has in zip(present, pattern.tolist(), strict=True) if has}
            centre = min(self.centres, key=lambda centre: len(names ^ {*centre.present}))
            rows = np.flatnonzero((there == pattern).all(1))
            shifted = latents[rows] - np.array(centre.mean)
            distances[rows] = distance(shifted, np.array(self.directions), np.array(self.variances))
            limits[rows] = centre.above
        return distances, limits

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        parts = {name: [to_json(each) for each in getattr(self, name)] for name in ("limits", "centres")}
        return {**to_json(self), **parts}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Unusual":
        """From `to_json`; raises a `DataError` for anything else."""
        limits = tuple(from_json(Limit, each, f"limits[{i}]") for i, each in enumerate(given.get("limits", ())))
        centres = tuple(from_json(Centre, each, f"centres[{i}]") for i, each in enumerate(given.get("centres", ())))
        plain = {name: value for name, value in given.items() if name not in ("limits", "centres")}
        found = from_json(cls, plain, "unusual")
        return cls(found.rows, found.share, limits, centres, found.directions, found.variances)


def distance(shifted: np.ndarray, directions: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """float64 ``(rows,)``: Mahalanobis distances by the mean square, of latents ``(rows, width)`` less their centre,
    under a covariance of some directions and an equal rest (Tipping and Bishop 1999)."""
    along = shifted @ directions.T if len(directions) else np.zeros((len(shifted), 0))
    rest = (shifted**2).sum(1) - (along**2).sum(1)
    squares = (along**2 / variances[:-1]).sum(1) + rest.clip(min=0) / variances[-1]
    return np.sqrt(squares / shifted.shape[1])


def spread_of(shifted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions of the largest variance, and variances along them and along any other, of centred latents."""
    rows, width = shifted.shape
    count = min(_MOST_DIRECTIONS, width - 1, rows // _ROWS_PER_DIRECTION)
    _, sizes, directions = np.linalg.svd(shifted, full_matrices=False)
    variances = sizes**2 / rows
    rest = variances[count:].sum() / max(1, width - count)
    least = max(_LEAST_VARIANCE, 1e-4 * float(variances.mean()))  # of directions that the train rows never took
    return directions[:count], np.maximum(np.append(variances[:count], rest), least)


def usual_limit(strengths: np.ndarray, rate: float = RATE) -> float:
    """The strength that a share ``rate`` of further rows like these is above, at most; of few rows their largest."""
    rank = min(len(strengths), math.ceil((len(strengths) + 1) * (1 - rate)))
    return float(np.sort(strengths)[rank - 1])


def learned_limits(rows: np.ndarray, oddities: Oddities) -> tuple[Limit, ...]:
    """Of every sort of oddity that validation rows have."""
    strengths: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows.tolist():
        for modality, oddity in oddities.get(row, ()):
            of_rows = strengths.setdefault((modality, oddity.what), {})
            of_rows[row] = max(oddity.strength, of_rows.get(row, 0.0))
    found = []
    for (modality, what), of_rows in sorted(strengths.items()):
        degrees = [strength for strength in of_rows.values() if math.isfinite(strength)]
        if len(degrees) == len(of_rows):
            above = usual_limit(np.array([*degrees, *[0.0] * (len(rows) - len(degrees))]))
            found.append(Limit(modality, what, above))
        elif len(of_rows) > MOST_USUAL * len(rows):
            found.append(Limit(modality, what, None))
    return tuple(found)


def unusual_of(model: Any) -> Unusual | None:
    """What a saved model knows of it; None if nothing.

    Raises:
        DataError: if it is damaged.
    """
    given = (getattr(model, "calibration", None) or {}).get("unusual")
    return None if given is None else Unusual.from_json(given)
