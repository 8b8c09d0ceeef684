"""Specs of queries: their defaults, and what they refuse."""

import pytest

from perceiver_pytorch.nn.queries import FourierQueries, GivenQueries, InputQueries, LearnedQueries


def test_the_highest_frequency_of_an_axis_is_its_own() -> None:
    assert FourierQueries((8, 5), 3).max_freq == (8.0, 5.0)
    assert FourierQueries((8, 5), 3, 4.0).max_freq == (4.0, 4.0)


def test_a_spec_says_what_is_wrong_with_it() -> None:
    with pytest.raises(ValueError, match="dim of LearnedQueries must be at least 1, got 0"):
        LearnedQueries(0)
    with pytest.raises(ValueError, match="FourierQueries need at least one axis"):
        FourierQueries((), 3)
    with pytest.raises(ValueError, match="max_freq of FourierQueries must be a number or 2 of them"):
        FourierQueries((3, 4), 3, (1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="InputQueries need data or positions, or both"):
        InputQueries("image", data=False, positions=False)
    with pytest.raises(ValueError, match="no channel: this model encodes no positions"):
        InputQueries("image", data=False).build({"image": (3, 0)})
    with pytest.raises(ValueError, match="dim of GivenQueries must be at least 1, got -1"):
        GivenQueries(-1)
