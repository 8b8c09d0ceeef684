"""Attention over several short contexts at once: their tokens in one array, with one softmax over all of them.

What `dense.attend_dense` computes, and `joining.join` for several contexts, in a dozen passes instead of some fifty:
short contexts take less time by themselves than all that is called for them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.dense import attend_dense
from perceiver_pytorch.ops.joining import Part
from perceiver_pytorch.ops.precision import full_precision, in_full
from perceiver_pytorch.ops.second_order import gradients


def attend_together(rows: Tensor, contexts: Sequence[Context], eps: float) -> Part:
    """Attention of rows over the normalised tokens of all contexts together; see `perceiver_pytorch.ops.attend`.

    Args:
        rows: ``(batch, rows, channels)``.
        contexts: one at least, with that batch and so many channels.
        eps: LayerNorm's epsilon.
    """
    rows = in_full(rows)
    arrays = [context.dense(rows.dtype) for context in contexts]
    tokens = arrays[0] if len(arrays) == 1 else torch.cat(arrays, 1)
    mask = _joined_mask(contexts)
    if 0 in tokens.shape or rows.device.type != "cpu" or not is_eager(rows, tokens):
        return attend_dense(rows, Context(tokens, mask=mask), eps)
    mixed, lse = _Attend.apply(rows, tokens, mask, eps)
    return mixed, lse


def _joined_mask(contexts: Sequence[Context]) -> Tensor | None:
    """``(batch, tokens)`` of all contexts; None where all tokens are real."""
    if all(context.mask is None for context in contexts):
        return None
    masks = [
        context.data.new_ones(context.data.shape[0], context.num_tokens, dtype=torch.bool)
        if context.mask is None
        else context.mask.flatten(1)
        for context in contexts
    ]
    return torch.cat(masks, 1)  # a copy: what is saved for a backward pass should not be what others may change


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, tokens: Tensor, mask: Tensor | None, eps: float) -> Part:
        ctx.set_materialize_grads(False)
        normalised, mean, rstd = torch.native_layer_norm(tokens, tokens.shape[-1:], None, None, eps)
        hidden = None if mask is None else _hidden(mask)
        if hidden is not None:  # whatever they hold, NaN included
            normalised.flatten(0, 1).index_fill_(0, hidden, 0.0)
        scores = rows @ normalised.mT
        empty = None
        if mask is not None and hidden is not None:
            bias = torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, float("-inf"))
            scores += bias.unsqueeze(1)
            empty = ~mask.any(-1)
            empty = empty if bool(empty.any()) else None
        if empty is not None:
            scores[empty] = 0.0
        attention = scores.softmax(-1)
        lse = scores.amax(-1) - attention.amax(-1).log()  # of the most likely token
        if empty is not None:
            attention[empty] = 0.0
            lse[empty] = float("-inf")
        ctx.save_for_backward(rows, tokens, normalised, mean, rstd, attention, mask, hidden, empty)
        ctx.eps = eps
        return attention @ normalised, lse

    @staticmethod
    def backward(ctx: Any, grad_mixed: Tensor | None, grad_lse: Tensor | None) -> tuple[Tensor | None, ...]:
        with full_precision(torch.device("cpu")):  # nothing else comes here
            return *_backward(ctx, grad_mixed, grad_lse), None, None


def _backward(ctx: Any, grad_mixed: Tensor | None, grad_lse: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of rows and tokens."""
    rows, tokens, normalised, mean, rstd, attention, mask, hidden, empty = ctx.saved_tensors
    needs_rows, needs_tokens, *_ = ctx.needs_input_grad
    grad_mixed = torch.zeros_like(rows) if grad_mixed is None else grad_mixed
    if torch.is_grad_enabled():  # gradients of gradients are asked for

        def dense(rows: Tensor, tokens: Tensor) -> Part:
            return attend_dense(rows, Context(tokens, mask=mask), ctx.eps)

        given = attention.new_zeros(attention.shape[:-1]) if grad_lse is None else grad_lse
        of_rows, of_tokens = gradients(dense, (rows, tokens), (needs_rows, needs_tokens), (grad_mixed, given))
        return of_rows, of_tokens
    # Of the softmax, by PyTorch's kernel for it: attention times what exceeds the mean. Nothing is written in place: a
    # gradient may be many in one.
    grad_scores = torch._softmax_backward_data(grad_mixed @ normalised.mT, attention, -1, attention.dtype)
    if grad_lse is not None:
        grad_lse = grad_lse if empty is None else grad_lse.masked_fill(empty.unsqueeze(-1), 0.0)
        grad_scores = grad_scores.addcmul(attention, grad_lse.unsqueeze(-1))
    grad_rows = grad_scores @ normalised if needs_rows else None
    if not needs_tokens:
        return grad_rows, None
    given = (attention.mT @ grad_mixed).baddbmm(grad_scores.mT, rows)
    grad_tokens, *_ = torch.ops.aten.native_layer_norm_backward(
        given, tokens, tokens.shape[-1:], mean, rstd, None, None, (True, False, False)
    )
    return grad_rows, grad_tokens if hidden is None else grad_tokens.masked_fill(~mask.unsqueeze(-1), 0.0)


def _hidden(mask: Tensor) -> Tensor | None:
    """The numbers of masked tokens among those of the batch; None of none."""
    found = (~mask).flatten().nonzero().flatten()
    return found if len(found) else None
