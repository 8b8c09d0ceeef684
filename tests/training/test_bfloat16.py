"""Which models train in bfloat16."""

import pytest
import torch
from torch import nn

from perceiver_pytorch.training import bfloat16
from perceiver_pytorch.training.bfloat16 import LARGE, gains_by_bfloat16


class Model(nn.Module):
    """Of so many weights for each of 16 latents."""

    def __init__(self, weights: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, weights, device="meta"))
        self.num_latents = 16


@pytest.mark.parametrize("native", [False, True])
def test_large_ones_where_the_processor_multiplies_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfloat16, "bfloat16_products", lambda: native)
    assert gains_by_bfloat16(Model(LARGE // 16)) is native
    assert not gains_by_bfloat16(Model(LARGE // 16 - 1))
    assert not gains_by_bfloat16(nn.Linear(3000, 3000))  # without latents


def test_of_a_blend_the_trunk_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few tokens go through its heads, which may have most of the weights."""
    monkeypatch.setattr(bfloat16, "bfloat16_products", lambda: True)
    blend = Model(LARGE)
    blend.trunk = Model(LARGE // 16 - 1)
    assert not gains_by_bfloat16(blend)
    blend.trunk = Model(LARGE // 16)
    assert gains_by_bfloat16(blend)


@pytest.mark.parametrize("other", [None, [4, 8], "many"])
def test_what_else_is_called_num_latents_is_none(other: object) -> None:
    model = Model(LARGE)
    model.num_latents = other
    assert not gains_by_bfloat16(model)
