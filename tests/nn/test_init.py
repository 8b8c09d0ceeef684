"""How weights start."""

import math

import pytest
import torch
from torch import nn

from perceiver_pytorch.nn.init import init_latents, init_linears, waves


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


def test_waves_have_the_lengths_that_they_say() -> None:
    found = waves(5, 4, 8.0, 3.0)
    places = torch.tensor([0.0, 2.0, 4.0, 6.0, 8.0])
    first, last = places * math.pi, places * math.pi / 8
    torch.testing.assert_close(found, 3 * torch.stack([first.sin(), last.sin(), first.cos(), last.cos()], 1))


def test_waves_of_an_odd_width_or_a_small_span() -> None:
    assert torch.equal(waves(5, 3, 8.0, 1.0), waves(5, 4, 8.0, 1.0)[:, :3])
    places = torch.linspace(0, 0.5, 3) * math.pi
    torch.testing.assert_close(waves(3, 4, 0.5, 1.0)[:, 0], places.sin())
    torch.testing.assert_close(waves(3, 4, 0.5, 1.0)[:, 1], places.sin())
