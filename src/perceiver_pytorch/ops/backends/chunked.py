"""The structured backend in plain PyTorch: exact, in tiles, on every device.

The mathematics is that of docs/design.md, "Cross-attend without the input array". Tokens are visited in boxes (a range
of samples times a range of each axis) small enough for the cache; a box needs its raw channels, one position score per
coordinate of each axis, and the mean and inverse deviation of its tokens. Nothing of size tokens x channels is formed
and the backward pass recomputes the attention weights from the saved log-sum-exp.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import List, Optional, Tuple  # noqa: UP035  (the operator schema is read from these)

import torch
from torch import Tensor
from torch.autograd import forward_ad

from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.precision import full_precision

name = "chunked"

TILE_PAIRS = 1 << 18
"""(row, token) pairs per box: about 1 MB per float32 temporary, which stays in a core's cache."""

SUMMED_AT_ONCE = 512
"""Tokens that a matrix product may sum up one by one."""


def unsupported(rows: Tensor, context: Context) -> str | None:
    """Takes every problem but forward-mode differentiation, to which an operator would answer zero unasked."""
    if torch.compiler.is_compiling():
        return None
    given = (rows, context.data, context.code, *context.tables)
    if any(tensor is not None and forward_ad.unpack_dual(tensor).tangent is not None for tensor in given):
        return "it has no forward-mode derivative"
    return None


def attend(rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
    """See `perceiver_pytorch.ops.cross_attend.attend`."""
    return _attend(
        rows,
        context.data,
        list(context.tables),
        context.code,
        context.mask,
        context.scale,
        context.offset,
        context.padding,
        eps,
    )


@torch.library.custom_op("perceiver_pytorch::attend_chunked", mutates_args=())
def _attend(
    rows: Tensor,
    data: Tensor,
    tables: List[Tensor],  # noqa: UP006
    code: Optional[Tensor],  # noqa: UP045
    mask: Optional[Tensor],  # noqa: UP045
    scale: Optional[Tensor],  # noqa: UP045
    offset: Optional[Tensor],  # noqa: UP045
    padding: int,
    eps: float,
) -> Tuple[Tensor, Tensor]:  # noqa: UP006
    with full_precision(rows.device):
        tokens = _Tokens.of(Context(data, tuple(tables), code, padding, mask, scale, offset), rows.dtype, eps)
        return _forward(_centred(rows), tokens)


@_attend.register_fake
def _(rows, data, tables, code, mask, scale, offset, padding, eps):  # type: ignore[no-untyped-def]
    return torch.empty_like(rows, memory_format=torch.contiguous_format), rows.new_empty(rows.shape[:-1])


@torch.library.custom_op("perceiver_pytorch::attend_chunked_backward", mutates_args=())
def _attend_backward(
    grad_mixed: Tensor,
    grad_lse: Tensor,
    mixed: Tensor,
    lse: Tensor,
    rows: Tensor,
    data: Tensor,
    tables: List[Tensor],  # noqa: UP006
    code: Optional[Tensor],  # noqa: UP045
    mask: Optional[Tensor],  # noqa: UP045
    scale: Optional[Tensor],  # noqa: UP045
    offset: Optional[Tensor],  # noqa: UP045
    padding: int,
    eps: float,
    needs_data: bool,
    needs_constants: bool,
) -> List[Tensor]:  # noqa: UP006
    """Gradients of rows, data, code and each table; empty tensors for those that were not asked for."""
    with full_precision(rows.device):
        tokens = _Tokens.of(Context(data, tuple(tables), code, padding, mask, scale, offset), rows.dtype, eps)
        return _backward(_centred(rows), tokens, grad_mixed, grad_lse, mixed, lse, needs_data, needs_constants)


@_attend_backward.register_fake
def _(  # type: ignore[no-untyped-def]
    grad_mixed, grad_lse, mixed, lse, rows, data, tables, code, mask, scale, offset, padding, eps, needs_data,
    needs_constants,
):  # fmt: skip
    return [
        torch.empty_like(rows, memory_format=torch.contiguous_format),
        data.new_empty(data.shape) if needs_data else rows.new_empty(0),
        rows.new_empty(code.shape if needs_constants and code is not None else (0,)),
        *(rows.new_empty(table.shape if needs_constants else (0,)) for table in tables),
    ]


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    rows, data, tables, code, mask, scale, offset, padding, eps = inputs
    ctx.save_for_backward(rows, data, code, mask, scale, offset, *output, *tables)
    ctx.constants = padding, eps
    ctx.dtypes = [table.dtype for table in tables]


def _autograd_backward(ctx, grad_mixed, grad_lse):  # type: ignore[no-untyped-def]
    rows, data, code, mask, scale, offset, mixed, lse, *tables = ctx.saved_tensors
    needs = ctx.needs_input_grad
    needs_constants = bool(any(needs[2]) or needs[3])
    grad_rows, grad_data, grad_code, *grad_tables = _attend_backward(
        grad_mixed.contiguous(), grad_lse.contiguous(), mixed, lse, rows, data, list(tables), code, mask, scale, offset,
        *ctx.constants, bool(needs[1]), needs_constants,
    )  # fmt: skip
    return (
        grad_rows,
        grad_data if needs[1] else None,
        [g.to(dtype) if needed else None for g, dtype, needed in zip(grad_tables, ctx.dtypes, needs[2], strict=True)],
        grad_code.to(code.dtype) if needs[3] else None,
        *[None] * 5,
    )


_attend.register_autograd(_autograd_backward, setup_context=_setup_context)


def _centred(rows: Tensor) -> Tensor:
    """Rows with mean zero over the channels: the mean of a token then drops out of its score."""
    return rows - rows.mean(dim=-1, keepdim=True)


@dataclass(frozen=True)
class _Tokens:
    """A context with what every box needs to normalise its tokens."""

    context: Context
    tables: list[Tensor]  # (1 or batch, L_a, P_a), in the dtype of the computation
    code: Tensor  # (k,)
    sums: list[Tensor]  # per axis (1 or batch, L_a): sum over the features of a coordinate
    squares: list[Tensor]  # per axis (1 or batch, L_a): sum of squares about their own mean
    dtype: torch.dtype
    eps: float

    @classmethod
    def of(cls, context: Context, dtype: torch.dtype, eps: float) -> "_Tokens":
        data = context.data
        tables = [(t if t.dim() == 3 else t.unsqueeze(0)).to(dtype) for t in context.tables]
        tables = tables or [data.new_zeros((1, length, 0), dtype=dtype) for length in context.axes]
        code = data.new_zeros(0, dtype=dtype) if context.code is None else context.code.to(dtype)
        sums = [t.sum(-1) for t in tables]
        squares = [(t - t.mean(-1, keepdim=True)).square().sum(-1) if t.shape[-1] else t.sum(-1) for t in tables]
        return cls(context, tables, code, sums, squares, dtype, eps)

    def parts(self) -> tuple[slice, list[slice], slice]:
        """Channel ranges of the data, of each table and of the code."""
        position = self.context.data.shape[-1]
        data = slice(0, position)
        position += self.context.padding
        tables = []
        for table in self.tables:
            tables.append(slice(position, position + table.shape[-1]))
            position += table.shape[-1]
        return data, tables, slice(position, position + self.code.shape[0])

    def boxes(self, num_rows: int) -> Iterator[tuple[slice, ...]]:
        """Ranges (samples, *axes) that cover every token once, `TILE_PAIRS` pairs or fewer where possible."""
        extents = self.context.data.shape[:-1]
        limit = max(1, TILE_PAIRS // max(1, num_rows))
        steps = []
        for axis, extent in enumerate(extents):
            inner = math.prod(extents[axis + 1 :])
            steps.append(max(1, min(extent, limit // max(1, inner))))
        ranges = [
            [slice(start, min(start + step, extent)) for start in range(0, extent, step)]
            for extent, step in zip(extents, steps, strict=True)
        ]
        return itertools.product(*ranges)

    def read(self, box: tuple[slice, ...]) -> tuple[Tensor, Tensor | None]:
        """Raw channels (samples, *sizes, c) of a box, scaled, zero where masked; and its mask.

        Tokens may be shifted by a number of their own: it drops out of their normalisation.
        """
        context = self.context
        data = context.data[box].to(self.dtype)
        if context.scale is not None:
            data = data * context.scale.to(self.dtype)
        if context.offset is not None:
            data = data + context.offset.to(self.dtype)
        if data.shape[-1] == context.num_channels:
            # Nothing but data: centred here, or a mean far above the spread would cancel in the scores.
            data = data - data.mean(-1, keepdim=True)
        if context.mask is None:
            return data, None
        mask = context.mask[box]
        return data.masked_fill(~mask.unsqueeze(-1), 0.0), mask

    def normalisers(self, data: Tensor, box: tuple[slice, ...]) -> tuple[Tensor, Tensor]:
        """Mean and inverse deviation of a box's tokens, each (samples, *sizes).

        Squares are summed about the token's mean part by part, so that nothing cancels for data far from zero.
        """
        channels = self.context.num_channels
        mean = data.sum(-1)
        for axis, sums in enumerate(self.sums):
            mean = mean + _along(sums, axis, box)
        mean = (mean + self.code.sum()) / channels
        total = (data - mean.unsqueeze(-1)).square().sum(-1)
        if self.context.padding:
            total += self.context.padding * mean.square()
        for axis, (table, sums, squares) in enumerate(zip(self.tables, self.sums, self.squares, strict=True)):
            if features := table.shape[-1]:
                about = _along(sums / features, axis, box) - mean
                total += about.square_().mul_(features) + _along(squares, axis, box)
        if size := self.code.shape[0]:
            code_mean = self.code.mean()
            total += (code_mean - mean).square_().mul_(size) + (self.code - code_mean).square().sum()
        return mean, total.div_(channels).add_(self.eps).rsqrt_()

    def project(self, rows: Tensor) -> "_Terms":
        """The parts of ``rows · token`` for (batch, R, C) rows."""
        data, tables, code = self.parts()
        axes = [rows[..., part] @ table.mT for part, table in zip(tables, self.tables, strict=True)]
        axes[0] = axes[0] + (rows[..., code] @ self.code).unsqueeze(-1)
        return _Terms(rows[..., data].contiguous(), axes)

    def combine(self, marginals: "_Terms") -> Tensor:
        """``Σ_m w_m (token_m - its mean)`` as (batch, R, C), from the sums of w·data and w's marginals."""
        rows = marginals.data
        data, tables, code = self.parts()
        mixed = rows.new_zeros(*rows.shape[:-1], self.context.num_channels)
        mixed[..., data] = rows
        for part, table, marginal in zip(tables, self.tables, marginals.axes, strict=True):
            mixed[..., part] = _weighted_sum(marginal, table)
        mixed[..., code] = marginals.axes[0].sum(-1, keepdim=True) * self.code
        return _centred(mixed)


@dataclass(frozen=True)
class _Terms:
    """Something per (sample, row) of a structured token array: scores by part, or weighted sums by part."""

    data: Tensor  # (batch, R, c)
    axes: list[Tensor]  # per axis (batch, R, L_a)

    @classmethod
    def zeros(cls, rows: Tensor, tokens: _Tokens) -> "_Terms":
        shape = rows.shape[:-1]
        context = tokens.context
        return cls(
            rows.new_zeros(*shape, context.data.shape[-1]), [rows.new_zeros(*shape, size) for size in context.axes]
        )

    def dot(self, data: Tensor, box: tuple[slice, ...]) -> Tensor:
        """``rows · token`` for a box, (samples, R, *sizes)."""
        samples = box[0]
        score = None
        for axis, term in enumerate(self.axes):
            part = term[samples, :, box[1 + axis]]
            part = part.reshape(*part.shape[:2], *[1] * axis, -1, *[1] * (len(self.axes) - axis - 1))
            score = part if score is None else score + part
        assert score is not None
        product = torch.baddbmm(score.flatten(2), self.data[samples], data.flatten(1, -2).mT)
        return product.view(score.shape)

    def add(self, weights: Tensor, data: Tensor, box: tuple[slice, ...]) -> None:
        """Adds a box's sums: weights (samples, R, *sizes) times the raw channels, and the weights' marginals."""
        samples = box[0]
        self.data[samples] += _weighted_sum(weights.flatten(2), data.flatten(1, -2))
        _add_marginals(self.axes, weights, box, 2)

    def rescale(self, samples: slice, factor: Tensor) -> None:
        for part in (self.data, *self.axes):
            part[samples] *= factor.unsqueeze(-1)


def _weighted_sum(weights: Tensor, data: Tensor) -> Tensor:
    """``weights @ data``, (samples, R, tokens) by (1 or samples, tokens, c), summed in pieces.

    A matrix product of so few columns runs up one sum per entry, which over many thousand tokens loses the last digits.
    """
    tokens = data.shape[1]
    whole = tokens - tokens % SUMMED_AT_ONCE
    if tokens < 2 * SUMMED_AT_ONCE:
        return weights @ data
    pieces = weights[..., :whole].unflatten(2, (-1, SUMMED_AT_ONCE)).transpose(1, 2)
    total = (pieces @ data[:, :whole].unflatten(1, (-1, SUMMED_AT_ONCE))).sum(1)
    return total if whole == tokens else total + weights[..., whole:] @ data[:, whole:]


def _add_marginals(axes: list[Tensor], weights: Tensor, box: tuple[slice, ...], lead: int) -> None:
    """Adds to each axis' (…, L_a) the sums of ``weights`` (…, *sizes) over the other axes; innermost first."""
    for axis in reversed(range(len(axes))):
        outer = tuple(range(lead, lead + axis))
        marginal = weights.sum(outer) if outer else weights
        index = (box[0], *[slice(None)] * (lead - 1), box[1 + axis])
        axes[axis][index] += marginal
        if axis:
            weights = weights.sum(-1)


def _along(values: Tensor, axis: int, box: tuple[slice, ...]) -> Tensor:
    """(1 or batch, L_a) values of one axis, shaped to broadcast over a box (samples, *sizes)."""
    num_axes = len(box) - 1
    part = values[box[0] if values.shape[0] > 1 else slice(None), box[1 + axis]]
    return part.reshape(part.shape[0], *[1] * axis, -1, *[1] * (num_axes - axis - 1))


def _forward(rows: Tensor, tokens: _Tokens) -> tuple[Tensor, Tensor]:
    terms = tokens.project(rows)
    sums = _Terms.zeros(rows, tokens)
    peak = rows.new_full(rows.shape[:-1], float("-inf"))
    total = rows.new_zeros(rows.shape[:-1])
    for box in tokens.boxes(rows.shape[1]):
        samples = box[0]
        data, mask = tokens.read(box)
        _, rstd = tokens.normalisers(data, box)
        scores = terms.dot(data, box).mul_(rstd.unsqueeze(1))
        if mask is not None:
            scores.masked_fill_(~mask.unsqueeze(1), float("-inf"))
        before = peak[samples]
        after = torch.maximum(before, scores.flatten(2).amax(-1))
        shift = after.masked_fill(after == float("-inf"), 0.0)
        weights = scores.sub_(shift.reshape(*shift.shape, *[1] * (scores.dim() - 2))).exp_()
        factor = (before - shift).exp_()
        total[samples] = total[samples] * factor + weights.flatten(2).sum(-1)
        peak[samples] = after
        sums.rescale(samples, factor)
        sums.add(weights.mul_(rstd.unsqueeze(1)), data, box)
    mixed = tokens.combine(sums).div_(total.clamp_min(torch.finfo(total.dtype).tiny).unsqueeze(-1))
    return mixed, peak + total.log()


def _backward(
    rows: Tensor,
    tokens: _Tokens,
    grad_mixed: Tensor,
    grad_lse: Tensor,
    mixed: Tensor,
    lse: Tensor,
    needs_data: bool,
    needs_constants: bool,
) -> list[Tensor]:
    """With a = exp(s - lse): ds = a (da - mixed·grad_mixed + grad_lse), where da = grad_mixed · normalised token."""
    context = tokens.context
    grads = _centred(grad_mixed)
    score_terms, grad_terms = tokens.project(rows), tokens.project(grads)
    offset = (grads * mixed).sum(-1) - grad_lse
    finite_lse = lse.masked_fill(lse == float("-inf"), 0.0)
    sums = _Terms.zeros(rows, tokens)
    grad_data = torch.zeros_like(context.data, dtype=tokens.dtype) if needs_data else rows.new_empty(0)
    constants = _ConstantGradients.zeros(rows, tokens) if needs_constants else None
    for box in tokens.boxes(rows.shape[1]):
        samples = box[0]
        spread = (..., *[None] * (len(box) - 1))
        data, mask = tokens.read(box)
        mean, rstd = tokens.normalisers(data, box)
        rows_rstd = rstd.unsqueeze(1)
        scores = score_terms.dot(data, box).mul_(rows_rstd)
        weight_grads = grad_terms.dot(data, box).mul_(rows_rstd)
        attention = (scores - finite_lse[samples][spread]).exp_()
        if mask is not None:
            attention.masked_fill_(~mask.unsqueeze(1), 0.0)
        score_grads = (weight_grads - offset[samples][spread]).mul_(attention)
        if needs_data or constants is not None:
            # How far the gradient of a normalised token points along the token: LayerNorm's backward removes it.
            along = (weight_grads.mul_(attention) + scores.mul_(score_grads)).sum(1).div_(context.num_channels)
            attention.mul_(rows_rstd)
        score_grads.mul_(rows_rstd)
        sums.add(score_grads, data, box)
        if needs_data:
            grad = attention.flatten(2).mT @ grad_terms.data[samples]
            grad += score_grads.flatten(2).mT @ score_terms.data[samples]
            normalised = (data - mean.unsqueeze(-1)).mul_((rstd.square() * along).unsqueeze(-1))
            grad = grad.view(data.shape) - normalised
            if mask is not None:
                grad.masked_fill_(~mask.unsqueeze(-1), 0.0)
            grad_data[box] = grad
        if constants is not None:
            constants.add(attention, rstd.square().mul_(along), mean, box)
    if needs_data and context.scale is not None:
        grad_data *= context.scale.to(grad_data.dtype)
    outputs = [tokens.combine(sums), grad_data.to(context.data.dtype) if needs_data else grad_data]
    if constants is None:
        # One empty tensor each: the outputs of an operator may not be the same tensor.
        return outputs + [rows.new_empty(0) for _ in range(1 + len(context.tables))]
    return outputs + constants.finish(grads, rows, sums)


@dataclass(frozen=True)
class _ConstantGradients:
    """Gradients of what all tokens of a coordinate share: the position tables and the modality code."""

    tokens: _Tokens
    attention: list[Tensor]  # per axis (batch, R, L_a): marginals of attention * rstd
    along: list[Tensor]  # per axis (batch, L_a): marginals of rstd² * along
    along_mean: list[Tensor]  # the same, times the token's mean

    @classmethod
    def zeros(cls, rows: Tensor, tokens: _Tokens) -> "_ConstantGradients":
        axes, batch = tokens.context.axes, rows.shape[0]
        return cls(
            tokens,
            [rows.new_zeros(*rows.shape[:-1], size) for size in axes],
            [rows.new_zeros(batch, size) for size in axes],
            [rows.new_zeros(batch, size) for size in axes],
        )

    def add(self, attention: Tensor, along: Tensor, mean: Tensor, box: tuple[slice, ...]) -> None:
        _add_marginals(self.attention, attention, box, 2)
        _add_marginals(self.along, along, box, 1)
        _add_marginals(self.along_mean, along * mean, box, 1)

    def finish(self, grads: Tensor, rows: Tensor, sums: _Terms) -> list[Tensor]:
        """Gradients of the code and of each table."""
        _, parts, code = self.tokens.parts()
        grad_tables = []
        for axis, original in enumerate(self.tokens.context.tables):
            grad = self.attention[axis].mT @ grads[..., parts[axis]] + sums.axes[axis].mT @ rows[..., parts[axis]]
            grad -= self.along[axis].unsqueeze(-1) * self.tokens.tables[axis]
            grad += self.along_mean[axis].unsqueeze(-1)
            grad_tables.append(grad if original.dim() == 3 else grad.sum(0))
        per_row = self.attention[0].sum(-1, keepdim=True) * grads[..., code]
        per_row += sums.axes[0].sum(-1, keepdim=True) * rows[..., code]
        grad_code = per_row.sum((0, 1)) - self.along[0].sum() * self.tokens.code + self.along_mean[0].sum()
        return [grad_code, *grad_tables]
