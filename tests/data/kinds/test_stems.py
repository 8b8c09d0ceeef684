"""Which stems kinds ask for."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.data.kinds.stems import STEMS, coarser, stem_config, stem_note, strides_of
from perceiver_pytorch.nn.stems import stem_from_config

LENGTHS = st.one_of(
    st.tuples(st.integers(1, 1024)),
    st.tuples(st.integers(1, 1000), st.integers(1, 64)),
    st.tuples(st.integers(1, 100), st.integers(1, 64), st.integers(1, 64)),
)


@given(axes=LENGTHS, stem=st.sampled_from(STEMS[1:]))
def test_what_is_left_is_neither_nothing_nor_too_much(axes, stem):
    config = stem_config(stem, axes, 1)
    left = coarser(axes, strides_of(config, len(axes)))
    if stem == "convolution":
        assert math.prod(left) >= min(4 if len(axes) == 3 else 8, math.prod(axes))
    if len(axes) < 3:
        assert math.prod(left) <= 300 or stem == "patch"


@pytest.mark.parametrize(
    ("axes", "strides", "tokens"),
    [
        ((8, 8), [1, 1], 64),
        ((28, 28), [4, 4], 49),
        ((64, 64), [8, 8], 64),
        ((224, 224), [16, 16], 196),
        ((12,), [1], 12),
        ((100,), [2], 50),
        ((1024,), [8], 128),
        ((100, 64), [8, 8], 104),
        ((1000, 64), [16, 16], 252),
        ((15, 48, 64), [2, 16, 16], 96),
        ((38, 48, 48), [4, 16, 16], 90),
        ((125, 64, 64), [8, 16, 16], 256),
        ((9, 12, 10), [1, 4, 4], 81),
    ],
)
def test_strides_follow_the_lengths_of_the_axes(axes, strides, tokens):
    config = stem_config("convolution", axes, 3)
    assert strides_of(config, len(axes)) == strides
    assert math.prod(coarser(axes, strides)) == tokens


@pytest.mark.parametrize("stem", ["patch", "convolution"])
@pytest.mark.parametrize("axes", [(1,), (30,), (1, 1), (20, 7), (1, 9, 9), (9, 12, 10)])
def test_a_model_builds_what_they_say(stem, axes):
    config = stem_config(stem, axes, 2)
    built = stem_from_config(config)
    data, _, _ = built(torch.randn(2, *axes, 2), None, None)
    assert data.shape == (2, *coarser(axes, strides_of(config, len(axes))), 64)
    assert built.channels == 64


@pytest.mark.parametrize(
    ("length", "channels", "strides"),
    [
        (1, [64], [1]),
        (29, [64], [1]),
        (100, [32, 64], [2, 1]),
        (251, [16, 32, 64], [2, 2, 1]),
        (1024, [16, 32, 64], [2] * 3),
    ],
)
def test_short_series_have_fewer_convolutions(length, channels, strides):
    layers = stem_config("convolution", (length,), 3)["layers"]
    assert [layer["channels"] for layer in layers] == channels
    assert [layer["stride"] for layer in layers] == [[stride] for stride in strides]


def test_films_are_told_what_changed_since_the_frame_before():
    config = stem_config("convolution", (9, 12, 10), 3)
    assert 0 < config["changes"] < config["layers"][0]["channels"]
    assert stem_config("convolution", (1, 12, 10), 3)["changes"] == 0


def test_notes_say_how_many_tokens_are_left():
    assert stem_note(stem_config("convolution", (28, 28), 1), (28, 28)) == ", 3 convolutions to 7x7 tokens"
    assert stem_note(stem_config("convolution", (28,), 1), (28,)) == ", 1 convolution to 28 tokens"
    assert stem_note(stem_config("patch", (64, 64), 1), (64, 64)) == ", patches to 16x16 tokens"
    assert stem_note(stem_config("none", (28, 28), 1), (28, 28)) == ""
