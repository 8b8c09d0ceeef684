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


def test_defaults() -> None:
    assert LearnedQueries(3).axes == ()
    spec = FourierQueries((1, 8), 3)
    assert (spec.max_freq, spec.freq_scale, spec.freq_base) == ((2.0, 8.0), "linear", 2)
    assert InputQueries("image") == InputQueries("image", data=True, positions=True)
    assert (GivenQueries(7).build({}).dim, LearnedQueries(7, [2]).build({}).dim) == (7, 7)


@pytest.mark.usefixtures("user_view")
def test_axes_and_rates_are_checked() -> None:
    with pytest.raises(TypeError, match="axes of LearnedQueries must be a sequence of lengths, got '12'"):
        LearnedQueries(3, "12")
    with pytest.raises(TypeError, match="axes of FourierQueries must be a sequence of lengths, got 12"):
        FourierQueries(12, 3)
    with pytest.raises(ValueError, match="each of the axes of LearnedQueries must be at least 1, got 0"):
        LearnedQueries(3, (0,))
    for rate in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"max_freq of FourierQueries must be positive, got {rate}"):
            FourierQueries((3,), 3, rate)
    assert FourierQueries((3,), 0).num_freq_bands == 0
    with pytest.raises(ValueError, match="num_freq_bands of FourierQueries must be at least 0, got -1"):
        FourierQueries((3,), -1)
    with pytest.raises(ValueError, match="freq_scale of FourierQueries must be one of"):
        FourierQueries((3,), 3, freq_scale="square")


def test_specs_are_plain_values_whatever_sequences_they_are_given() -> None:
    for given, same in (
        (FourierQueries([8, 5], 3, [1.0, 2.0]), FourierQueries((8, 5), 3, (1.0, 2.0))),
        (LearnedQueries(3, [2, 4]), LearnedQueries(3, (2, 4))),
    ):
        assert given == same
        assert hash(given) == hash(same)
        assert given.build({}).axes({}) == tuple(same.axes)


def test_what_is_built_has_the_channels_that_were_asked_for() -> None:
    tokens = {"image": (3, 10), "sound": (1, 4)}
    assert FourierQueries((8, 5), 3).build(tokens).dim == 14
    for options, dims in (({}, (3, 10)), ({"data": False}, (0, 10)), ({"positions": False}, (3, 0))):
        array = InputQueries("image", **options).build(tokens)
        assert (array.data_dim, array.position_dim, array.dim) == (*dims, sum(dims))
    with pytest.raises(ValueError, match="modality of InputQueries must be one of 'image', 'sound'; got 'video'"):
        InputQueries("video").build(tokens)
