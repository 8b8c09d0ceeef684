"""Attention of rows over the input array itself: slow, obviously right, and open to every transformation."""

import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.precision import in_full


def attend_dense(rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
    """`perceiver_pytorch.ops.attend`, made of PyTorch's own differentiable operations."""
    rows = in_full(rows)
    tokens = context.dense(rows.dtype)
    if context.mask is not None:
        mask = context.mask.flatten(1)
        tokens = tokens.masked_fill(~mask.unsqueeze(-1), 0.0)
    tokens = F.layer_norm(tokens, tokens.shape[-1:], eps=eps)
    scores = rows @ tokens.mT
    if context.mask is None:
        return scores.softmax(dim=-1) @ tokens, scores.logsumexp(dim=-1)
    scores = scores.masked_fill(~mask.unsqueeze(1), float("-inf"))
    # A finite stand-in keeps the gradients of a sample without any token at zero instead of NaN.
    empty = ~mask.any(dim=-1)[:, None]
    scores = scores.masked_fill(empty.unsqueeze(-1), 0.0)
    mixed = (scores.softmax(dim=-1) @ tokens).masked_fill(empty.unsqueeze(-1), 0.0)
    return mixed, scores.logsumexp(dim=-1).masked_fill(empty, float("-inf"))
