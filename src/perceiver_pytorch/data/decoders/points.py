"""Point cloud columns: points with their places as positions, and their features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import array_cell
from ..cells import Where
from ..errors import DataError
from ..options import SpecOptions
from .base import Encoded, Spec, check_positive

_DIMS = 3
_PLACES = 64.0  # that the position encoding tells apart along each of the dimensions
_SEED = 0


@dataclass(frozen=True)
class PointsSpec(Spec):
    """One column of point clouds `(points, dims + features)` as at most `num_points` tokens.

    A token's position is its point's place, in [-1, 1] where the train rows have points; its values are the place and
    the features, standardised.

    Attributes:
        name: the modality's and the column's name.
        num_points: larger clouds are thinned out, always in the same way.
        centre: of the box around all points of the train rows, one number per dimension (3, or 2 of flat points).
        radius: half of the box's longest side; the same for all dimensions, so that proportions stay.
        means, stds: of each feature.
    """

    name: str
    num_points: int
    centre: tuple[float, ...]
    radius: float
    means: tuple[float, ...]
    stds: tuple[float, ...]

    kind: ClassVar[str] = "points"
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        check_positive(self, "num_points", "radius")
        if not 0 < len(self.centre) <= _DIMS:
            raise ValueError(f"1 to {_DIMS} dimensions were expected, got a centre {self.centre}")
        if len(self.means) != len(self.stds) or any(not std > 0 for std in self.stds):
            raise ValueError("one mean and one positive std per feature were expected")

    @classmethod
    def fit(cls, name: str, clouds: Iterable[np.ndarray], options: SpecOptions) -> PointsSpec:
        """Learn the box, the number of points and the features' moments from clouds (at least one)."""
        facts: dict[int, list[np.ndarray]] = {}  # by columns: per cloud its number of points, bounds and sums
        for cloud in clouds:
            points = _finite(cloud)
            if len(points):
                size = np.full(points.shape[1], len(points))
                with np.errstate(over="ignore", invalid="ignore"):  # told below
                    rows = np.stack([size, points.min(0), points.max(0), points.sum(0), (points**2).sum(0)])
                facts.setdefault(points.shape[1], []).append(rows)
        if not facts:
            raise DataError(f"column {name!r}: no train row has an array (points, 3) with a finite point", column=name)
        # Clouds of another width than most have are reported when their rows are decoded.
        sizes, lows, highs, totals, powers = np.stack(max(facts.values(), key=len), axis=1)
        low, high, total, squares = lows.min(0), highs.max(0), totals.sum(0), powers.sum(0)
        most, count = int(sizes.max()), int(sizes[:, 0].sum())
        dims = min(_DIMS, len(low))
        centre = low[:dims] / 2 + high[:dims] / 2
        with np.errstate(over="ignore", invalid="ignore"):
            radius = float((high - low)[:dims].max() / 2) or 1.0
            means = total[dims:] / count
            stds = np.sqrt(np.maximum(squares[dims:] / count - means**2, 0))
        stds[stds < 1e-8] = 1.0
        if not all(np.isfinite(numbers).all() for numbers in (centre, radius, means, stds)):
            reason = f"its numbers are too large to average; --column {name}=ignore leaves it out"
            raise DataError(f"column {name!r}: {reason}", column=name, reason=reason)
        return cls(
            name,
            min(most, options.max_points),
            tuple(centre.tolist()),
            radius,
            tuple(means.tolist()),
            tuple(stds.tolist()),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.num_points,)

    @property
    def channels(self) -> int:
        return len(self.centre) + len(self.means)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.num_points, self.channels)

    @property
    def resolution(self) -> float:
        return _PLACES

    @property
    def own_coordinates(self) -> tuple[int, ...]:
        return (len(self.centre),)

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """float32 (points, dims + features), and each point's place (points, dims) as coordinates.

        Points that are not finite are left out; points outside the box of the train rows are moved to its faces.
        """
        cloud = array_cell(row[self.name], self.name, where)
        if cloud is None or not cloud.size:
            return None
        if cloud.ndim != 2 or cloud.shape[1] != self.channels:
            raise where.error(
                self.name, f"an array (points, {self.channels}) was expected, got one of shape {cloud.shape}"
            )
        points = _finite(cloud)
        changes = ["holes"] if len(points) < len(cloud) else []
        if not len(points):
            return None
        if len(points) > self.num_points:
            chosen = np.random.default_rng(_SEED).permutation(len(points))[: self.num_points]
            points = points[np.sort(chosen)]
            changes.append("thinned")
        dims = len(self.centre)
        places = (points[:, :dims] - self.centre) / self.radius
        if np.abs(places).max() > 1 + 1e-6:
            changes.append("clipped")
        places = np.clip(places, -1, 1).astype(np.float32)
        features = (points[:, dims:] - self.means) / np.asarray(self.stds) if self.means else points[:, dims:]
        values = np.concatenate([places, np.clip(features, -10, 10).astype(np.float32)], axis=1)
        return Encoded(values, coordinates=(places,), changes=tuple(changes))

    def note(self) -> str:
        features = f", {len(self.means)} features" if self.means else ""
        return f"at most {self.num_points} points in {len(self.centre)} dimensions{features}"


def _finite(cloud: np.ndarray) -> np.ndarray:
    """The points without NaN or infinity."""
    if cloud.ndim != 2:
        return np.zeros((0, 1))
    return cloud[np.isfinite(cloud).all(axis=1)]
