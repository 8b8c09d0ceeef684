"""Building layers, and letting latents pass through them."""

import pytest
import torch
from torch import nn

from nn.test_layer import PARTS
from perceiver_pytorch.nn import PerceiverLayer, SingleBlockLayer
from perceiver_pytorch.nn.encoder import build_layers, encode
from perceiver_pytorch.nn.sharing import share
from perceiver_pytorch.ops import Context


@pytest.mark.parametrize("rule", ["release", "paper"])
@pytest.mark.parametrize("tie", [False, True])
def test_layers_are_shared_as_the_plan_says(rule: str, tie: bool) -> None:
    plan = share(3, 2, tie=tie, rule=rule)
    layers = build_layers(PARTS, [6, 6, 6], plan)
    for layer, sharing in zip(layers, plan, strict=True):
        assert layer.cross_attend is layers[sharing.cross].cross_attend
        assert layer.feed_forward is layers[sharing.cross].feed_forward
        for j, owner in enumerate(sharing.blocks):
            assert layer.latent_transformer.latent_blocks[j] is layers[owner].latent_transformer.latent_blocks[j]
    distinct = len({id(layer.cross_attend) for layer in layers})
    assert distinct == (2 if tie else 3)


def test_layers_are_of_the_kind_asked_for() -> None:
    plan = share(2, 1, tie=False, rule="release")
    assert all(isinstance(layer, SingleBlockLayer) for layer in build_layers(PARTS, [6, 6], plan, single_block=True))
    for double_residual in (True, False):
        for layer in build_layers(PARTS, [6, 8], plan, double_residual=double_residual):
            assert isinstance(layer, PerceiverLayer)
            assert layer.double_residual is double_residual


class Record(nn.Module):
    """A layer that keeps what it was given."""

    def __init__(self, change: float) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: torch.Tensor, context: list[Context]) -> torch.Tensor:
        self.x, self.context = x, context
        return x + self.change


def test_one_latent_array_passes_through_all_layers() -> None:
    layers = nn.ModuleList([Record(1.0), Record(10.0)])
    contexts = [[Context(torch.randn(2, 3, 4))] for _ in range(2)]
    latents = torch.randn(3, 5)
    output = encode(layers, [latents], contexts)
    assert torch.equal(output, (latents + 1 + 10).expand(2, 3, 5))
    assert [layer.context for layer in layers] == contexts


def test_latents_of_a_layer_are_added_to_the_first_of_the_layer_before() -> None:
    layers = nn.ModuleList([Record(1.0), Record(10.0)])
    contexts = [[Context(torch.randn(2, 3, 4))]] * 2
    wide = torch.randn(2, 7)
    narrow = torch.randn(4, 5)
    output = encode(layers, [narrow, wide], contexts)
    expected = wide.clone()
    expected[:, :5] += narrow[:2] + 1
    assert torch.equal(layers[1].x, expected.expand(2, 2, 7))
    assert torch.equal(output, (expected + 10).expand(2, 2, 7))
