"""Cross-attend by keys and values: what everybody does, and the better way for tokens of many channels.

`attend` spends two operations per channel of the data on every (row, token) pair; keys and values spend two per channel
of a head, once they are there. They are formed for one context at a time, from its dense tokens, which for data of many
channels are hardly more than the data itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch.ops.context import Context

name = "projected"


def attend_projected(
    query: Tensor,
    context: Context,
    key_weight: Tensor,
    value_weight: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Attention of scaled queries (batch, heads, latents, dim_head) over one context.

    Args:
        query: the queries, times ``dim_head ** -0.5``.
        context: the tokens.
        key_weight, value_weight: ``(heads, dim_head, channels)``.
        norm_weight, norm_bias, eps: of the context's LayerNorm.

    Returns:
        values ``(batch, heads, latents, dim_head)``, zero where a sample has no token, and log-sum-exp
        ``(batch, heads, latents)``, -inf there.
    """
    tokens = context.dense(query.dtype)
    if context.mask is not None:
        mask = context.mask.flatten(1)
        tokens = tokens.masked_fill(~mask.unsqueeze(-1), 0.0)
    tokens = F.layer_norm(tokens, tokens.shape[-1:], norm_weight, None, eps)
    heads, dim_head, channels = key_weight.shape
    weights = torch.cat([key_weight, value_weight]).reshape(2 * heads * dim_head, channels)
    key, value = F.linear(tokens, weights).unflatten(-1, (2, heads, dim_head)).permute(2, 0, 3, 1, 4)
    scores = query @ key.mT
    # The norm's bias adds the same to all scores of a query, here and in other contexts: it is left out there, and to
    # every value, whose weights sum up to 1.
    shift = 0.0 if norm_bias is None else (value_weight @ norm_bias).unsqueeze(1)
    if context.mask is None:
        lse = scores.logsumexp(-1)
        return (scores - lse.unsqueeze(-1)).exp() @ value + shift, lse
    scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
    # A finite stand-in keeps the gradients of a sample without any token at zero instead of NaN.
    empty = ~mask.any(-1)[:, None, None]
    lse = scores.masked_fill(empty.unsqueeze(-1), 0.0).logsumexp(-1)
    attention = (scores - lse.unsqueeze(-1)).exp()
    values = (attention @ value + shift).masked_fill(empty.unsqueeze(-1), 0.0)
    return values, lse.masked_fill(empty, float("-inf"))
