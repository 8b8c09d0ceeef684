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
from perceiver_pytorch.ops.second_order import are_many, gradients


def attend_together(rows: Tensor, contexts: Sequence[Context], eps: float) -> Part:
    """Attention of rows over the normalised tokens of all contexts together; see `perceiver_pytorch.ops.attend`.

    Args:
        rows: ``(batch, rows, channels)``.
        contexts: one at least, with that batch and so many channels.
        eps: LayerNorm's epsilon.
    """
    rows = in_full(rows)
    data, constants = zip(*(_own_and_shared(context, rows.dtype) for context in contexts), strict=True)
    mask = _joined_mask(contexts)
    nothing = 0 in rows.shape[::2] or not any(part.shape[1] for part in data)
    if nothing or rows.device.type != "cpu" or not is_eager(rows, *data):
        return attend_dense(rows, Context(_joined(data, constants), mask=mask), eps)
    mixed, lse = _Attend.apply(rows, mask, eps, constants, *data)
    return mixed, lse


def _own_and_shared(context: Context, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """What differs from sample to sample, ``(batch, tokens, channels)``, and the channels behind it that are constant,
    ``(batch or 1, tokens, others)``; None where all may differ."""
    around = [*context.tables, *(() if context.code is None else (context.code,))]
    if context.order is not None or any(part.requires_grad for part in around):
        return context.dense(dtype), None
    return context.own(dtype).flatten(1, -2), context.others(dtype)


def _joined(data: Sequence[Tensor], constants: Sequence[Tensor | None]) -> Tensor:
    """All tokens, by operations that autograd follows."""
    pairs = zip(data, constants, strict=True)
    whole = [own if rest is None else torch.cat([own, rest.expand(len(own), -1, -1)], -1) for own, rest in pairs]
    return torch.cat(whole, 1)


def _written(data: Sequence[Tensor], constants: Sequence[Tensor | None]) -> Tensor:
    """The same, each number written once: an array of its own."""
    others = 0 if constants[0] is None else constants[0].shape[-1]
    lengths = [part.shape[1] for part in data]
    tokens = data[0].new_empty(data[0].shape[0], sum(lengths), data[0].shape[-1] + others)
    for place, own, rest in zip(tokens.split(lengths, 1), data, constants, strict=True):
        place[..., : own.shape[-1]] = own
        if rest is not None:
            place[..., own.shape[-1] :] = rest
    return tokens


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
    def forward(
        ctx: Any, rows: Tensor, mask: Tensor | None, eps: float, constants: Sequence[Tensor | None], *data: Tensor
    ) -> Part:
        ctx.set_materialize_grads(False)
        normalised, rstd = _normalised(_written(data, constants), eps)
        hidden = None if mask is None else _hidden(mask)
        if hidden is not None:  # whatever they hold, NaN included
            normalised.flatten(0, 1).index_fill_(0, hidden, 0.0)
            rstd.flatten().index_fill_(0, hidden, 0.0)
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
        ctx.save_for_backward(rows, normalised, rstd, attention, mask, empty, *data)
        ctx.eps, ctx.constants = eps, constants
        return attention @ normalised, lse

    @staticmethod
    def backward(ctx: Any, grad_mixed: Tensor | None, grad_lse: Tensor | None) -> tuple[Tensor | None, ...]:
        with full_precision(torch.device("cpu")):  # nothing else comes here
            of_rows, *of_data = _backward(ctx, grad_mixed, grad_lse)
        return of_rows, None, None, None, *of_data


def _backward(ctx: Any, grad_mixed: Tensor | None, grad_lse: Tensor | None) -> list[Tensor | None]:
    """Gradients of rows and data."""
    rows, normalised, rstd, attention, mask, empty, *data = ctx.saved_tensors
    needs_rows, _, _, _, *needs_data = ctx.needs_input_grad
    grad_mixed = torch.zeros_like(rows) if grad_mixed is None else grad_mixed
    if torch.is_grad_enabled():  # gradients of gradients are asked for

        def dense(rows: Tensor, *data: Tensor) -> Part:
            return attend_dense(rows, Context(_joined(data, ctx.constants), mask=mask), ctx.eps)

        given = attention.new_zeros(attention.shape[:-1]) if grad_lse is None else grad_lse
        return gradients(dense, (rows, *data), (needs_rows, *needs_data), (grad_mixed, given))
    # Of the softmax, by PyTorch's kernel for it: attention times what exceeds the mean.
    grad_scores = torch._softmax_backward_data(grad_mixed @ normalised.mT, attention, -1, attention.dtype)
    if grad_lse is not None:
        grad_lse = grad_lse if empty is None else grad_lse.masked_fill(empty.unsqueeze(-1), 0.0)
        grad_scores = grad_scores.addcmul(attention, grad_lse.unsqueeze(-1))
    grad_rows = grad_scores @ normalised if needs_rows else None
    if not any(needs_data):
        return [grad_rows, *(None for _ in data)]
    given = attention.mT @ grad_mixed
    add = given.baddbmm if are_many(grad_mixed, grad_lse) else given.baddbmm_
    mean, factor = torch.zeros_like(rstd), torch.ones_like(rstd)
    # LayerNorm's, of tokens that it leaves as they are: those that were masked have no gradient, whatever they hold.
    grad_tokens, *_ = torch.ops.aten.native_layer_norm_backward(
        add(grad_scores.mT, rows), normalised, normalised.shape[-1:], mean, factor, None, None, (True, False, False)
    )
    grads, at = [], 0
    for part, needed in zip(data, needs_data, strict=True):
        length, channels = part.shape[1:]
        own = grad_tokens.narrow(1, at, length).narrow(2, 0, channels)
        grads.append(own * rstd.narrow(1, at, length) if needed else None)
        at += length
    return [grad_rows, *grads]


def _normalised(tokens: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """LayerNorm of tokens, in their place, and the factor ``(batch, tokens, 1)`` that did it; three passes over memory
    take less time than PyTorch's operation for it, where rows are short."""
    tokens -= tokens.mean(-1, keepdim=True)
    norm = torch.linalg.vector_norm(tokens, dim=-1, keepdim=True)
    rstd = torch.rsqrt(norm.square() / tokens.shape[-1] + eps)
    return tokens.mul_(rstd), rstd


def _hidden(mask: Tensor) -> Tensor | None:
    """The numbers of masked tokens among those of the batch; None of none."""
    found = (~mask).flatten().nonzero().flatten()
    return found if len(found) else None
