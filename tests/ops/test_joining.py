"""Joined parts are attention over all tokens."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from perceiver_pytorch.ops.joining import Part, join


def attention(scores: Tensor, values: Tensor) -> Part:
    """Of scores (rows, tokens) and values (tokens, channels); nothing where there is no token."""
    if not scores.shape[1]:
        return values.new_zeros(len(scores), values.shape[1]), values.new_full((len(scores),), float("-inf"))
    return scores.softmax(-1) @ values, scores.logsumexp(-1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.floats(0.1, 200.0), st.integers(0, 9))
def test_parts_of_any_size(sizes: list[int], spread: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(3, sum(sizes), generator=generator, dtype=torch.float64) * spread
    values = torch.randn(sum(sizes), 4, generator=generator, dtype=torch.float64)
    parts = [attention(*pair) for pair in zip(scores.split(sizes, 1), values.split(sizes), strict=True)]
    mean, lse = join(parts)
    expected_mean, expected_lse = attention(scores, values)
    torch.testing.assert_close(mean, expected_mean)
    torch.testing.assert_close(lse, expected_lse)


def test_gradients_of_rows_without_tokens_are_zero() -> None:
    mean = torch.zeros(2, 3, requires_grad=True)
    lse = torch.full((2,), float("-inf"), requires_grad=True)
    joined, total = join([(mean, lse), (mean, lse)])
    assert total.tolist() == [float("-inf")] * 2
    joined.sum().backward()
    assert mean.grad is not None
    assert lse.grad is not None
    assert not mean.grad.isnan().any()
    assert not lse.grad.isnan().any()


def test_gradients() -> None:
    means, lses = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    means[0, 0], lses[0, 0] = 0.0, float("-inf")

    def function(means: Tensor, last: Tensor) -> Part:
        return join([(means[0], lses[0]), (means[1], last)])

    assert torch.autograd.gradcheck(function, (means.requires_grad_(), lses[1].clone().requires_grad_()))


def test_one_part_is_what_it_is() -> None:
    part = torch.randn(2, 3), torch.randn(2)
    assert join([part]) is part
