"""Attention over the input array itself, token by token."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from ops.problems import Spec, dense_tokens
from perceiver_pytorch.ops.dense import attend_dense


@pytest.mark.parametrize("mask", [None, "random", "first sample", "none"])
def test_every_sample_attends_to_the_tokens_that_it_has(mask: str | None) -> None:
    context = Spec(mask=mask).context(2, 13)
    if mask is not None:
        holes = ~context.mask.unsqueeze(-1)
        context = replace(context, data=context.data.masked_fill(holes, float("nan")))
    context.data.requires_grad_()
    rows = torch.randn(2, 3, 13, dtype=torch.float64, requires_grad=True)
    mixed, lse = attend_dense(rows, context, 0.1)
    assert mixed.shape == (2, 3, 13)
    assert lse.shape == (2, 3)
    for sample in range(2):
        tokens = F.layer_norm(dense_tokens(context, torch.float64)[sample], (13,), eps=0.1)
        if mask is not None:
            tokens = tokens[context.mask[sample].flatten()]
        if len(tokens):
            scores = rows[sample] @ tokens.mT
            torch.testing.assert_close(mixed[sample], scores.softmax(-1) @ tokens)
            torch.testing.assert_close(lse[sample], scores.logsumexp(-1))
        else:
            assert (mixed[sample] == 0).all()
            assert (lse[sample] == float("-inf")).all()
    finite = mixed.square().sum() + lse[lse.isfinite()].sum()
    for grad in torch.autograd.grad(finite, (rows, context.data)):
        assert grad.isfinite().all()


def test_it_computes_in_the_dtype_of_the_rows() -> None:
    context = Spec(dtype=torch.float16).context(2, 11)
    for dtype in (torch.float32, torch.float64):
        mixed, lse = attend_dense(torch.randn(2, 3, 11, dtype=dtype), context, 1e-5)
        assert mixed.dtype == lse.dtype == dtype
