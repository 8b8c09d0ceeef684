"""Causal attention with rotary positions, whose keys and values can be kept from one call to the next."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perceiver_pytorch.nn.feed_forward import FEED_FORWARD
from perceiver_pytorch.nn.linear import Linear
from perceiver_pytorch.nn.randomness import Dropout
from perceiver_pytorch.nn.residual import PreNorm
from perceiver_pytorch.nn.rotary import rotate
from perceiver_pytorch.ops.attention import attention


class KeyValues:
    """Keys and values of one layer, of all tokens read so far.

    Args:
        capacity: tokens that there is room for.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._room: Tensor | None = None  # (2, batch, heads, capacity, dim_head)

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds keys and values ``(batch, heads, tokens, dim_head)``; returns those of all tokens."""
        batch, heads, tokens, dim_head = key.shape
        if self._room is None:
            self._room = key.new_empty(2, batch, heads, self.capacity, dim_head)
        end = self.length + tokens
        assert end <= self.capacity
        self._room[0, :, :, self.length : end] = key
        self._room[1, :, :, self.length : end] = value
        self.length = end
        return self._room[0, :, :, :end], self._room[1, :, :, :end]


def causal_mask(
    queries: int, keys: int, key_mask: Bool[Tensor, "batch keys"] | None, device: torch.device
) -> Bool[Tensor, "batch 1 queries keys"] | None:
    """Which key each query may see: queries are the last of the keys' positions, and see themselves and what precedes.

    Args:
        queries, keys: how many.
        key_mask: True where there is a token at all; a query always sees its own position, so that none sees nothing.

    Returns:
        None where nothing needs to be said: a single query sees all, and as many queries as keys are plainly causal.
        The mask is the only thing of size queries x keys, one byte each, whatever the number of heads.
    """
    if key_mask is None and queries in (1, keys):
        return None
    own = torch.arange(keys - queries, keys, device=device).unsqueeze(1)
    place = torch.arange(keys, device=device)
    if key_mask is None:
        return (place <= own)[None, None]
    return (((place <= own) & key_mask[:, None]) | (place == own)).unsqueeze(1)


@dataclass(frozen=True)
class Places:
    """Where the queries and keys of an attention stand, the same for all layers of a kind.

    Args:
        queries, keys: tables of `rotary_table`.
        mask: of `causal_mask`.
    """

    queries: Tensor
    keys: Tensor
    mask: Tensor | None


class CausalAttention(nn.Module):
    """Multi-head attention from latents to a context that ends with the latents' own positions.

    Args:
        query_dim: channels of the latents and of the output.
        context_dim: channels of the context.
        heads, dim_head: number of heads, channels per head.
        dropout: probability after the output projection.
    """

    def __init__(self, query_dim: int, context_dim: int, *, heads: int, dim_head: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = Linear(query_dim, heads * dim_head, bias=False)
        self.to_kv = Linear(context_dim, 2 * heads * dim_head, bias=False)
        self.to_out = Linear(heads * dim_head, query_dim)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch latents query_dim"],
        context: Float[Tensor, "batch tokens context_dim"],
        places: Places,
        cache: KeyValues | None = None,
    ) -> Float[Tensor, "batch latents query_dim"]:
        """Attends from ``x`` to ``context``, and before it to the tokens that ``cache`` holds."""
        query = rotate(self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2), places.queries)
        key, value = self.to_kv(context).unflatten(-1, (2, self.heads, -1)).transpose(1, 3).unbind(2)
        key = rotate(key, places.keys)
        if cache is not None:
            key, value = cache.append(key, value)
        # A branch, since the condition itself would be a symbol in a graph.
        plainly_causal = True if places.mask is None and query.shape[2] > 1 else False  # noqa: SIM210
        out = attention(query, key, value, places.mask, is_causal=plainly_causal)
        return self.dropout(self.to_out(out.transpose(1, 2).flatten(2)))


class CausalLayer(nn.Module):
    """Pre-normalised causal attention and a feed-forward, each with its residual.

    Args:
        dim: channels of the latents.
        context_dim: channels of the context; None: self-attention.
        heads, dim_head, attn_dropout: of the attention.
        activation, widening_factor, ff_dropout: of the feed-forward.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int | None = None,
        *,
        heads: int,
        dim_head: int,
        attn_dropout: float = 0.0,
        activation: str = "gelu",
        widening_factor: int = 4,
        ff_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.norm_context = None if context_dim is None else nn.LayerNorm(context_dim)
        self.attention = CausalAttention(dim, context_dim or dim, heads=heads, dim_head=dim_head, dropout=attn_dropout)
        self.feed_forward = PreNorm(dim, FEED_FORWARD[activation](dim, mult=widening_factor, dropout=ff_dropout))

    @property
    def always_called(self) -> bool:
        """As of `LatentBlock`: among latents it is."""
        return self.norm_context is None

    def forward(
        self,
        x: Float[Tensor, "batch latents dim"],
        places: Places,
        context: Float[Tensor, "batch tokens context_dim"] | None = None,
        cache: KeyValues | None = None,
    ) -> Float[Tensor, "batch latents dim"]:
        """Lets ``x`` attend to ``context`` (default: to itself)."""
        normed = self.norm(x)
        read = normed if self.norm_context is None else self.norm_context(context)
        x = x + self.attention(normed, read, places, cache)
        return x + self.feed_forward(x)
