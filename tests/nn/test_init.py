"""How weights start."""

import math

import pytest
import torch
from torch import nn

from perceiver_pytorch.nn.init import init_latents, init_linears


def test_latents_are_normal_or_truncated_normal() -> None:
    normal = init_latents(300, 40, "normal")
    assert isinstance(normal, nn.Parameter)
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    truncated = init_latents(300, 40, "truncated_normal")
    assert truncated.std().item() == pytest.approx(0.02, abs=0.001)
    assert truncated.abs().max() < 0.2


def test_linear_layers_are_scaled_by_their_inputs() -> None:
    model = nn.Sequential(nn.Linear(400, 300), nn.LayerNorm(300), nn.Linear(300, 200, bias=False))
    norm = model[1].weight.clone()
    init_linears(model, "variance_scaling")
    for layer in (model[0], model[2]):
        expected = 1 / math.sqrt(layer.in_features)
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.02)
        assert layer.weight.abs().max() <= 2.28 * expected
    assert not model[0].bias.any()
    assert torch.equal(model[1].weight, norm)


def test_the_default_leaves_linear_layers_as_they_are() -> None:
    layer = nn.Linear(4, 3)
    before = layer.weight.clone()
    init_linears(layer, "uniform")
    assert torch.equal(layer.weight, before)
