"""The dense backend: builds the input array, normalises it and attends to it. Slow, and obviously right."""

import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch.ops.backend import Backend, Rows
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.cost import Count, Size, dense_calls


def _unsupported(rows: Rows, context: Context) -> str | None:
    """Takes every problem that fits in memory."""
    return None


def _forward(rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
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


def _counts(context: Context, num_rows: int, inner_dim: int) -> tuple[Count, ...]:
    """Calls, pairs, and pairs and tokens times channels."""
    size = Size.of(context, num_rows)
    return (
        Count(dense_calls(context, num_rows), 213, 500),
        Count(size.pairs, 1.84e-3, 3.34e-3),
        Count(size.pairs * context.num_channels, 0.0269e-3, 0.0437e-3),
        Count(size.tokens * context.num_channels, 0.932e-3, 1.06e-3),
    )


BACKEND = Backend("reference", _unsupported, _forward, None, _counts)
