"""PreNorm."""

import pytest
import torch
from torch import Tensor, nn

from perceiver_pytorch.nn import Attention, PreNorm
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
    with pytest.raises(TypeError, match=r"context must be a dense tensor around a Add, got list"):
        PreNorm(4, Add(), context_dim=5)(torch.randn(2, 3, 4), context=[Context(torch.randn(2, 6, 5))])


def test_an_attention_reads_structured_contexts_as_the_dense_array() -> None:
    module = PreNorm(4, Attention(4, 5, heads=2, dim_head=3), context_dim=5)
    x, context, mask = torch.randn(2, 3, 4), torch.randn(2, 6, 5), torch.rand(2, 6) > 0.3
    torch.testing.assert_close(module(x, context=[Context(context)]), module(x, context=context))
    torch.testing.assert_close(module(x, context=[Context(context, mask=mask)]), module(x, context=context, mask=mask))
