"""Point cloud columns: points with their places as positions, and their features."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data import drawing, map_drawing
from perceiver_pytorch.data.arrays import array_cell
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.data.kinds.base import CLIPPED, ColumnSpec, Encoded, Kind, ModalitySpec, Part, check_positive
from perceiver_pytorch.data.map_pieces import cells
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.train_rows import TrainRows, too_large

_NAMES = frozenset(["point", "points", "pointcloud", "pointclouds", "cloud", "clouds", "xyz", "lidar", "vertices"])
_DIMS = 3
_PLACES = 64.0  # that the position encoding tells apart along each of the dimensions
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class PointsSettings(Settings):
    """How point clouds become arrays."""

    max_points: int = knob(1024, "larger point clouds are thinned out to this many points", above=0)


@dataclass(frozen=True)
class PointsSpec(ColumnSpec):
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
    changes: ClassVar[Mapping[str, str]] = {
        "holes": "have points that are not finite numbers, which are left out",
        "thinned": "were thinned out: they have more points than the model reads",
        "clipped": CLIPPED,
    }

    def __post_init__(self) -> None:
        check_positive(self, "num_points", "radius")
        if not 0 < len(self.centre) <= _DIMS:
            raise ValueError(f"centre must have 1 to {_DIMS} dimensions, got {self.centre}")
        if len(self.means) != len(self.stds) or any(not std > 0 for std in self.stds):
            raise ValueError("means and stds must have one number per feature, and stds be above 0")

    @classmethod
    def fit(cls, name: str, clouds: "Iterable[np.ndarray]", options: PointsSettings) -> "PointsSpec":
        """Learn the box, the number of points and the features' moments from clouds (at least one)."""
        facts: "dict[int, list[np.ndarray]]" = {}  # by columns: per cloud its number of points, bounds and sums
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
        stds[stds <= 1e-8 * np.abs(means)] = 1.0
        if not all(np.isfinite(numbers).all() for numbers in (centre, radius, means, stds)):
            raise too_large(name)
        return cls(
            name,
            min(most, options.max_points),
            tuple(centre.tolist()),
            radius,
            tuple(means.tolist()),
            tuple(stds.tolist()),
        )

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.num_points,)

    @property
    def channels(self) -> int:
        return len(self.centre) + len(self.means)

    def fewer_tokens(self) -> dict[str, Any]:
        return {"max_points": max(1, self.num_points // 2)}

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
            raise where.error(self.name, f"must be an array (points, {self.channels}), got one of shape {cloud.shape}")
        points = _finite(cloud)
        changes = ["holes"] if len(points) < len(cloud) else []
        if not len(points):
            return None
        if len(points) > self.num_points:
            chosen = np.random.default_rng(_SEED).permutation(len(points))[: self.num_points]
            points = points[np.sort(chosen)]
            changes.append("thinned")
        dims = len(self.centre)
        with np.errstate(over="ignore"):  # what is infinite is clipped
            places = (points[:, :dims] - self.centre) / self.radius
            features = (points[:, dims:] - self.means) / np.asarray(self.stds) if self.means else points[:, dims:]
        outside = float(np.abs(places).max()) - 1
        if outside > 1e-6:
            changes.append("clipped")
        reason = f"{self.name} has points {outside:.2g} radii outside of the train rows' box"
        unusual = (Oddity("outside", reason, outside),) if outside > 1e-6 else ()
        places = np.clip(places, -1, 1).astype(np.float32)
        if "clipped" not in changes and (np.abs(features) > 10).any():
            changes.append("clipped")
        values = np.concatenate([places, np.clip(features, -10, 10).astype(np.float32)], axis=1)
        return Encoded(values, coordinates=(places,), changes=tuple(changes), unusual=unusual)

    def fields(self) -> tuple[Field, ...]:
        point = [float(f"{number:.4g}") for number in (*self.centre, *self.means)]
        return (Field(self.name, "array", [point, point]),)

    def note(self) -> str:
        features = f", {len(self.means)} features" if self.means else ""
        return f"at most {self.num_points} points in {len(self.centre)} dimensions{features}"

    def pieces(self, encoded: Encoded, most: int) -> "np.ndarray":
        """Points that lie together."""
        return cells(_places(encoded), most)

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        return [{"kind": "drawing", "name": self.name, "value": map_drawing.points(_places(encoded), heat)}]

    def example(self, encoded: Encoded, row: Mapping[str, Any]) -> list[Part]:
        return [{"kind": "drawing", "name": self.name, "value": drawing.dots(_places(encoded))}]

    @property
    def file_columns(self) -> tuple[str, ...]:
        return self.columns


class PointsKind(Kind):
    """Lists of three numbers each, in no order, or in a column called points, cloud, xyz and the like."""

    name = "points"
    spec = PointsSpec
    settings = PointsSettings

    def recognises(self, column: Column) -> bool:
        return are_points(column)

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        (name,) = columns
        clouds = rows.look(name, lambda value, where: array_cell(value, name, where), what="point cloud")
        return [PointsSpec.fit(name, clouds, rows.options(name))]


def are_points(column: Column) -> bool:
    """Whether the arrays of a column are point clouds, not series."""
    if not column.arrays or any(array.ndim == 1 or array.shape[1] != 3 for array in column.arrays):
        return False
    named = re.split(r"[^a-z]+", column.name.lower())
    return bool(_NAMES & {*named, "".join(named)}) or _in_no_order(column.arrays)


def _in_no_order(arrays: "list[np.ndarray]") -> bool:
    """Neighbouring rows are no closer to each other than any two: a series would go on where it was."""
    ratios = []
    for array in arrays:
        rows = array[np.isfinite(array).all(axis=1)]
        if len(rows) < 16:
            continue
        near = np.linalg.norm(np.diff(rows, axis=0), axis=1).mean()
        other = np.linalg.norm(rows - np.random.default_rng(0).permutation(rows), axis=1).mean()
        ratios.append(near / other if other else 0.0)
    return bool(ratios) and float(np.median(ratios)) > 0.9


def _places(encoded: Encoded) -> "np.ndarray":
    """(points, dims), within -1 and 1."""
    assert encoded.coordinates is not None
    places = encoded.coordinates[0]
    assert places is not None
    return places


def _finite(cloud: "np.ndarray") -> "np.ndarray":
    """The points without NaN or infinity."""
    if cloud.ndim != 2:
        return np.zeros((0, 1))
    return cloud[np.isfinite(cloud).all(axis=1)]
