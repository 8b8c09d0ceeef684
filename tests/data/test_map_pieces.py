"""Blocks and cells: every token in one, no more of them than asked for."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.data.map_pieces import blocks, cells


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=3), st.integers(1, 70))
def test_blocks_are_connected_and_no_more_than_asked_for(axes, most):
    labels = blocks(axes, most)
    assert labels.shape == tuple(axes)
    known = np.unique(labels)
    assert len(known) <= most
    for label in known[:5]:
        where = np.argwhere(labels == label)
        low, high = where.min(0), where.max(0)
        assert (labels[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))] == label).all()


def test_an_axis_that_stays_whole_has_a_block_for_each_of_its_tokens():
    labels = blocks((40, 3), 12, whole=(False, True))
    assert len(np.unique(labels)) == 12
    assert not set(labels[:, 0]) & set(labels[:, 1])
    assert len(np.unique(blocks((5, 30), 8, whole=(False, True)))) == 30


def test_points_in_a_cell_lie_together():
    places = np.array([[-1.0, -1.0], [-0.9, -0.95], [1.0, 1.0], [0.9, -0.9]])
    labels = cells(places, 4)
    assert labels[0] == labels[1]
    assert len({*labels[[0, 2, 3]].tolist()}) == 3
    assert cells(np.zeros((3, 1)), 5).max() < 5
