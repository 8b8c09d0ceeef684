"""What backends that work on a context's parts have in common (docs/design.md, "Cross-attend without the input
array"): the frame around their loops, `StructuredAttend`, and what these loops read.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.operator import Gradients
from perceiver_pytorch.ops.precision import in_full

LARGEST_SCORE = 55.0
"""Up to here exponentials of scores, and sums of them over all tokens, stay in float32's range without a shift."""

TINY = 1e-30
"""Instead of a sum of weights that is zero since there is no token; any other is larger."""

SUMMED_AT_ONCE = 512
"""Coordinates that a matrix product may sum up one by one."""


class Weighting(NamedTuple):
    """What attention and the gradients of the scores follow from.

    With s, the score, and da, the product of ``grads`` with the normalised token, a row's attention to a token is
    ``a = exp(s - lse) factors``, and its score has the gradient ``a (da - offset)``.
    """

    lse: Tensor  # (batch, R), in the units of the loops' scores
    factors: Tensor | None  # (batch, R); None: all are 1
    grads: Tensor  # (batch, R, C): centred gradients of what the rows collected
    offset: Tensor  # (batch, R)


class StructuredAttend(ABC):
    """Attention of rows over one context by its parts: what stays the same whichever loops run over the tokens.

    Exponentials are taken as they are where a bound on the scores allows it, else after the row's largest score has
    been subtracted.

    Args:
        rows: (batch, R, C), of any dtype; results are float32 where it is half precision.
        context: the tokens.
        eps: LayerNorm's epsilon.
        needs_constants: whether gradients of code and tables will be asked for.

    Attributes:
        rows: the rows with mean zero over the channels, in float32 or more.
        large: whether scores may be too large for their exponentials: of any row, or (batch, R) of each.
    """

    large: bool | Tensor

    def __init__(self, rows: Tensor, context: Context, eps: float, needs_constants: bool = False) -> None:
        self.rows, self.context, self.eps = centred(in_full(rows.detach())), context, eps

    @abstractmethod
    def peaks(self) -> Tensor:
        """Each large row's largest score, (batch, R); -inf without any token."""

    @abstractmethod
    def collect(self, shift: Tensor | None, *, only_large: bool = False) -> tuple[Tensor, Tensor]:
        """The sum of ``exp(score - shift)``, (batch, R), and the mean normalised token so weighted, (batch, R, C).

        With ``only_large`` rows that are not large need no answer.
        """

    @abstractmethod
    def gradients(self, weighting: Weighting, needs_data: bool, needs_constants: bool) -> Gradients:
        """The gradients of what is needed."""

    def log_sum(self, total: Tensor, shift: Tensor | None) -> Tensor:
        """The log-sum-exp of which ``shift`` has been taken off."""
        return total.log() if shift is None else shift + total.log()

    def as_shift(self, lse: Tensor) -> Tensor:
        """A log-sum-exp in the units of the loops' scores."""
        return lse

    @classmethod
    def forward(cls, rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
        """The forward function of a `Backend`."""
        attend = cls(rows, context, eps)
        shift = None
        if attend.large is not False:
            peaks = finite(attend.peaks())
            shift = peaks if attend.large is True else torch.where(attend.large, peaks, 0.0)
        total, mixed = attend.collect(shift)
        return mixed, attend.log_sum(total, shift)

    @classmethod
    def backward(
        cls,
        rows: Tensor,
        context: Context,
        eps: float,
        mixed: Tensor,
        lse: Tensor,
        grad_mixed: Tensor,
        grad_lse: Tensor,
        needs_data: bool,
        needs_constants: bool,
    ) -> Gradients:
        """The backward function of a `Backend`.

        With a = exp(s - lse): ds = a (da - mixed·grad_mixed + grad_lse), where da = grad_mixed · normalised token.
        """
        attend = cls(rows, context, eps, needs_constants)
        grads, lse = centred(grad_mixed), attend.as_shift(finite(lse))
        factors, mixed = attend._corrected(lse, mixed)
        offset = (grads * mixed).sum(-1) - grad_lse
        found = attend.gradients(Weighting(lse, factors, grads, offset), needs_data, needs_constants)
        return found._replace(rows=found.rows.to(rows.dtype))

    def _corrected(self, lse: Tensor, mixed: Tensor) -> tuple[Tensor | None, Tensor]:
        """Factors of the weights, and what these collect.

        A large log-sum-exp is rounded: weights summing up to other than 1 would leave a gradient where there is none.
        """
        if self.large is False:
            return None, mixed
        total, again = self.collect(lse, only_large=True)
        factors = total.clamp_min(TINY).reciprocal()
        if self.large is True:
            return factors, again
        return torch.where(self.large, factors, 1.0), torch.where(self.large.unsqueeze(-1), again, mixed)


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
    # Not by torch.broadcast_shapes, which imports SymPy: half a second, and 36 MB.
    samples = next((table.shape[0] for table in tables if table.shape[0] != 1), 1)
    lead = samples, *(table.shape[1] for table in tables)
    return torch.cat([grid.expand(*lead, -1) for grid in grids], -1).flatten(1, -2)


def by_axis(values: Tensor, sizes: Sequence[int], widths: Sequence[int]) -> Iterator[tuple[Tensor, list[int]]]:
    """The opposite of `combinations`, for each axis in turn.

    Args:
        values: (S, ΠL, ΣP or more), of all combinations of coordinates.
        sizes, widths: each axis' L and P.

    Yields:
        an axis' own features, (S, L_1, L_2, ..., P), and the other axes' dimensions, which are to be summed over.
    """
    start = 0
    for axis, width in enumerate(widths):
        yield (
            values[..., start : start + width].unflatten(1, sizes),
            [1 + other for other in range(len(sizes)) if other != axis],
        )
        start += width


def raw_gradient(grad: Tensor, context: Context) -> Tensor:
    """The gradient of a context's data, from that of scaled and shifted channels, (batch, …, c)."""
    scaled = grad if context.scale is None else grad * context.scale.to(grad.dtype)
    return scaled.view(context.data.shape).to(context.data.dtype)


def per_sample(table: Tensor, dtype: torch.dtype) -> Tensor:
    """A table as (1 or batch, L, P)."""
    return (table if table.dim() == 3 else table.unsqueeze(0)).to(dtype)


def centred(rows: Tensor) -> Tensor:
    """Rows with mean zero over the channels: the mean of a token then drops out of its score."""
    return rows - rows.mean(dim=-1, keepdim=True)


def has_large_scores(rows: Tensor, context: Context) -> bool:
    """Whether scores of centred rows may be too large for their exponentials; True also for NaN."""
    return may_be_large(rows.norm(dim=-1).amax().item() if rows.numel() else 0.0, context)


def may_be_large(norm: float, context: Context) -> bool:
    """The same of the longest row's norm.

    A normalised token is no longer than the root of its channels.
    """
    return not norm * context.num_channels**0.5 <= LARGEST_SCORE


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
