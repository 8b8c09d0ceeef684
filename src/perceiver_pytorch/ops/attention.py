"""Scaled dot-product attention that may be differentiated twice and transformed, whichever kernel computes it."""

import sys
from collections.abc import Sequence
from functools import cache, partial
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

    PyTorch's kernels have neither second nor forward-mode derivatives. There the formula takes their place; without a
    mask also in the backward pass of bfloat16 on a CPU, for which the kernel takes up to eight times as long (PyTorch
    2.13). The formula rounds scores: where these spread by 1, gradients err by 0.5 % instead of 0.3 %; by 4, 1.2 %.
    """
    how = execution(query, key, value)
    if how == "transform":
        return _formula(query, key, value, mask, is_causal=is_causal, scale=scale)
    tensors = (query, key, value) if mask is None else (query, key, value, mask)
    follow = how == "eager" and torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    if not follow:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=is_causal, scale=scale)
    with torch.set_grad_enabled(mask is not None or not _goes_back_slowly(query, key, value)):
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=is_causal, scale=scale)
    return _Attention.apply(out, query, key, value, mask, is_causal, scale)


def _goes_back_slowly(query: Tensor, *others: Tensor) -> bool:
    """Whether the formula is faster than the kernel's backward pass."""
    alike = all(x.dtype == torch.bfloat16 and x.device.type == "cpu" and x.dim() == 4 for x in (query, *others))
    if not alike or any(x.shape[:2] != query.shape[:2] for x in others):
        return False
    return query.shape[-2] * others[0].shape[-2] <= _most_scores()


@cache
def _most_scores() -> int:
    """Of a head, up to which the formula's products in bfloat16 are faster than the kernel (measured with AVX-512's
    instructions for bfloat16, and with AMX)."""
    if not bfloat16_products():
        return 0
    return sys.maxsize if torch.cpu._is_amx_tile_supported() else 1 << 16


def _formula(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, is_causal: bool, scale: float | None
) -> Tensor:
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1) @ value


class _Attention(torch.autograd.Function):
    """Passes a kernel's output on. It goes back by the formula where the kernel was not followed, and where the
    backward pass is itself differentiated."""

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
        saved, formula = ctx.saved_tensors, partial(_formula, is_causal=ctx.options[0], scale=ctx.options[1])
        if torch.is_grad_enabled():
            return (None, *gradients(formula, saved, needed, [grad]), None, None)
        query, key, value, _ = saved
        rows = max(1, PIECE // max(1, query.shape[1] * query.shape[2] * key.shape[2]))
        found = [
            _gone_back(q, k, v, given, needed[:3], is_causal=ctx.options[0], scale=ctx.options[1])
            for q, k, v, given in zip(*(x.split(rows) for x in (query, key, value, grad)), strict=True)
        ]
        joined = [None if each[0] is None else torch.cat(each) for each in zip(*found, strict=True)]
        return (None, *joined, None, None, None)


def _gone_back(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    grad: Tensor,
    needed: Sequence[bool],
    *,
    is_causal: bool,
    scale: float | None,
) -> list[Tensor | None]:
    """Gradients of `_formula` without a mask, for queries, keys and values as ``needed``; from that of its result."""
    heads = query.shape[:2]
    query, key, value, grad = (x.flatten(0, 1) for x in (query, key, value, grad))
    times = query.shape[-1] ** -0.5 if scale is None else scale
    scores = _product(query, key.mT, times)
    if is_causal:
        scores.masked_fill_(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), float("-inf"))
    weights = scores.softmax(-1)
    of_query = of_key = of_value = None
    if needed[2]:
        of_value = weights.mT @ grad
    if needed[0] or needed[1]:
        of_weights = grad @ value.mT
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_query = _product(of_scores, key, times) if needed[0] else None
        of_key = _product(of_scores.mT, query, times) if needed[1] else None
    return [None if x is None else x.unflatten(0, heads) for x in (of_query, of_key, of_value)]


def _product(a: Tensor, b: Tensor, times: float) -> Tensor:
    """``times * (a @ b)``, rounded once."""
    return torch.baddbmm(a.new_zeros(1, 1, 1), a, b, beta=0, alpha=times)
