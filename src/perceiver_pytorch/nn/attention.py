"""Multi-head attention over a dense array: the self-attention of the latent transformer."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perceiver_pytorch.nn.linear import Linear
from perceiver_pytorch.nn.plain import is_plain
from perceiver_pytorch.nn.randomness import Dropout
from perceiver_pytorch.nn.tokens import Tokens, dense, joined_mask
from perceiver_pytorch.ops import cross_attend, split
from perceiver_pytorch.ops.attention import attention
from perceiver_pytorch.ops.linear import as_autocast
from perceiver_pytorch.ops.projected import masked_attention


class Attention(nn.Module):
    """Scaled dot-product attention with fused key and value projections (parameter names of release 1.4.0).

    Args:
        query_dim: channels of ``x`` and of the output.
        context_dim: channels of ``context``; None: self-attention.
        heads: number of heads.
        dim_head: channels per head.
        dropout: probability after the output projection.
    """

    def __init__(
        self, query_dim: int, context_dim: int | None = None, heads: int = 8, dim_head: int = 64, dropout: float = 0.0
    ) -> None:
        super().__init__()
        inner_dim = dim_head * heads
        self.scale = dim_head**-0.5
        self.heads = heads
        self.to_q = Linear(query_dim, inner_dim, bias=False)
        self.to_kv = Linear(query_dim if context_dim is None else context_dim, inner_dim * 2, bias=False)
        self.to_out = nn.Sequential(Linear(inner_dim, query_dim), Dropout(dropout))

    def forward(
        self,
        x: Float[Tensor, "batch queries query_dim"],
        context: Float[Tensor, "batch tokens context_dim"] | Tokens | None = None,
        mask: Bool[Tensor, "batch *axes"] | None = None,
    ) -> Float[Tensor, "batch queries query_dim"]:
        """Attends from ``x`` to ``context`` (default: to ``x``); ``mask`` is True where a token may be attended to.

        In a dense context a sample without any unmasked token gets the mean of all values, as in release 1.4.0.
        Structured contexts carry their masks; there it gets zeros.
        """
        if isinstance(context, Tokens):
            return self.to_out(self._read(x, context))
        if context is None:
            (x,) = as_autocast(x)  # once, for all three
            context = x
        # (batch, tokens, key or value, heads, dim_head) -> (batch, heads, tokens, dim_head) each
        key, value = self.to_kv(context).unflatten(-1, (2, self.heads, -1)).transpose(1, 3).unbind(2)
        query = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        bias = None
        if mask is not None:
            mask = rearrange(mask, "b ... -> b 1 1 (...)")
            some = mask.any(-1, keepdim=True)
            query = query.masked_fill(~some, 0)  # scores of 0: at the lowest number, kernels lose the sum in it
            bias = query.new_zeros(1).masked_fill(some & ~mask, torch.finfo(query.dtype).min)
        out = attention(query, key, value, bias, scale=self.scale)
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _read(self, x: Tensor, tokens: Tokens) -> Tensor:
        """Weighted values (batch, queries, inner_dim) of structured contexts."""
        query, to_kv, norm = self.to_q(x), self.to_kv, tokens.norm
        if is_plain(to_kv) and to_kv.bias is None and is_plain(norm, nn.LayerNorm):
            key_weight, value_weight = to_kv.weight.chunk(2)
            return cross_attend(
                query,
                tokens.contexts,
                key_weight=key_weight,
                value_weight=value_weight,
                norm_weight=norm.weight,
                norm_bias=norm.bias,
                heads=self.heads,
                eps=norm.eps,
            )
        split.refuse("a cross-attend whose keys and values have adapters, hooks or shards")
        query = query.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        both = to_kv(norm(dense(tokens.contexts, x.dtype))).unflatten(-1, (2, self.heads, -1))
        key, value = both.transpose(1, 3).unbind(2)
        out = masked_attention(query, key, value, joined_mask(tokens.contexts), scale=self.scale)
        return out.transpose(1, 2).flatten(2)
