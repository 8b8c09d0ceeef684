"""Small parts in one thread, forward and backward."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from perceiver_pytorch.nn import single_thread
from perceiver_pytorch.ops import threads


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    if threads._openmp() is None:
        pytest.skip("this PyTorch brings no GNU OpenMP along")
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


class Watched(torch.autograd.Function):
    """Notes the number of threads, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, seen: list[int]) -> Tensor:
        seen.append(torch.get_num_threads())
        ctx.seen = seen
        return x * 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        ctx.seen.append(torch.get_num_threads())
        if len(ctx.seen) > 2:
            raise RuntimeError("broken")
        return grad, None


class Part(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(Watched.apply(self.linear(x), self.seen))


def test_a_small_part_runs_in_one_thread() -> None:
    part = Part(4)
    x = torch.randn(2, 3, 4, requires_grad=True)
    y = single_thread.run(part, x * 1)
    assert torch.get_num_threads() == 3
    grads = torch.autograd.grad(y.square().sum(), [x, *part.parameters()])
    assert part.seen == [1, 1]
    assert torch.get_num_threads() == 3
    part.seen.clear()
    for grad, expected in zip(grads, torch.autograd.grad(part(x).square().sum(), [x, *part.parameters()]), strict=True):
        torch.testing.assert_close(grad, expected, rtol=0, atol=0)


@pytest.mark.parametrize("asked_for", ["a weight", "everything"])
def test_threads_are_back_after_a_part_of_the_pass(asked_for: str) -> None:
    part = Part(4)
    x = torch.randn(2, 3, 4, requires_grad=asked_for == "everything")
    single_thread.run(part, x).sum().backward(inputs=[part.linear.weight])
    assert torch.get_num_threads() == 3


def test_threads_are_back_after_a_pass_that_broke_off() -> None:
    part = Part(4)
    x = torch.randn(2, 3, 4, requires_grad=True)
    y = single_thread.run(part, x).sum()
    part.seen.append(0)
    with pytest.raises(RuntimeError, match="broken"):
        y.backward()
    single_thread.run(Part(4), x)
    assert torch.get_num_threads() == 3


def test_the_result_may_be_changed_in_place() -> None:
    x = torch.randn(2, 3, 4, requires_grad=True)
    y = single_thread.run(nn.Identity(), x)
    y += 1
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.ones_like(x))


def test_a_large_part_keeps_all_threads() -> None:
    part = Part(64)
    most = threads.SMALL // 64**2  # tokens, of all samples together
    for batch, tokens in ((1, most), (2, most // 2), (1, most + 1), (2, most // 2 + 1)):
        single_thread.run(part, torch.randn(batch, tokens, 64))
    assert part.seen == [1, 1, 3, 3]


def test_gradients_of_gradients() -> None:
    part = nn.Sequential(nn.Linear(3, 3), nn.Tanh()).double()
    x = torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: single_thread.run(part, x), x)
