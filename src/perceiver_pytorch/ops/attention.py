"""Scaled dot-product attention that may be differentiated twice and transformed, whichever kernel computes it."""

import sys
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from perceiver_pytorch._execution import execution
from perceiver_pytorch.ops.linear import bfloat16_products
from perceiver_pytorch.ops.second_order import gradients

PIECE = 1 << 21
"""Scores that are computed at once in a backward pass by the formula: they stay in a core's cache."""


def attention(
    query: Float[Tensor, "batch heads queries dim_head"],
    key: Float[Tensor, "batch heads tokens dim_head"],
    value: Float[Tensor, "batch heads tokens value_dim_head"],
    mask: Shaped[Tensor, "_batch _heads _queries tokens"] | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim_head"]:
    """``F.scaled_dot_product_attention``; ``mask`` is its ``attn_mask``, bool (True = attend) or added to the scores.

    PyTorch's kernels have neither second nor forward-mode derivatives. There the formula takes their place, and in the
    backward pass of bfloat16 on a CPU, where the kernel takes up to eight times as long (PyTorch 2.13).
    """
    how = execution(query, key, value)
    if how == "transform":
        return _formula(query, key, value, mask, is_causal, scale)
    tensors = (query, key, value) if mask is None else (query, key, value, mask)
    follow = how == "eager" and torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    if not follow:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=is_causal, scale=scale)
    with torch.set_grad_enabled(not _goes_back_slowly(query, key)):
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=is_causal, scale=scale)
    return _Attention.apply(out, query, key, value, mask, is_causal, scale)


def _goes_back_slowly(query: Tensor, key: Tensor) -> bool:
    """Whether the formula is faster than the kernel's backward pass."""
    of_a_head = query.shape[-2] * key.shape[-2]
    return query.device.type == "cpu" and query.dtype == torch.bfloat16 and of_a_head <= _most_scores()


@cache
def _most_scores() -> int:
    """Of a head, up to which the formula's products in bfloat16 are faster than the kernel (measured with AVX-512's
    instructions for bfloat16, and with AMX)."""
    if not bfloat16_products():
        return 0
    return sys.maxsize if torch.cpu._is_amx_tile_supported() else 1 << 16


def _formula(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool, scale: float | None
) -> Tensor:
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1) @ value


class _Attention(torch.autograd.Function):
    """Passes a kernel's output on; a backward pass that is itself differentiated goes by the formula instead."""

    @staticmethod
    def forward(
        ctx: Any,
        out: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        is_causal: bool,
        scale: float | None,
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.options = is_causal, scale
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        of_kernel, *needed, _, _ = ctx.needs_input_grad
        if of_kernel and not torch.is_grad_enabled():
            return (grad, *[None] * 6)
        query, key, value, mask = ctx.saved_tensors
        rows = max(1, PIECE // max(1, query.shape[1] * query.shape[2] * key.shape[2]))
        if needed[-1]:
            rows = len(query)  # they may share a mask, whose gradient is theirs together
        pieces = []
        for start in range(0, max(1, len(query)), rows):
            batch = slice(start, start + rows)
            own_mask = mask[batch] if mask is not None and mask.dim() == 4 and len(mask) > 1 else mask
            given = query[batch], key[batch], value[batch], own_mask
            pieces.append(gradients(lambda *given: _formula(*given, *ctx.options), given, needed, [grad[batch]]))
        found = [None if each[0] is None else torch.cat(each) for each in zip(*pieces, strict=True)]
        return (None, *found, None, None)
