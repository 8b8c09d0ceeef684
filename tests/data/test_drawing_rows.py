from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.data.drawing_rows import draw_covering, draw_in_proportion


def drawn(groups, fraction=0.1, seed=0):
    chosen = draw_covering(groups, fraction, np.random.default_rng(seed))
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    stay = np.setdiff1d(np.arange(len(groups)), chosen)
    return tuple(Counter(group for place in places for group in groups[place]) for places in (chosen, stay))


def test_three_of_three_thousand_are_on_both_sides():
    val, train = drawn([["neg"]] * 2997 + [["pos"]] * 3)
    assert (val["pos"], train["pos"]) == (1, 2)
    assert val["neg"] == 300


@pytest.mark.parametrize(("rows", "val"), [(1, 0), (2, 1), (3, 1), (30, 3)])
def test_train_has_a_row_first_then_validation(rows, val):
    there, _ = drawn([["many"]] * 200 + [["few"]] * rows)
    assert there["few"] == val


def test_what_is_there_anyway_is_drawn_as_in_proportion():
    labels = ["a"] * 60 + ["b"] * 40
    plain = draw_in_proportion(labels, 0.25, np.random.default_rng(3))
    assert np.array_equal(draw_covering([[label] for label in labels], 0.25, np.random.default_rng(3)), plain)


def test_labels_that_never_are_the_rarest_of_a_row_are_drawn_too():
    groups = [["common", "rare"]] * 2 + [["common", "rarer"]] * 2 + [["common"]] * 40
    val, train = drawn(groups)
    assert min(val[name] for name in ("common", "rare", "rarer")) >= 1
    assert min(train[name] for name in ("common", "rare", "rarer")) >= 1


@settings(max_examples=80, deadline=None)
@given(
    groups=st.lists(st.lists(st.sampled_from("abcdef"), max_size=3, unique=True), min_size=2, max_size=40),
    fraction=st.floats(0.02, 0.9),
    seed=st.integers(0, 3),
)
def test_what_one_row_has_alone_stays(groups, fraction, seed):
    val, train = drawn(groups, fraction, seed)
    assert val.total() + train.total() == sum(map(len, groups))
    whole = val + train
    assert set(whole) == set(train) or all(any(whole[group] == 1 for group in row) for row in groups)
    for group, count in whole.items():
        if count > 1 and not val[group]:  # each of its rows is the last of another group
            rows = [row for row in groups if group in row]
            assert all(any(train[other] == 1 for other in row) for row in rows)


def test_a_draw_is_never_empty():
    assert len(draw_covering([["a"], ["b"], ["c"]], 0.1, np.random.default_rng(0))) == 1
    assert len(draw_covering([[], [], []], 0.1, np.random.default_rng(0))) == 1


def test_a_seed_draws_the_same_rows_in_every_version():
    """Runs that go on draw their validation rows anew."""
    groups = [["a", "x"], ["a"], ["b"], ["b", "y"], ["a"], ["c"], ["a"], ["a", "x"], [], ["b"]] * 3
    for seed, rows in ((0, [2, 3, 4, 6, 8, 15, 17]), (1, [3, 4, 5, 11, 17, 19, 28])):
        assert draw_covering(groups, 0.2, np.random.default_rng(seed)).tolist() == rows
    labels = ["a"] * 7 + ["b"] * 5 + ["c"] * 3
    for seed, rows in ((0, [4, 6, 7, 14]), (1, [3, 6, 8, 13])):
        assert draw_in_proportion(labels, 0.3, np.random.default_rng(seed)).tolist() == rows
    assert draw_in_proportion(["a", "b", "c"], 0.9, np.random.default_rng(2)).tolist() == [1]
