"""Limits are such that validation rows are called unusual as seldom as stated; distances are Mahalanobis'."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.unusual import (
    RATE,
    Centre,
    Limit,
    Unusual,
    distance,
    learned_limits,
    spread_of,
    unusual_of,
    usual_limit,
)

FAR = Oddity("far", "x is far", 2.0)
NEW = Oddity("new", "x is new")


@given(st.integers(1, 500), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_no_more_rows_than_stated_are_beyond_a_limit(rows: int, seed: int) -> None:
    strengths = np.random.default_rng(seed).exponential(size=rows)
    assert (strengths > usual_limit(strengths)).sum() <= RATE * rows


def test_new_rows_are_beyond_a_limit_as_seldom_as_stated() -> None:
    """Over many draws of 199 rows, the share of further rows beyond their limit is RATE, within chance."""
    rng = np.random.default_rng(0)
    shares = [np.mean(rng.normal(size=500) > usual_limit(rng.normal(size=199))) for _ in range(400)]
    assert np.mean(shares) == pytest.approx(RATE, abs=3.5 * np.std(shares) / math.sqrt(len(shares)))


def test_what_few_validation_rows_have_is_unusual_and_what_many_have_is_not() -> None:
    rows = np.arange(100)
    few, many = {i: [("m", NEW)] for i in range(9)}, {i: [("m", NEW)] for i in range(11)}
    assert learned_limits(rows, few) == ()
    assert learned_limits(rows, many) == (Limit("m", "new", None),)
    assert Unusual(100, 0.0).reasons(np.array([0]), few) == ["x is new"]
    assert Unusual(100, 0.0, learned_limits(rows, many)).reasons(np.array([0]), many) == [""]


def test_degrees_have_the_limit_of_the_validation_rows() -> None:
    degrees = {i: [("m", FAR._replace(strength=float(i)))] for i in range(5)}
    (limit,) = learned_limits(np.arange(300), degrees)
    assert limit == Limit("m", "far", 2.0)  # 2 of 300 rows are above it
    known = Unusual(300, 0.0, (limit,))
    assert known.reasons(np.array([1, 2, 3]), degrees) == ["", "", "x is far"]


def test_a_sort_that_no_validation_row_has_is_unusual_to_any_degree() -> None:
    assert Unusual(9, 0.0).reasons(np.array([4, 5]), {5: [("m", FAR)]}) == ["", "x is far"]


def test_distances_are_mahalanobis_distances() -> None:
    """With as many directions as there are but one, the covariance is the whole."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5))
    rows -= rows.mean(0)
    directions, variances = spread_of(rows)
    assert len(directions) == 4
    inverse = np.linalg.inv(rows.T @ rows / len(rows))
    expected = np.sqrt(np.einsum("ni,ij,nj->n", rows, inverse, rows) / 5)
    assert distance(rows, directions, variances) == pytest.approx(expected)


def test_rows_off_the_plane_of_the_train_rows_are_far() -> None:
    rows = np.zeros((100, 64))
    rows[:, :2] = np.random.default_rng(0).normal(size=(100, 2))
    directions, variances = spread_of(rows)
    off = np.zeros((1, 64))
    off[0, 40] = 1.0
    assert distance(off, directions, variances)[0] > 5 * distance(rows, directions, variances).max()


def known_centres() -> Unusual:
    both = Centre(("a", "b"), (0.0, 0.0), 2.0)
    return Unusual(50, 0.02, (Limit("m", "far", 1.0),), (both, Centre(("a",), (10.0, 0.0), 2.0)), (), (1.0,))


def test_a_row_is_compared_with_rows_that_have_the_same_modalities() -> None:
    latents, present = np.array([[10.0, 0.0], [10.0, 0.0]]), {"a": np.array([True, True]), "b": np.array([True, False])}
    first, second = known_centres().reasons(np.arange(2), {}, latents, present)
    assert first.startswith("unlike the train rows as a whole: 3.54 times")
    assert second == ""


def test_latents_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="2 wide"):
        known_centres().reasons(np.arange(1), {}, np.zeros((1, 3)), {"a": np.array([True])})


def test_kept_and_read_it_is_the_same() -> None:
    known = known_centres()
    model = torch.nn.Identity()
    assert unusual_of(model) is None
    model.calibration = {"unusual": json.loads(json.dumps(known.to_json()))}
    assert unusual_of(model) == known


@pytest.mark.parametrize("change", [{"variances": [0.0]}, {"variances": []}, {"rows": "many"}, {"limits": [{"a": 1}]}])
def test_what_does_not_fit_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|have"):
        Unusual.from_json({**known_centres().to_json(), **change})
