"""Letting latents pass through steps."""

from functools import partial

import pytest
import torch
from torch import nn

from perceiver_pytorch.nn.encoder import encode, io_steps
from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.linear import as_autocast


class Record(nn.Module):
    """A layer that keeps what it was given."""

    def __init__(self, change: float) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: torch.Tensor, context: list[Context]) -> torch.Tensor:
        self.x, self.context = x, context
        return x + self.change


def reading(layers: nn.ModuleList, contexts: list[list[Context]]) -> list[partial]:
    return [partial(layer, context=context) for layer, context in zip(layers, contexts, strict=True)]


def test_one_latent_array_passes_through_all_layers() -> None:
    layers = nn.ModuleList([Record(1.0), Record(10.0)])
    contexts = [[Context(torch.randn(2, 3, 4))] for _ in range(2)]
    latents = torch.randn(3, 5).expand(2, -1, -1)
    output = encode(latents, reading(layers, contexts))
    assert torch.equal(output, latents + 1 + 10)
    assert [layer.context for layer in layers] == contexts


def test_latents_of_a_layer_are_added_to_the_first_of_the_layer_before() -> None:
    layers = nn.ModuleList([Record(1.0), Record(10.0)])
    contexts = [[Context(torch.randn(2, 3, 4))]] * 2
    wide = torch.randn(2, 7)
    narrow = torch.randn(4, 5)
    output = encode(narrow.expand(2, -1, -1), reading(layers, contexts), own_latents=[narrow, wide])
    expected = wide.clone()
    expected[:, :5] += narrow[:2] + 1
    assert torch.equal(layers[1].x, expected.expand(2, 2, 7))
    assert torch.equal(output, (expected + 10).expand(2, 2, 7))


@pytest.mark.parametrize("recompute", [False, True])
def test_every_step_leaves_its_latents(recompute: bool) -> None:
    x, states = torch.randn(2, 3, 5, requires_grad=True), []
    linear = nn.Linear(5, 5)
    output = encode(x, [linear, torch.tanh, linear], recompute=recompute, hidden_states=states)
    assert [state.shape for state in states] == [x.shape] * 3
    assert torch.equal(output, linear(torch.tanh(linear(x))))
    assert states[-1] is output
    output.sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("recompute", [False, True])
def test_steps_run_once_more_in_the_backward_pass_if_nothing_is_to_be_kept(recompute: bool) -> None:
    calls: list[int] = []

    def step(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return x.sin()

    x = torch.randn(2, 3, 5, requires_grad=True)
    output = encode(x, [step, step], recompute=recompute)
    assert len(calls) == 2
    output.sum().backward()
    assert len(calls) == (4 if recompute else 2)
    with torch.no_grad():
        assert encode(x, [step], recompute=recompute).grad_fn is None


def test_blocks_are_run_through_again_and_again_after_one_cross_attend() -> None:
    context, mask = [Context(torch.randn(2, 3, 4))], torch.ones(2, 3, dtype=torch.bool)
    seen: list[str] = []

    def cross_attend(x: torch.Tensor, *, context: list[Context], mask: torch.Tensor) -> torch.Tensor:
        seen.append(f"cross {len(context)} {tuple(mask.shape)}")
        return x

    def block(name: str) -> nn.Module:
        part = nn.Identity()
        part.register_forward_hook(lambda *_: seen.append(name))
        return part

    blocks = nn.ModuleList([block("a"), block("b")])
    encode(torch.randn(2, 3, 5), io_steps(cross_attend, context, blocks, repeats=2, mask=mask))
    assert seen == ["cross 1 (2, 3)", "a", "b", "a", "b"]


@torch.no_grad()
def test_weights_of_a_step_that_runs_again_are_cast_once_in_each_forward() -> None:
    weight, casts = nn.Parameter(torch.ones(2)), []

    def step(x: torch.Tensor) -> torch.Tensor:
        casts.extend(as_autocast(weight))
        return x

    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(2):
            encode(torch.randn(1, 3, 4), [step, step])
    assert casts[0] is casts[1]
    assert casts[2] is casts[3]
    assert casts[0] is not casts[2]
