from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_helpers import fitted, npy, table_of
from perceiver_pytorch.data import DataError, PointsSpec, SpecOptions, TableDataset, Where, collate

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
