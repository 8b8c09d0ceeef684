"""The structured backend in plain PyTorch: exact, in boxes of tokens, on every device.

The mathematics is that of docs/design.md, "Cross-attend without the input array". The tokens of a sample form *lines*
along the inner axis. Their raw channels and the features of that axis differ within a line (*near* channels); features
of the outer axes and the modality code do not (*far* channels), and are a constant per row and line. Features of the
inner axis are the same for lines that differ on the outer axes alone. With r, a token's inverse deviation, scores and
sums of a box of tokens are two matrix products of few columns, however many channels there are, and a few passes:

    E = exp(r · (row's [data part | constant] [data | 1]ᵀ + row's scores along the inner axis) - shift)
    sums = (r E) [data | 1 | 1/r]      sums along the inner axis = Σ_lines r E

Nothing of size tokens x channels outlives its box, and the backward pass recomputes E from the saved log-sum-exp.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch.ops import threads
from perceiver_pytorch.ops.backend import Backend, Rows
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.cost import Count, Size
from perceiver_pytorch.ops.operator import Gradients
from perceiver_pytorch.ops.structured import (
    TINY,
    Channels,
    StructuredAttend,
    Weighting,
    by_axis,
    centred,
    combinations,
    has_large_scores,
    mean_and_squares,
    per_sample,
    raw_gradient,
)

TILE_PAIRS = 1 << 20
"""(row, token) pairs per box: 4 MB per float32 temporary. Fewer stay in a core's own cache, but cost more calls."""

LINE_TOKENS = 512
"""Tokens of a line at most: a matrix product sums them up one by one, and over many more float32 loses digits."""

SHORT = 32
"""Tokens of a line below which another axis is taken into it."""

Result = TypeVar("Result")
Box = tuple[slice, ...]
"""Ranges of samples and of every axis."""
Share = tuple[Tensor, Tensor]
"""A part of a gradient, and what a box adds to it."""


@dataclass(frozen=True)
class _Lines:
    """The tokens of a box, line by line; c channels of data, P features of the inner axes, Q far channels.

    Lines are numbered by the outer axes, then by where on the inner axis they begin.
    """

    columns: Tensor  # (samples, lines, c + 2, J): data, or all near channels, then 1 and the deviation 1/r
    features: Tensor  # (1 or samples, lines by the inner axis, P, J)
    far: Tensor  # (1 or samples, lines, Q)
    rstd: Tensor  # (samples, lines, J): r of each token
    mean: Tensor  # (samples, lines, J), of each token's channels
    mask: Tensor | None  # (samples, lines, J)

    @property
    def num_data(self) -> int:
        return self.columns.shape[2] - 2

    def constants(self, far: Tensor) -> Tensor:
        """What rows' far parts (samples, R, Q) add to the scores of each line's tokens: (samples, lines, R, 1)."""
        return (far @ self.far.mT).mT.unsqueeze(-1)

    def products(self, near: Tensor, far: Tensor, shift: Tensor | None) -> Tensor:
        """``row · normalised token - shift`` as (samples, lines, R, J), for rows' parts (samples, R, c + P or Q)."""
        data, inner = near.split([self.num_data, self.features.shape[2]], -1)
        coefficients = torch.cat([data.unsqueeze(1).expand(-1, self.columns.shape[1], -1, -1), self.constants(far)], -1)
        scores = coefficients @ self.columns[:, :, :-1]
        if inner.shape[-1]:
            self.by_axes(scores).add_((inner.unsqueeze(1) @ self.features).unsqueeze(1))
        scores *= self.rstd.unsqueeze(2)
        if shift is not None:
            scores -= shift[:, None, :, None]
        return scores

    def by_axes(self, values: Tensor) -> Tensor:
        """Values (samples, lines, …) as (samples, lines by the outer axes, lines by the inner one, …)."""
        return values.unflatten(1, (-1, self.features.shape[1]))

    def normalised(self) -> Tensor:
        """Near channels and 1, times r: (samples, lines, c + P + 1, J)."""
        lines = self.columns.shape[1]
        features = self.features.unsqueeze(1).expand(-1, lines // self.features.shape[1], -1, -1, -1).flatten(1, 2)
        features = features.expand(self.columns.shape[0], -1, -1, -1)
        data, one = self.columns[:, :, :-2], self.columns[:, :, -2:-1]
        return torch.cat([data, features, one], 2) * self.rstd.unsqueeze(2)


class _Tokens:
    """A context as boxes of lines."""

    def __init__(self, context: Context, dtype: torch.dtype, eps: float) -> None:
        self.context, self.dtype, self.eps = context, dtype, eps
        axes = context.axes
        num_inner = 1
        while num_inner < len(axes) and math.prod(axes[-num_inner:]) < SHORT:
            num_inner += 1
        self.first_inner = len(axes) - num_inner
        self.rest = math.prod(axes[self.first_inner + 1 :])
        self.channels = Channels(context, range(self.first_inner, len(axes)))
        self.tables = [per_sample(table, dtype) for table in context.tables]
        self.tables = self.tables or [context.data.new_zeros((1, length, 0), dtype=dtype) for length in axes]
        self.code = context.data.new_zeros(0, dtype=dtype) if context.code is None else context.code.to(dtype)

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The near and the far channels of (batch, R, C) rows."""
        data, near, far = self.channels.split(rows)
        return torch.cat([data, near], -1), far

    def merge(self, near: Tensor, far: Tensor) -> Tensor:
        """The inverse of `split`, with zeros for the padding."""
        num_data = self.context.data.shape[-1]
        return self.channels.merge(near[..., :num_data], near[..., num_data:], far)

    def boxes(self, num_rows: int) -> Iterator[Box]:
        """Boxes that hold every token once, of `TILE_PAIRS` pairs or fewer where possible."""
        batch, *axes = self.context.data.shape[:-1]
        if 0 in axes:
            return iter(())
        limit = max(1, TILE_PAIRS // max(1, num_rows))
        line = max(1, min(LINE_TOKENS, limit) // max(1, self.rest))
        length = axes[self.first_inner]
        # Whole lines together in a box, and what is left of the axis after them in one of its own.
        step = line * max(1, limit // max(1, line * self.rest))
        whole = length - length % line if length > line else 0
        inner = [slice(start, min(start + step, whole)) for start in range(0, whole, step)]
        inner += [slice(whole, length)] if whole < length else []
        ranges = [inner]
        size = min(step, length) * self.rest
        for extent in (*reversed(axes[: self.first_inner]), batch):
            step = max(1, min(extent, limit // max(1, size)))
            size *= step
            ranges.insert(0, [slice(start, min(start + step, extent)) for start in range(0, extent, step)])
        return itertools.product(*ranges, *[[slice(0, extent)] for extent in axes[self.first_inner + 1 :]])

    def shape(self, box: Box) -> tuple[int, int, int, int]:
        """Samples, lines by the outer axes, lines by the inner one, tokens of a line."""
        samples, *sizes = (part.stop - part.start for part in box)
        length = sizes[self.first_inner]
        line = min(length, max(1, LINE_TOKENS // max(1, self.rest)))
        line = line if length % line == 0 else length
        return samples, math.prod(sizes[: self.first_inner]), length // line, line * self.rest

    def far_features(self, box: Box) -> Tensor:
        """(1 or samples, lines by the outer axes, Q)."""
        if self.first_inner == 0:
            return self.code.expand(1, 1, -1)
        tables = combinations(self._ranges(box, range(self.first_inner)))
        return torch.cat([tables, self.code.expand(*tables.shape[:2], -1)], -1)

    def near_features(self, box: Box) -> Tensor:
        """(1 or samples, tokens along the inner axes, features)."""
        return combinations(self._ranges(box, range(self.first_inner, len(self.tables))))

    def _ranges(self, box: Box, axes: range) -> list[Tensor]:
        tables = [self.tables[axis] for axis in axes]
        samples = [box[0] if table.shape[0] > 1 else slice(None) for table in tables]
        return [table[part, box[1 + axis]] for axis, table, part in zip(axes, tables, samples, strict=True)]

    def read(self, box: Box) -> _Lines:
        """The tokens of a box; zero where masked, whatever their data hold."""
        context = self.context
        samples, outer, inner, length = self.shape(box)
        shape = (samples, outer * inner, length)
        data = context.data[box].to(self.dtype)
        if context.scale is not None:
            data = data * context.scale.to(self.dtype)
        if context.offset is not None:
            data = data + context.offset.to(self.dtype)
        if data.shape[-1] == context.num_channels:
            # Nothing but data: centred here, or a mean far above the spread would cancel in the scores.
            data = data - data.mean(-1, keepdim=True)
        mask = None
        if context.mask is not None:
            mask = context.mask[box].reshape(shape)
            data = data.masked_fill(~context.mask[box].unsqueeze(-1), 0.0)
        # Channels first: whatever runs over tokens then runs over neighbours in memory.
        data = data.reshape(*shape, data.shape[-1]).mT
        features = self.near_features(box).unflatten(1, (inner, length)).mT.contiguous()
        num_data, num_features = data.shape[2], features.shape[2]
        # Features that no two lines have in common are channels like the data's.
        alone = num_features if outer == 1 else 0
        columns = data.new_empty(samples, outer * inner, num_data + alone + 2, length)
        columns[:, :, :num_data] = data
        columns[:, :, num_data:-2] = features[:, :, :alone]
        columns[:, :, -2] = 1.0
        mean, variance = self._moments(columns[:, :, :num_data], features, box)
        torch.sqrt(variance, out=columns[:, :, -1])
        features = features[:, :, alone:]
        far = self.far_features(box).unsqueeze(2).expand(-1, -1, inner, -1).flatten(1, 2)
        return _Lines(columns, features, far, variance.rsqrt_(), mean, mask)

    def _moments(self, data: Tensor, features: Tensor, box: Box) -> tuple[Tensor, Tensor]:
        """Mean and variance (with epsilon) of tokens, each (samples, lines, J).

        Squares are summed about the token's mean part by part, so that nothing cancels for data far from zero.

        Args:
            data, features: (samples, lines, c, J) and (1 or samples, lines by the inner axis, P, J).
        """
        _, outer, inner, _ = self.shape(box)
        size = self.context.num_channels
        far = F.pad(self.far_features(box), (0, self.context.padding))
        far_mean, far_squares = (v.view(-1, outer, 1, 1).expand(-1, -1, inner, -1) for v in mean_and_squares(far))
        near_mean, near_squares = (v.unsqueeze(1) for v in mean_and_squares(features, 2))
        data = data.unflatten(1, (outer, inner))
        mean = data.sum(3).div_(size)
        mean += far_mean * (far.shape[-1] / size)
        mean += near_mean * (features.shape[2] / size)
        squares = (data - mean.unsqueeze(3)).square_().sum(3)
        squares += (far_mean - mean).square_().mul_(far.shape[-1])
        squares += (near_mean - mean).square_().mul_(features.shape[2])
        squares += far_squares
        squares += near_squares
        return mean.flatten(1, 2), squares.div_(size).add_(self.eps).flatten(1, 2)


@dataclass(frozen=True)
class _Sums:
    """What rows have collected: weights times near channels, r and 1 (batch, R, K + 2), and times far channels."""

    near: Tensor
    far: Tensor

    @classmethod
    def of(cls, weights: Tensor, lines: _Lines) -> "_Sums":
        """Those of weights (samples, lines, R, J), which become their products with r."""
        weights *= lines.rstd.unsqueeze(2)
        sums = weights @ lines.columns.mT
        data, last = sums.sum(1).split([lines.num_data, 2], -1)
        inner = data[..., :0]
        if lines.features.shape[2]:
            inner = (lines.by_axes(weights).sum(1) @ lines.features.mT).sum(1)
        return cls(torch.cat([data, inner, last], -1), sums[..., -2].mT @ lines.far)

    @classmethod
    def joined(cls, parts: Iterable[tuple[slice, "_Sums"]], near: Tensor, far: Tensor) -> "_Sums":
        """The sum of parts, each of some samples; ``near`` and ``far`` are the rows' parts."""
        total = cls(near.new_zeros(*near.shape[:-1], near.shape[-1] + 2), torch.zeros_like(far))
        for samples, part in parts:
            total.near[samples] += part.near
            total.far[samples] += part.far
        return total


def _weights(products: Tensor, lines: _Lines) -> Tensor:
    """Their exponentials, in place; zero where there is no token."""
    if lines.mask is not None:
        products.masked_fill_(~lines.mask.unsqueeze(2), float("-inf"))
    return products.exp_()


class ChunkedAttend(StructuredAttend):
    """Attention box by box."""

    def __init__(self, rows: Tensor, context: Context, eps: float, needs_constants: bool = False) -> None:
        super().__init__(rows, context, eps, needs_constants)
        self.tokens = _Tokens(context, self.rows.dtype, eps)
        self.large = has_large_scores(self.rows, context)

    def peaks(self) -> Tensor:
        near, far = self.tokens.split(self.rows)

        def work(box: Box) -> tuple[slice, Tensor]:
            samples, lines = box[0], self.tokens.read(box)
            scores = lines.products(near[samples], far[samples], None)
            if lines.mask is not None:
                scores.masked_fill_(~lines.mask.unsqueeze(2), float("-inf"))
            return samples, scores.amax((1, 3))

        peaks = self.rows.new_full(self.rows.shape[:-1], float("-inf"))
        for samples, part in self._each(work):
            peaks[samples] = torch.maximum(peaks[samples], part)
        return peaks

    def collect(self, shift: Tensor | None, *, only_large: bool = False) -> tuple[Tensor, Tensor]:
        near, far = self.tokens.split(self.rows)

        def work(box: Box) -> tuple[slice, _Sums]:
            samples, lines = box[0], self.tokens.read(box)
            products = lines.products(near[samples], far[samples], None if shift is None else shift[samples])
            return samples, _Sums.of(_weights(products, lines), lines)

        sums = _Sums.joined(self._each(work), near, far)
        total = sums.near[..., -1]
        return total, centred(self._merged(sums) / total.clamp_min(TINY).unsqueeze(-1))

    def gradients(self, weighting: Weighting, needs_data: bool, needs_constants: bool) -> Gradients:
        lse, factors, grads, offset = weighting
        near, far = self.tokens.split(self.rows)
        grad_near, grad_far = self.tokens.split(grads)
        needs_tokens = needs_data or needs_constants
        to_tokens = _TokenGradients(self.tokens, needs_data, needs_constants) if needs_tokens else None

        def work(box: Box) -> tuple[slice, _Sums, list[Share]]:
            samples, lines = box[0], self.tokens.read(box)
            attention = _weights(lines.products(near[samples], far[samples], lse[samples]), lines)
            if factors is not None:
                attention *= factors[samples, None, :, None]
            score_grads = lines.products(grad_near[samples], grad_far[samples], offset[samples]).mul_(attention)
            if to_tokens is None:
                return samples, _Sums.of(score_grads, lines), []
            parts = (near[samples], far[samples]), (grad_near[samples], grad_far[samples])
            return samples, *to_tokens.of(box, lines, attention, score_grads, *parts)

        boxes = self._each(work)
        for _, _, shares in boxes:
            for gradient, share in shares:
                gradient += share
        sums = _Sums.joined([(samples, part) for samples, part, _ in boxes], near, far)
        return Gradients(centred(self._merged(sums)), *(() if to_tokens is None else to_tokens.finish()))

    def _merged(self, sums: _Sums) -> Tensor:
        """What the rows collected, (batch, R, C)."""
        return self.tokens.merge(sums.near[..., :-2], sums.far)

    def _each(self, work: Callable[[Box], Result]) -> list[Result]:
        """Results of all boxes; on a CPU several threads take one each."""
        boxes = self.tokens.boxes(self.rows.shape[1])
        return threads.in_order(work, boxes) if self.rows.device.type == "cpu" else [work(box) for box in boxes]


class _TokenGradients:
    """Gradients of data, code and tables."""

    def __init__(self, tokens: _Tokens, needs_data: bool, needs_constants: bool) -> None:
        self.tokens, self.needs_data, self.needs_constants = tokens, needs_data, needs_constants
        self.data = torch.zeros_like(tokens.context.data if needs_data else tokens.code[:0], dtype=tokens.dtype)
        self.code = torch.zeros_like(tokens.code)
        self.tables = [torch.zeros_like(table) for table in tokens.tables]

    def of(self, box: Box, lines: _Lines, attention: Tensor, score_grads: Tensor,
           rows: tuple[Tensor, Tensor], grads: tuple[Tensor, Tensor]) -> tuple["_Sums", list[Share]]:  # fmt: skip
        """The score gradients' sums (without that of themselves) of a box, and its shares of gradients that boxes add
        to. Its data's gradient is written.

        Args:
            attention, score_grads: (samples, lines, R, J).
            rows, grads: near and far parts of the rows, and of the gradients of what they collected.
        """
        normalised = lines.normalised()
        sums = score_grads @ normalised.mT
        line_sums = sums[..., -1]
        grad = self._coefficients(lines, *grads).mT @ attention
        grad += self._coefficients(lines, *rows).mT @ score_grads
        # How far the gradient of a normalised token points along the token: LayerNorm's backward removes it.
        along = (grad * normalised).sum(2, keepdim=True).div_(self.tokens.context.num_channels)
        rstd, mean = lines.rstd.unsqueeze(2), lines.mean.unsqueeze(2)
        normalised = normalised[:, :, :-1] - mean * rstd
        grad = grad[:, :, :-1].sub_(normalised.mul_(along)).mul_(rstd)
        num_data = self.tokens.context.data.shape[-1]
        if self.needs_data:
            self.data[box] = grad[:, :, :num_data].mT.reshape(self.data[box].shape)
        shares: list[Share] = []
        if self.needs_constants:
            shares += self._of_inner(box, grad[:, :, num_data:])
            along *= rstd.square()
            far = (attention @ rstd.mT).squeeze(-1) @ grads[1] + line_sums @ rows[1]
            far += (along * mean).sum(-1) - along.sum(-1) * lines.far
            shares += self._of_far(box, far)
        return _Sums(F.pad(sums.sum(1), (0, 1)), line_sums.mT @ lines.far), shares

    @staticmethod
    def _coefficients(lines: _Lines, near: Tensor, far: Tensor) -> Tensor:
        """What `_Lines.normalised` is multiplied by for rows' parts: (samples, lines, R, c + P + 1)."""
        constants = lines.constants(far)
        return torch.cat([near.unsqueeze(1).expand(-1, constants.shape[1], -1, -1), constants], -1)

    def _of_inner(self, box: Box, grad: Tensor) -> Iterator[Share]:
        """Of the features along a line, (samples, lines, features, J)."""
        first, (_, outer, inner, _) = self.tokens.first_inner, self.tokens.shape(box)
        grad = grad.unflatten(1, (outer, inner)).sum(1).transpose(1, 2).flatten(2).mT
        return self._of_tables(grad, range(first, len(self.tables)), box)

    def _of_far(self, box: Box, grad: Tensor) -> Iterator[Share]:
        """Of the features that a line's tokens share, (samples, lines, Q)."""
        first, (_, outer, inner, _) = self.tokens.first_inner, self.tokens.shape(box)
        grad = grad.unflatten(1, (outer, inner)).sum(2)
        yield self.code, grad[..., grad.shape[-1] - len(self.code) :].sum((0, 1))
        yield from self._of_tables(grad, range(first), box)

    def _of_tables(self, grad: Tensor, axes: range, box: Box) -> Iterator[Share]:
        """Gradients (samples, coordinates of the axes, features of the axes and any more)."""
        tables = [self.tables[axis] for axis in axes]
        sizes = [box[1 + axis].stop - box[1 + axis].start for axis in axes]
        parts = by_axis(grad, sizes, [table.shape[-1] for table in tables])
        for axis, table, (part, others) in zip(axes, tables, parts, strict=True):
            part = part.sum(others) if others else part
            if table.shape[0] > 1:
                yield table[box[0], box[1 + axis]], part
            else:
                yield table[:, box[1 + axis]], part.sum(0, keepdim=True)

    def finish(self) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
        """Of data, code and each table."""
        context = self.tokens.context
        data = raw_gradient(self.data, context) if self.needs_data else None
        if not self.needs_constants:
            return data, None, []
        tables = zip(self.tables, context.tables, strict=False)
        return data, self.code, [grad.reshape(table.shape) for grad, table in tables]


def _unsupported(rows: Rows, context: Context) -> str | None:
    """Takes every problem."""
    return None


def _counts(context: Context, num_rows: int, inner_dim: int) -> tuple[Count, ...]:
    """Calls, rows, pairs, and pairs and tokens times channels."""
    size = Size.of(context, num_rows)
    read = size.channels + size.features
    return (
        Count(1, 709, 1590),
        Count(size.rows, 157e-3, 551e-3),
        Count(size.pairs, 0.946e-3, 2.14e-3),
        Count(size.pairs * read, 0.0332e-3, 0.0798e-3),
        Count(size.tokens * read, 0.952e-3, 2.41e-3),
    )


BACKEND = Backend("chunked", _unsupported, ChunkedAttend.forward, ChunkedAttend.backward, _counts)
