"""Tokens of structured contexts as modules read them."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perceiver_pytorch.ops.streamed import AnyContext, in_memory


class Tokens:
    """What an attention reads: structured contexts, and the norm that stands before its keys and values.

    Args:
        contexts: at least one.
        norm: normalises their tokens.
    """

    def __init__(self, contexts: Sequence[AnyContext], norm: nn.Module) -> None:
        self.contexts, self.norm = contexts, norm


def dense(contexts: Sequence[AnyContext], dtype: torch.dtype) -> Float[Tensor, "batch tokens channels"]:
    """All tokens; masked ones as zeros, whatever they hold."""
    arrays = []
    for context in in_memory(contexts):
        array = context.dense(dtype)
        arrays.append(array if context.mask is None else array.masked_fill(~context.mask.flatten(1).unsqueeze(-1), 0.0))
    return torch.cat(arrays, dim=1)


def joined_mask(contexts: Sequence[AnyContext]) -> Bool[Tensor, "batch tokens"] | None:
    """Which of all tokens may be attended to; None: all."""
    held = in_memory(contexts)
    if all(context.mask is None for context in held):
        return None
    masks = [torch.ones_like(c.data[..., 0], dtype=torch.bool) if c.mask is None else c.mask for c in held]
    return torch.cat([mask.flatten(1) for mask in masks], dim=1)
