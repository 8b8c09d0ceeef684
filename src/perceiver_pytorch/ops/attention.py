"""Scaled dot-product attention that may be differentiated twice and transformed, whichever kernel computes it."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from perceiver_pytorch._execution import execution
from perceiver_pytorch.ops.second_order import gradients


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

    PyTorch's kernels have neither second nor forward-mode derivatives. There the formula takes their place.
    """
    how = execution(query, key, value)
    if how == "transform":
        return _formula(query, key, value, mask, is_causal, scale)
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=is_causal, scale=scale)
    if how == "eager" and torch.is_grad_enabled() and out.requires_grad:
        return _Attention.apply(out, query, key, value, mask, is_causal, scale)
    return out


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
        if not torch.is_grad_enabled():
            return (grad, *[None] * 6)
        _, *needed, _, _ = ctx.needs_input_grad
        found = gradients(lambda *given: _formula(*given, *ctx.options), ctx.saved_tensors, needed, [grad])
        return (None, *found, None, None)
