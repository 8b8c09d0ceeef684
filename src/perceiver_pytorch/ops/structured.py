"""What backends that work on a context's parts have in common (docs/design.md, "Cross-attend without the input
array").
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from perceiver_pytorch.ops.context import Context

LARGEST_SCORE = 55.0
"""Up to here exponentials of scores, and sums of them over all tokens, stay in float32's range without a shift."""

SUMMED_AT_ONCE = 512
"""Coordinates that a matrix product may sum up one by one."""


class Channels:
    """Which channels of a context's tokens are what.

    Channels of the data and features of the inner axes (*near*) differ along a line of tokens, those of the other axes
    and the code (*far*) do not.

    Args:
        context: the context.
        inner: its inner axes.
    """

    def __init__(self, context: Context, inner: Iterable[int]) -> None:
        inner = set(inner)
        features = [table.shape[-1] for table in context.tables] or [0] * len(context.axes)
        code = 0 if context.code is None else context.code.shape[0]
        self.sizes = [context.data.shape[-1], context.padding, *features, code]
        axes = range(2, 2 + len(features))
        self.near = [i for i in axes if i - 2 in inner]
        self.far = [i for i in axes if i - 2 not in inner] + [2 + len(features)]

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Channels (…, C) of the data, near features, and far features; the code last."""
        parts = rows.split(self.sizes, -1)
        return parts[0], torch.cat([parts[i] for i in self.near], -1), torch.cat([parts[i] for i in self.far], -1)

    def merge(self, data: Tensor, near: Tensor, far: Tensor) -> Tensor:
        """The inverse of `split`, with zeros for the padding."""
        parts = [data, data.new_zeros(*data.shape[:-1], self.sizes[1])] + [data] * (len(self.sizes) - 2)
        for values, places in ((near, self.near), (far, self.far)):
            for place, part in zip(places, values.split([self.sizes[i] for i in places], -1), strict=True):
                parts[place] = part
        return torch.cat(parts, -1)


def combinations(tables: list[Tensor]) -> Tensor:
    """Features of all combinations of coordinates, (S, ΠL, ΣP), of tables (1 or S, L, P); the last varies fastest."""
    grids = []
    for axis, table in enumerate(tables):
        before, after = [1] * axis, [1] * (len(tables) - axis - 1)
        grids.append(table.reshape(table.shape[0], *before, table.shape[1], *after, table.shape[2]))
    lead = torch.broadcast_shapes(*(grid.shape[:-1] for grid in grids))
    return torch.cat([grid.expand(*lead, -1) for grid in grids], -1).flatten(1, -2)


def per_sample(table: Tensor, dtype: torch.dtype) -> Tensor:
    """A table as (1 or batch, L, P)."""
    return (table if table.dim() == 3 else table.unsqueeze(0)).to(dtype)


def centred(rows: Tensor) -> Tensor:
    """Rows with mean zero over the channels: the mean of a token then drops out of its score."""
    return rows - rows.mean(dim=-1, keepdim=True)


def largest_score(rows: Tensor, context: Context) -> float:
    """A bound on all scores of centred rows: a normalised token is no longer than the root of its channels."""
    return rows.norm(dim=-1).amax().item() * context.num_channels**0.5 if rows.numel() else 0.0


def mean_and_squares(values: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Mean over a dimension and sum of squares about it; zeros where there is nothing."""
    if not values.shape[dim]:
        return values.sum(dim), values.sum(dim)
    mean = values.mean(dim)
    return mean, (values - mean.unsqueeze(dim)).square_().sum(dim)


def finite(values: Tensor) -> Tensor:
    """Zero for minus infinity."""
    return values.masked_fill(values == float("-inf"), 0.0)


def weighted_sum(weights: Tensor, table: Tensor) -> Tensor:
    """``weights @ table``, (batch, R, L) by (1 or batch, L, P), summed in pieces.

    A matrix product of so few columns runs up one sum per entry, which over many thousand coordinates loses the last
    digits.
    """
    length = table.shape[1]
    whole = length - length % SUMMED_AT_ONCE
    if length < 2 * SUMMED_AT_ONCE:
        return weights @ table
    pieces = weights[..., :whole].unflatten(2, (-1, SUMMED_AT_ONCE)).transpose(1, 2)
    total = (pieces @ table[:, :whole].unflatten(1, (-1, SUMMED_AT_ONCE))).sum(1)
    return total if whole == length else total + weights[..., whole:] @ table[:, whole:]
