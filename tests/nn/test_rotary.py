"""Rotary positions by their properties."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.nn.rotary import rotary_table, rotate


def turn(vectors, position, channels):
    return rotate(vectors[None, None], rotary_table(torch.tensor([position] * len(vectors)), channels))[0, 0]


@given(st.integers(0, 100_000), st.integers(0, 100_000), st.integers(0, 5_000), st.sampled_from([0, 4, 8]))
def test_products_depend_on_the_difference_of_positions_alone(first, second, shift, channels):
    query, key = torch.randn(2, 3, 8)
    product = (turn(query, first, channels) * turn(key, second, channels)).sum(-1)
    shifted = (turn(query, first + shift, channels) * turn(key, second + shift, channels)).sum(-1)
    torch.testing.assert_close(product, shifted, rtol=1e-5, atol=1e-5)


def test_lengths_stay_and_position_zero_changes_nothing():
    x = torch.randn(2, 3, 7, 8)
    turned = rotate(x, rotary_table(torch.arange(7), 8))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])
    assert (turned[:, :, 1:] - x[:, :, 1:]).abs().amax(-1).min() > 1e-3


def test_channels_beyond_those_that_turn_stay():
    x = torch.randn(1, 1, 5, 8)
    turned = rotate(x, rotary_table(torch.arange(5), 4))
    assert torch.equal(turned[..., 4:], x[..., 4:])
    assert not torch.equal(turned[..., :4], x[..., :4])


def test_each_sample_may_have_its_own_positions():
    x = torch.randn(2, 3, 4, 8)
    positions = torch.tensor([[0, 1, 2, 3], [5, 9, 11, 40]])
    together = rotate(x, rotary_table(positions, 8))
    for i in range(2):
        assert torch.equal(together[i : i + 1], rotate(x[i : i + 1], rotary_table(positions[i], 8)))


def test_dtype_stays():
    for dtype in (torch.float64, torch.bfloat16):
        assert rotate(torch.randn(1, 1, 3, 4, dtype=dtype), rotary_table(torch.arange(3), 4)).dtype == dtype
