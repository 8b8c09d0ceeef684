"""The head that reads mean and maximum of its tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.nn.heads import head_config, head_from_config
from perceiver_pytorch.nn.heads.pooled import PooledHead, _plain_mean_and_max, mean_and_max


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**31))
def test_mean_and_maximum_are_those_of_the_real_tokens(rows: int, length: int, channels: int, seed: int) -> None:
    torch.manual_seed(seed)
    data, mask = torch.randn(rows, length, 2, channels), torch.rand(rows, length, 2) < 0.5
    mean, greatest = mean_and_max(data.masked_fill(~mask.unsqueeze(-1), torch.nan), mask)
    for row in range(rows):
        real = data[row][mask[row]]
        expected = (real.mean(0), real.amax(0)) if len(real) else (torch.zeros(channels),) * 2
        torch.testing.assert_close((mean[row], greatest[row]), expected)


def test_without_a_mask_all_tokens_are_real() -> None:
    data = torch.randint(0, 256, (2, 3, 4, 3), dtype=torch.uint8)
    everywhere = torch.ones(2, 3, 4, dtype=torch.bool)
    torch.testing.assert_close(mean_and_max(data, None), mean_and_max(data, everywhere))


@pytest.mark.parametrize("is_masked", [False, True])
def test_gradients_are_those_of_pytorchs_operations_where_maxima_are_many_too(is_masked: bool) -> None:
    torch.manual_seed(0)
    data = torch.randint(-2, 3, (3, 7, 4)).double().requires_grad_()
    mask = torch.rand(3, 7) < 0.6 if is_masked else None
    if mask is not None:
        mask[0] = False
    there = None if mask is None else mask.unsqueeze(-1)
    given = torch.randn(2, 3, 4, dtype=torch.float64)
    (found,) = torch.autograd.grad(mean_and_max(data, mask), data, tuple(given))
    (expected,) = torch.autograd.grad(_plain_mean_and_max(data, there), data, tuple(given))
    torch.testing.assert_close(found, expected)
    many = (torch.stack([given[0]] * 2), torch.stack([given[1]] * 2))
    (batched,) = torch.autograd.grad(mean_and_max(data, mask), data, many, is_grads_batched=True)
    torch.testing.assert_close(batched, torch.stack([expected] * 2))


def test_gradients_of_gradients() -> None:
    data, mask = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True), torch.rand(2, 5) < 0.7
    assert torch.autograd.gradcheck(lambda x: mean_and_max(x, mask), data)
    assert torch.autograd.gradgradcheck(lambda x: mean_and_max(x.sin(), mask), data)


def test_a_row_does_not_depend_on_its_batch() -> None:
    head = PooledHead(4, 3).eval()
    data, mask = torch.randn(2, 5, 4), torch.tensor([[True] * 5, [True, True, False, False, False]])
    alone = head([data[1:, :2]], [None])
    torch.testing.assert_close(head([data], [mask])[1:], alone)


def test_a_row_without_tokens_gets_a_finite_answer_and_gradient() -> None:
    head = PooledHead(4, 3)
    data = torch.full((1, 2, 4), torch.nan, requires_grad=True)
    answer = head([data], [torch.zeros(1, 2, dtype=torch.bool)])
    answer.sum().backward()
    assert answer.isfinite().all()
    assert data.grad is not None
    assert not data.grad.any()


def test_its_configuration_makes_it_again() -> None:
    head = PooledHead(4, 3, hidden=5, dropout=0.25)
    again = head_from_config(head_config(head))
    assert isinstance(again, PooledHead)
    assert again.to_config() == head.to_config()
    again.load_state_dict(head.state_dict())


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"name of a head must be one of .*'pooled'; got 'poled'"):
        head_from_config({"name": "poled"})
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        PooledHead(4, 0)
    with pytest.raises(ValueError, match="dropout must lie in"):
        PooledHead(4, 1, dropout=1.5)
