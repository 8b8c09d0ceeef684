from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_helpers import WHOLE, check_bounds, declared, fitted, npy, table_of
from perceiver_pytorch._settings import Settings
from perceiver_pytorch.data import DataError, PointsSpec, SpecOptions, TableDataset, Where, collate
from perceiver_pytorch.data.kinds.points import PointsKind, PointsSettings, are_points

WHERE = Where("here.csv", Path("/nowhere"), 17)
SPEC = PointsSpec("x", 8, (0.0, 0.0, 1.0), 2.0, (), ())


def test_places_are_scaled_into_the_train_rows_box():
    encoded = SPEC.encode({"x": [[0, 0, 1], [2, -2, 3], [1, 0, 1]]}, WHERE)
    np.testing.assert_allclose(encoded.coordinates[0], [[0, 0, 0], [1, -1, 1], [0.5, 0, 0]])
    assert np.array_equal(encoded.values, encoded.coordinates[0])
    assert encoded.changes == ()


def test_points_outside_are_moved_to_the_faces_and_holes_left_out():
    encoded = SPEC.encode({"x": npy(np.array([[9, 0, 1], [np.nan, 0, 0], [np.inf, 0, 0]]))}, WHERE)
    np.testing.assert_allclose(encoded.coordinates[0], [[1, 0, 0]])
    assert encoded.changes == ("holes", "clipped")
    assert SPEC.encode({"x": [[np.nan] * 3]}, WHERE) is None
    features = PointsSpec("x", 8, (0.0, 0.0, 0.0), 1.0, (5.0,), (1.0,))
    assert features.encode({"x": [[0, 0, 0, 5], [0, 0, 0, 15]]}, WHERE).changes == ()
    assert features.encode({"x": [[0, 0, 0, 5], [0, 0, 0, 99]]}, WHERE).changes == ("clipped",)
    assert SPEC.encode({"x": []}, WHERE) is None


def test_large_clouds_are_thinned_out_always_alike():
    cloud = np.random.default_rng(1).random((100, 3))
    first, second = (SPEC.encode({"x": cloud.copy()}, WHERE) for _ in range(2))
    assert first.values.shape == (8, 3)
    assert first.changes == ("thinned",)
    assert np.array_equal(first.values, second.values)
    assert len({tuple(place) for place in first.values}) == 8


@pytest.mark.parametrize("cell", [[[1, 2]], [1, 2, 3], [[[1, 2, 3]]]])
def test_other_shapes_are_named(cell):
    with pytest.raises(DataError, match=r"row 17, column 'x': must be an array \(points, 3\)"):
        SPEC.encode({"x": cell}, WHERE)


def test_box_and_features_are_learned(tmp_path):
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(10 + i, 5)) * [1, 2, 3, 4, 5] + 7 for i in range(20)]
    table = table_of(tmp_path, x=[cloud.tolist() for cloud in clouds], y=["a", "b"] * 10)
    spec, splits = fitted(table, "y", kinds={"x": "points"}, options=SpecOptions(max_points=16))
    (points,) = spec.modalities
    train = np.concatenate([clouds[i] for i in splits.train])
    np.testing.assert_allclose(points.centre, (train.min(0) + train.max(0))[:3] / 2)
    assert points.radius == pytest.approx((train.max(0) - train.min(0))[:3].max() / 2)
    np.testing.assert_allclose(points.means, train[:, 3:].mean(0))
    np.testing.assert_allclose(points.stds, train[:, 3:].std(0))
    assert (points.num_points, points.channels, points.own_coordinates) == (16, 5, (3,))
    batch = collate([TableDataset(table, splits.train, spec)[i] for i in range(5)], spec)
    assert batch.coordinates["x"][0].shape == (5, batch.inputs["x"].shape[1], 3)


@given(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), max_size=20))
def test_any_numbers_give_places_within_the_box(cloud):
    encoded = SPEC.encode({"x": cloud}, WHERE)
    assert encoded is None or np.abs(encoded.coordinates[0]).max() <= 1


def test_cut_clouds_keep_the_order_of_their_points_and_a_seed():
    cloud = np.arange(60.0).reshape(20, 3) / 60
    spec = PointsSpec("x", 5, (0.5, 0.5, 0.5), 0.5, (), ())
    chosen = np.sort(np.random.default_rng(0).permutation(20)[:5])
    np.testing.assert_allclose(spec.encode({"x": cloud}, WHERE).values, (cloud[chosen] - 0.5) / 0.5, rtol=1e-6)
    five = spec.encode({"x": cloud[:5]}, WHERE)
    assert (len(five.values), five.changes, five.values.dtype) == (5, (), np.float32)
    assert spec.encode({"x": None}, WHERE) is None


def test_what_lies_just_outside_is_rounding():
    spec = PointsSpec("x", 5, (0.0, 0.0, 0.0), 1.0, (1.0,), (2.0,))
    assert spec.encode({"x": [[1 + 5e-7, 0, 0, 21]]}, WHERE).changes == ()
    assert spec.encode({"x": [[-1 - 2e-6, 0, 0, 21]]}, WHERE).changes == ("clipped",)
    high = spec.encode({"x": [[0, 0, 0, 21.1], [0, 0, 0, -99]]}, WHERE)
    assert high.changes == ("clipped",)
    assert high.values[:, 3].tolist() == [10, -10]
    assert spec.encode({"x": [[9, 0, 0, 99]]}, WHERE).changes == ("clipped",)  # told once


def test_points_near_the_largest_number_are_clipped_without_a_word_of_numpys():
    spec = PointsSpec("x", 5, (0.0, 0.0, 0.0), 0.1, (1.0,), (0.1,))
    encoded = spec.encode({"x": [[1.7e308, 0, -1.7e308, 1.7e308]]}, WHERE)
    assert (encoded.changes, encoded.values.tolist()) == (("clipped",), [[1, 0, -1, 10]])


def test_notes_and_numbers_of_a_spec():
    flat = PointsSpec("x", 4, (0.0, 0.0), 1.0, (0.0,), (1.0,))
    assert flat.note() == "at most 4 points in 2 dimensions, 1 features"
    assert SPEC.note() == "at most 8 points in 3 dimensions"
    assert (flat.axes, flat.channels, flat.own_coordinates, flat.file_columns) == ((4,), 3, (2,), ("x",))
    assert (flat.dtype, flat.shared, flat.seconds, flat.harmless) == ("float32", True, 0.0, frozenset())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"num_points": 0}, "num_points must be"),
        ({"radius": 0.0}, "radius must be"),
        ({"centre": ()}, r"centre must have 1 to 3 dimensions, got \(\)"),
        ({"centre": (0.0,) * 4}, "centre must have 1 to 3 dimensions"),
        ({"means": (0.0,)}, "means and stds must have one number per feature"),
        ({"means": (0.0,), "stds": (0.0,)}, "stds be above 0"),
    ],
)
def test_wrong_numbers_are_named(fields, reason):
    given = {"name": "x", "num_points": 8, "centre": (0.0,), "radius": 1.0, "means": (), "stds": ()}
    with pytest.raises(ValueError, match=reason):
        PointsSpec(**{**given, **fields})
    PointsSpec(**{**given, "centre": (0.0,) * 3})


def test_learned_from_odd_clouds():
    nan = np.nan
    clouds = [np.array([[0, 0, 7.0], [4, 2, 7], [nan, 9, 9]]), np.zeros((2, 2)), np.zeros(3), np.full((3, 3), nan)]
    spec = PointsSpec.fit("x", [*clouds, np.array([[0, 0, 7.0]])], SpecOptions())
    assert spec == PointsSpec("x", 2, (2.0, 1.0, 7.0), 2.0, (), ())
    one = PointsSpec.fit("x", [np.array([[5.0, 5, 5, 3]])], SpecOptions(max_points=1))
    assert one == PointsSpec("x", 1, (5.0, 5.0, 5.0), 1.0, (3.0,), (1.0,))
    four = PointsSpec.fit("x", [np.array([[0.0, 0, 0, 3], [0, 0, 0, 5]])], SpecOptions())
    assert (four.means, four.stds, four.num_points) == ((4.0,), (1.0,), 2)
    with pytest.raises(DataError, match=r"column 'x': no train row has an array \(points, 3\) with a finite point"):
        PointsSpec.fit("x", clouds[2:], SpecOptions())
    with pytest.raises(DataError, match="column 'x'"):
        PointsSpec.fit("x", [np.array([[0, 0, 0, 1e300]])], SpecOptions())
    assert PointsSettings().max_points == 1024


def walk(steps, seed):
    return np.random.default_rng(seed).normal(size=(steps, 3)).cumsum(0)


def noise(steps, seed):
    return np.random.default_rng(seed).normal(size=(steps, 3))


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("x", [noise(40, i) for i in range(5)], True),
        ("x", [walk(40, i) for i in range(5)], False),
        ("x", [noise(15, i) for i in range(5)], False),  # too few rows to tell
        ("x", [noise(16, i) for i in range(5)], True),
        ("x", [walk(16, i) for i in range(3)] + [noise(16, i) for i in range(2)], False),  # most decide
        ("x", [np.ones((40, 3))] * 5, False),
        ("x", [np.where(np.arange(120).reshape(40, 3) % 40 == 0, np.nan, noise(40, i)) for i in range(5)], True),
        ("x", [noise(40, i)[:, :2] for i in range(5)], False),
        ("x", [noise(40, i)[:, 0] for i in range(5)], False),
        ("lidar_left", [walk(40, i) for i in range(5)], True),
        ("Point Cloud", [walk(4, i) for i in range(5)], True),
        ("point-cloud", [walk(4, i) for i in range(5)], True),
        ("viewpoint", [walk(40, i) for i in range(5)], False),
        ("xyz", [noise(40, i) for i in range(4)] + [noise(40, 9)[:, :2]], False),
    ],
)
def test_point_clouds_are_in_no_order_or_named(name, cells, expected):
    assert are_points(SimpleNamespace(name=name, arrays=cells)) is expected
    assert PointsKind().recognises(SimpleNamespace(name=name, arrays=cells)) is expected
    assert are_points(SimpleNamespace(name="xyz", arrays=[])) is False


def test_an_example_shows_the_places():
    (part,) = SPEC.example(SPEC.encode({"x": [[0, 0, 1], [2, -2, 3]]}, WHERE), {})
    assert (part["kind"], part["name"]) == ("drawing", "x")
    assert part["value"].count("<circle") == 4  # two views


def test_what_the_kind_declares():
    assert declared(PointsKind()) == (
        "points",
        (PointsSpec, "points", "float32"),
        PointsSettings,
        Settings,
        False,
        False,
    )
    check_bounds(PointsSettings, max_points=WHOLE)
