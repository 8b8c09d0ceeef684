"""PreNorm."""

import pytest
import torch
from torch import Tensor, nn

from perceiver_pytorch.nn import PreNorm
from perceiver_pytorch.ops import Context


class Add(nn.Module):
    def forward(self, x: Tensor, context: Tensor | None = None, factor: float = 1.0) -> Tensor:
        return x * factor if context is None else x * factor + context.mean()


def test_normalises_its_input() -> None:
    module, x = PreNorm(4, Add()), torch.randn(2, 3, 4)
    assert torch.equal(module(x, factor=2.0), torch.nn.functional.layer_norm(x, (4,)) * 2)
    assert module.norm_context is None


def test_normalises_a_dense_context_where_its_channels_are_given() -> None:
    module, x, context = PreNorm(4, Add(), context_dim=5), torch.randn(2, 3, 4), torch.randn(2, 6, 5)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    expected = module.norm(x) + module.norm_context(context).mean()
    assert torch.equal(module(x, context=context), expected)


def test_a_context_is_missed_by_name() -> None:
    with pytest.raises(KeyError, match="context"):
        PreNorm(4, Add(), context_dim=5)(torch.randn(2, 3, 4))


def test_structured_contexts_are_refused_with_the_part_that_takes_them() -> None:
    with pytest.raises(TypeError, match=r"context must be a dense tensor here, got list; .*CrossAttend"):
        PreNorm(4, Add(), context_dim=5)(torch.randn(2, 3, 4), context=[Context(torch.randn(2, 6, 5))])
