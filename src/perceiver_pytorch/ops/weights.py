"""The weights of a cross-attend, token by token: what `cross_attend` sums up and never holds.

They are computed anew, ``exp(score - log-sum-exp)``, for one box of tokens at a time. Whoever asks for sums over
latents gets them without an array of latents by tokens; whoever asks for a few latents gets theirs.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.cross_attend import attend
from perceiver_pytorch.ops.precision import full_precision

MOST_AT_ONCE = 1 << 21
"""Weights that are held at a time."""

Box = tuple[slice, ...]


class Tile(NamedTuple):
    """Weights of the tokens in a box.

    Attributes:
        context: the number of the context.
        box: a slice per axis.
        weights: ``(batch, heads, latents, tokens of the box)``.
    """

    context: int
    box: Box
    weights: Tensor


@dataclass(frozen=True, eq=False)
class AttentionWeights:
    """How much each latent attends to each token, in one cross-attend.

    Attributes:
        query: ``(batch, heads, latents, dim_head)``, times ``dim_head ** -0.5``.
        contexts: what is attended to, with one softmax over the tokens of all of them.
        keys: from tokens ``(batch, tokens, channels)`` to their keys ``(batch, heads, tokens, dim_head)``; None:
            ``key_weight`` tells.
        key_weight: ``(heads, dim_head, channels)`` with the norm's weight in it, for normalised tokens.
        eps: of the tokens' LayerNorm.
        competing: weights are normalised over the latents first, as in `AttentionBlock` with ``inverted``.
    """

    query: Tensor
    contexts: Sequence[Context]
    keys: Callable[[Tensor], Tensor] | None = None
    key_weight: Tensor | None = None
    eps: float = 1e-5
    competing: bool = False

    def tiles(self) -> Iterator[Tile]:
        """The weights of all tokens, a box of tokens at a time. Masked tokens have none."""
        with full_precision(self.query.device):
            normaliser = self._normaliser
            for place, box, scores in self._scores():
                if self.competing:
                    yield Tile(place, box, scores / normaliser)
                else:
                    yield Tile(place, box, (scores - normaliser).exp())

    def summed(
        self, factors: Float[Tensor, "batch outputs heads latents"]
    ) -> list[Float[Tensor, "batch outputs *axes"]]:
        """Sums of the weights over heads and latents, per context, for each row of ``factors``."""
        sums = [factors.new_zeros(*factors.shape[:2], *context.axes) for context in self.contexts]
        for place, box, weights in self.tiles():
            found = torch.einsum("bohn,bhnt->bot", factors.to(weights.dtype), weights)
            part = sums[place][(slice(None), slice(None), *box)]
            part.copy_(found.view(part.shape))
        return sums

    def of(
        self, latents: Sequence[int] | slice = slice(None), heads: Sequence[int] | slice = slice(None)
    ) -> list[Float[Tensor, "batch heads latents *axes"]]:
        """The weights of some latents and heads, per context."""
        chosen = self._chosen(latents, heads)
        found = [chosen.query.new_zeros(*chosen.query.shape[:3], *context.axes) for context in self.contexts]
        for place, box, weights in chosen.tiles():
            part = found[place][(slice(None),) * 3 + box]
            part.copy_(weights.view(part.shape))
        return found

    def _chosen(self, latents: Sequence[int] | slice, heads: Sequence[int] | slice) -> "AttentionWeights":
        if self.competing and latents != slice(None):
            raise ValueError("latents compete for the tokens: their weights are known together only; ask for all")
        weight = None if self.key_weight is None else self.key_weight[heads]
        keys = None if self.keys is None else _some_heads(self.keys, heads)
        return replace(self, query=self.query[:, heads][:, :, latents], key_weight=weight, keys=keys)

    @cached_property
    def _normaliser(self) -> Tensor:
        """``(batch, heads, latents, 1)``: the log-sum-exp over all tokens, or of competing latents the sum of shares;
        such that rows that attend to nothing have weights of 0."""
        if self.competing:
            total = sum(scores.sum(-1, keepdim=True) for _, _, scores in self._scores())
            assert isinstance(total, Tensor)
            return total.clamp_min(torch.finfo(total.dtype).tiny)
        if self.keys is None:
            rows = self._rows.flatten(1, 2)
            lses = [attend(rows, context, eps=self.eps)[1] for context in self.contexts]
            lse = torch.stack(lses).logsumexp(0).unflatten(1, self.query.shape[1:3])
        else:
            found = torch.stack([scores.logsumexp(-1) for _, _, scores in self._scores()])
            lse = found.logsumexp(0)
        return lse.masked_fill(lse == float("-inf"), 0.0).unsqueeze(-1)

    @cached_property
    def _rows(self) -> Tensor:
        """``(batch, heads, latents, channels)``: what scores normalised tokens."""
        assert self.key_weight is not None
        return self.query @ self.key_weight.to(self.query.dtype)

    def _scores(self) -> Iterator[tuple[int, Box, Tensor]]:
        """Context, box, and scores ``(batch, heads, latents, tokens)``, -inf of masked tokens; of competing latents
        their shares, 0 of masked tokens."""
        most = max(1, MOST_AT_ONCE // max(1, self.query.shape[:3].numel()))
        for place, context in enumerate(self.contexts):
            for box in boxes(context.axes, most):
                part = part_of(context, box)
                tokens = part.dense(self.query.dtype)
                mask = None if part.mask is None else part.mask.flatten(1)
                if mask is not None:
                    tokens = tokens.masked_fill(~mask.unsqueeze(-1), 0.0)
                scores = self._of_tokens(tokens)
                scores = scores.softmax(-2) if self.competing else scores
                if mask is not None:
                    scores = scores.masked_fill(~mask[:, None, None], 0.0 if self.competing else float("-inf"))
                yield place, box, scores

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        if self.keys is not None:
            return self.query @ self.keys(tokens).mT
        return self._rows @ F.layer_norm(tokens, tokens.shape[-1:], eps=self.eps).unsqueeze(1).mT


def boxes(axes: Sequence[int], most: int) -> Iterator[Box]:
    """Boxes that have every token once, of no more than ``most`` tokens each, in row-major order."""
    axis, inner = len(axes), 1
    while axis and inner * axes[axis - 1] <= most:
        axis -= 1
        inner *= axes[axis]
    whole = tuple(slice(0, length) for length in axes[axis:])
    if not axis:
        yield whole
        return
    step = max(1, most // inner)
    for before in _places(axes[: axis - 1]):
        for start in range(0, axes[axis - 1], step):
            yield (*before, slice(start, min(start + step, axes[axis - 1])), *whole)


def part_of(context: Context, box: Box) -> Context:
    """The tokens of a context that lie in a box."""
    tables = tuple(table[..., where, :] for table, where in zip(context.tables, box, strict=False))
    mask = None if context.mask is None else context.mask[(slice(None), *box)]
    data = context.data[(slice(None), *box)]
    return Context(
        data, tables, context.code, context.padding, mask, context.scale, context.offset, order=context.order
    )


def _places(axes: Sequence[int]) -> Iterator[Box]:
    for number in range(math.prod(axes)):
        place = []
        for length in reversed(axes):
            number, at = divmod(number, length)
            place.append(slice(at, at + 1))
        yield tuple(reversed(place))


def _some_heads(keys: Callable[[Tensor], Tensor], heads: Sequence[int] | slice) -> Callable[[Tensor], Tensor]:
    return lambda tokens: keys(tokens)[:, heads]
