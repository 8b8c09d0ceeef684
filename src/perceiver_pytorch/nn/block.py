"""Perceiver IO's block: attention and a feed-forward, as cross-attend, latent block and decoder alike."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.feed_forward import FEED_FORWARD
from perceiver_pytorch.nn.linear import Linear
from perceiver_pytorch.nn.plain import is_plain
from perceiver_pytorch.nn.randomness import Dropout
from perceiver_pytorch.nn.tokens import dense, joined_mask
from perceiver_pytorch.ops import Context, cross_attend, split
from perceiver_pytorch.ops.linear import as_autocast
from perceiver_pytorch.ops.projected import masked_attention
from perceiver_pytorch.ops.streamed import AnyContext


class AttentionBlock(nn.Module):
    """Pre-normalised attention and feed-forward, each with its residual: Perceiver IO's block, as cross-attend, latent
    block and decoder alike (arXiv 2107.14795, section 3.1 and appendix E).

    Args:
        query_dim: channels of ``x``.
        context_dim: channels of the context's tokens; None: self-attention.
        heads: number of heads; divides ``qk_dim`` and ``v_dim``.
        qk_dim: channels of queries and keys, of all heads together; default: ``query_dim``.
        v_dim: channels of the values, of all heads together; default: ``qk_dim``.
        output_dim: channels of the result; default: ``query_dim``, or ``v_dim`` without a query residual.
        bias: biases of the projections to queries, keys and values (the one to the output always has its own).
        query_residual: add ``x`` to what attention gives; needs ``output_dim == query_dim``. A decoder whose queries
            are positions only does better without (section 3.2).
        widening_factor: how many times as wide the feed-forward is inside.
        activation: ``"gelu"`` (the paper's, exact) or ``"geglu"``.
        dropout: probability, after attention and inside the feed-forward.
        inverted: let the queries compete for the tokens, as slots do (Locatello et al. 2020, section 2.1): softmax over
            the queries, then a weighted mean over the tokens.
        feed_forward: False: attention alone.

    Raises:
        ValueError, TypeError: for sizes that are no positive integers or do not fit together.

    Example:
        >>> import torch
        >>> block = AttentionBlock(16, 5, heads=2)
        >>> block(torch.randn(1, 4, 16), torch.randn(1, 30, 5)).shape
        torch.Size([1, 4, 16])
    """

    def __init__(
        self,
        query_dim: int,
        context_dim: int | None = None,
        *,
        heads: int = 1,
        qk_dim: int | None = None,
        v_dim: int | None = None,
        output_dim: int | None = None,
        bias: bool = True,
        query_residual: bool = True,
        widening_factor: int = 4,
        activation: str = "gelu",
        dropout: float = 0.0,
        inverted: bool = False,
        feed_forward: bool = True,
    ) -> None:
        super().__init__()
        qk_dim = query_dim if qk_dim is None else qk_dim
        v_dim = qk_dim if v_dim is None else v_dim
        output_dim = (query_dim if query_residual else v_dim) if output_dim is None else output_dim
        sizes = {"query_dim": query_dim, "heads": heads, "qk_dim": qk_dim, "v_dim": v_dim, "output_dim": output_dim}
        for name, value in (sizes | {"widening_factor": widening_factor}).items():
            _checks.positive_int(name, value)
        for name in ("qk_dim", "v_dim"):
            if sizes[name] % heads:
                raise ValueError(f"heads must divide {name}, got {heads} heads and {name}={sizes[name]}")
        if query_residual and output_dim != query_dim:
            raise ValueError(
                f"query_residual adds the queries to the output, so output_dim must be query_dim={query_dim}, got "
                f"{output_dim}; use query_residual=False"
            )
        _checks.choice("activation", activation, tuple(FEED_FORWARD))
        _checks.probability("dropout", dropout)
        self.heads, self.query_residual, self.inverted = heads, query_residual, inverted
        key_dim = query_dim if context_dim is None else _checks.positive_int("context_dim", context_dim)
        self.norm = nn.LayerNorm(query_dim)
        self.norm_context = None if context_dim is None else nn.LayerNorm(key_dim)
        self.to_q = Linear(query_dim, qk_dim, bias=bias)
        self.to_k = Linear(key_dim, qk_dim, bias=bias)
        self.to_v = Linear(key_dim, v_dim, bias=bias)
        self.to_out = Linear(v_dim, output_dim)
        self.dropout = Dropout(dropout)
        self.feed_forward_norm = nn.LayerNorm(output_dim) if feed_forward else None
        self.feed_forward = FEED_FORWARD[activation](output_dim, widening_factor, dropout).net if feed_forward else None

    @property
    def always_called(self) -> bool:
        """As of `LatentBlock`: among latents it is."""
        return self.norm_context is None

    def forward(
        self,
        x: Float[Tensor, "one_or_batch queries query_dim"],
        context: Sequence[AnyContext] | Float[Tensor, "batch tokens context_dim"] | None = None,
        mask: Bool[Tensor, "batch masked"] | None = None,
    ) -> Float[Tensor, "any_batch queries output_dim"]:
        """Attends from ``x`` to the context, or among ``x`` in a block without one.

        Args:
            x: ``(batch, queries, query_dim)``; a batch of one, where all samples have the same queries.
            context: structured contexts, or a dense array ``(batch, tokens, context_dim)``.
            mask: ``(batch, tokens)`` bool, True = attend, for a dense context, or for ``x`` in self-attention.

        Returns:
            ``(batch, queries, output_dim)``. A sample without any token gets nothing but the output's bias.

        Raises:
            ValueError, TypeError: for a context where there is none or none where there is one, a mask that does not
                fit.
        """
        if (context is None) != (self.norm_context is None):
            raise ValueError(
                "this block is self-attention and takes no context"
                if self.norm_context is None
                else "this block attends to a context, and none was given"
            )
        if mask is not None and (context is None or isinstance(context, Tensor)):
            _checks.boolean_mask("mask", mask, (x if context is None else context).shape[:2])
        out = self.dropout(self.to_out(self._attend(self.norm(x), context, mask)))
        x = x + out if self.query_residual else out
        if self.feed_forward is None or self.feed_forward_norm is None:
            return x
        return x + self.feed_forward(self.feed_forward_norm(x))

    def _attend(self, x: Tensor, context: Sequence[AnyContext] | Tensor | None, mask: Tensor | None) -> Tensor:
        """Weighted values (batch, queries, v_dim) of normalised ``x``."""
        if context is None:
            if self.inverted:
                return self._compete(x, x, mask)
            (x,) = as_autocast(x)  # once, for all three
            query, key, value = (self._by_head(to(x)) for to in (self.to_q, self.to_k, self.to_v))
            return masked_attention(query, key, value, mask, scale=query.shape[-1] ** -0.5).transpose(1, 2).flatten(2)
        if isinstance(context, Tensor):
            context = [Context(context, mask=mask)]
        elif mask is not None:
            raise ValueError("mask goes with a dense context; a structured context carries its own")
        if not context:
            raise ValueError("the block needs at least one context")
        norm = self.norm_context
        assert norm is not None
        if self.inverted:
            split.refuse("an inverted cross-attend")
            return self._compete(x, norm(dense(context, x.dtype)), joined_mask(context))
        query = self.to_q(x).expand(context[0].data.shape[0], -1, -1)
        if not (is_plain(self.to_k) and is_plain(self.to_v) and is_plain(norm, nn.LayerNorm)):
            split.refuse("a cross-attend whose keys and values have adapters, hooks or shards")
            tokens = norm(dense(context, x.dtype))
            query, key, value = (self._by_head(part) for part in (query, self.to_k(tokens), self.to_v(tokens)))
            out = masked_attention(query, key, value, joined_mask(context), scale=query.shape[-1] ** -0.5)
            return out.transpose(1, 2).flatten(2)
        return cross_attend(
            query,
            context,
            key_weight=self.to_k.weight,
            value_weight=self.to_v.weight,
            norm_weight=norm.weight,
            norm_bias=norm.bias,
            value_bias=self._value_bias(),
            heads=self.heads,
            eps=norm.eps,
        )

    def _value_bias(self) -> Tensor | None:
        """The values' bias. The softmax does not see the keys': it takes part so that its gradient is zero, not none,
        for whoever counts on one for every parameter (distributed training does).
        """
        if self.to_v.bias is None or self.to_k.bias is None:
            return self.to_v.bias
        return self.to_v.bias + 0.0 * self.to_k.bias.sum()

    def _compete(self, x: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Inverted attention over normalised tokens.

        The structured operator normalises weights over the tokens and never holds them all; here each token's weights
        are normalised over the queries first, so keys, values and weights are formed.
        """
        query, key, value = (
            self._by_head(to(given)) for to, given in ((self.to_q, x), (self.to_k, tokens), (self.to_v, tokens))
        )
        shares = (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-2)
        if mask is not None:
            shares = shares.masked_fill(~mask[:, None, None], 0.0)
        total = shares.sum(-1, keepdim=True).clamp_min(torch.finfo(shares.dtype).tiny)
        return (shares / total @ value).transpose(1, 2).flatten(2)

    def _by_head(self, x: Tensor) -> Tensor:
        """(batch, tokens, heads * dim_head) -> (batch, heads, tokens, dim_head)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
