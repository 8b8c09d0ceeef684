"""Cross-attend by keys and values: what everybody does, and the better way for tokens of many channels.

`attend` spends two operations per channel of the data on every (row, token) pair; keys and values spend two per channel
of a head, once they are there. They are formed for one context at a time, from its dense tokens, which for data of many
channels are hardly more than the data itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch.ops.attention import attention
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.cost import Count, Size, dense_calls
from perceiver_pytorch.ops.linear import as_autocast, linear
from perceiver_pytorch.ops.precision import full_precision
from perceiver_pytorch.ops.tiled import attend_tiles, tile_of

NAME = "projected"

WIDE = 64
"""Channels of data beyond which no compiled loop takes a context."""


def is_wide(context: Context, width: int) -> bool:
    """Whether a context is an array of many channels and nothing else, such as latents that a decoder reads, of which
    keys and values (``width`` channels together) are not much larger. Known from widths alone, as a compiled graph
    needs it.
    """
    channels, plain = context.data.shape[-1], context.data.dim() == 3 and not context.tables and context.code is None
    return plain and channels > WIDE and width <= 4 * channels


def counts(context: Context, num_rows: int, inner_dim: int) -> tuple[Count, ...]:
    """Calls, pairs, and tokens times channels, by themselves and times channels of keys: see `cost.Counts`."""
    size = Size.of(context, num_rows)
    return (
        Count(dense_calls(context, num_rows), 156, 292),
        Count(size.pairs, 1.16e-3, 4.38e-3),
        Count(size.tokens * context.num_channels, 1.97e-3, 3.04e-3),
        Count(size.tokens * context.num_channels * inner_dim, 0.0130e-3, 0.0397e-3),
    )


def attend_projected(
    query: Tensor, context: Context, key_weight: Tensor, value_weight: Tensor, norm_weight: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """Attention of scaled queries (batch, heads, queries, dim_head) over one context among several.

    Args:
        query: the queries, times ``dim_head ** -0.5``.
        context: the tokens.
        key_weight, value_weight: ``(heads, dim_head, channels)``; the values' heads may be of another width.
        norm_weight, eps: of the context's LayerNorm, without its bias.

    Returns:
        values ``(batch, heads, queries, value_dim_head)``, zero where a sample has no token, and log-sum-exp
        ``(batch, heads, queries)``, -inf there.
    """
    tile = tile_of(context)
    if tile is not None:
        return attend_tiles(attend_projected, tile, query, context, key_weight, value_weight, norm_weight, eps)
    key, value = keys_and_values(context, key_weight, value_weight, norm_weight, eps, query.dtype)
    scores = query @ key.mT
    # Shares by the log-sum-exp would sum up to other than 1 where that is large, and rounded.
    if context.mask is None:
        return scores.softmax(-1) @ value, scores.logsumexp(-1)
    mask = context.mask.flatten(1)
    scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
    # A finite stand-in keeps the gradients of a sample without any token at zero instead of NaN.
    empty = ~mask.any(-1)[:, None, None]
    scores = scores.masked_fill(empty.unsqueeze(-1), 0.0)
    values = (scores.softmax(-1) @ value).masked_fill(empty.unsqueeze(-1), 0.0)
    return values, scores.logsumexp(-1).masked_fill(empty, float("-inf"))


def attend_one_context(
    query: Tensor, context: Context, key_weight: Tensor, value_weight: Tensor, norm_weight: Tensor | None, eps: float
) -> Tensor:
    """The values of `attend_projected` for a context that is the only one: PyTorch's kernels may keep no scores."""
    if tile_of(context) is not None:
        return attend_projected(query, context, key_weight, value_weight, norm_weight, eps)[0]
    key, value = keys_and_values(context, key_weight, value_weight, norm_weight, eps, query.dtype)
    return masked_attention(query, key, value, None if context.mask is None else context.mask.flatten(1), scale=1.0)


def masked_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Scaled dot-product attention; ``mask`` is (batch, tokens) bool, and a sample without a token gets zeros."""
    if mask is None and query.device.type == "cpu" and query.shape[-1] != value.shape[-1]:
        # There PyTorch has no kernel without scores, and what it does instead looks for rows of -inf besides. Products
        # of heads that lie apart would copy them forward and backward, and autocast's softmax would cast the scores.
        query, key, value = (part.contiguous() for part in as_autocast(query, key, value))
        with full_precision(query.device):
            return (query * scale @ key.mT).softmax(-1) @ value
    if mask is None:
        return attention(query, key, value, scale=scale)
    some = mask.any(-1)[:, None, None, None]
    seen = mask[:, None, None] | ~some  # a softmax over nothing would be NaN, also where it is then thrown away
    return attention(query, key, value, seen, scale=scale).masked_fill(~some, 0.0)


def keys_and_values(
    context: Context,
    key_weight: Tensor,
    value_weight: Tensor,
    norm_weight: Tensor | None,
    eps: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Keys and values ``(batch, heads, tokens, dim_head)`` of a context's normalised tokens, in one product.

    The norm's bias is not in them: it adds the same to all scores of a query, here and in other contexts, and to every
    value, whose weights sum up to 1.
    """
    tokens = context.dense(dtype)
    if context.mask is not None:
        tokens = tokens.masked_fill(~context.mask.flatten(1).unsqueeze(-1), 0.0)
    tokens = F.layer_norm(tokens, tokens.shape[-1:], norm_weight, None, eps)
    weights = torch.cat([key_weight.flatten(0, 1), value_weight.flatten(0, 1)])
    both = linear(tokens, weights).split([key_weight.flatten(0, 1).shape[0], value_weight.flatten(0, 1).shape[0]], -1)
    key, value = (part.unflatten(-1, (key_weight.shape[0], -1)).transpose(1, 2) for part in both)
    return key, value
