"""The structured backend compiled for the CPU: one pass over the tokens, all cores, nothing of their size in memory.

The loops are in `kernels`, in Numba, compiled on first use (`compiling`) and kept on disk. Here is what surrounds them:
what they read, and what becomes of their sums.
"""

import functools
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from perceiver_pytorch.ops import threads
from perceiver_pytorch.ops.backend import Backend, Rows
from perceiver_pytorch.ops.backends import compiling
from perceiver_pytorch.ops.backends.chunked import ChunkedAttend
from perceiver_pytorch.ops.backends.grid import Grid, features_as_channels
from perceiver_pytorch.ops.backends.instead import or_chunked
from perceiver_pytorch.ops.backends.rows import RowParts, Sums, arrays, side_by_side
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.cost import Count, Size
from perceiver_pytorch.ops.operator import Gradients
from perceiver_pytorch.ops.precision import HALF, in_full
from perceiver_pytorch.ops.structured import (
    Channels,
    StructuredAttend,
    Weighting,
    by_axis,
    combinations,
    may_be_large,
    mean_and_squares,
    per_sample,
)

MAX_CHANNELS = 64
"""Raw channels for which there are loops; for more, matrix products are the better way."""

LOG2_E = 1 / math.log(2)

NO_TOKEN = -1e29
"""Peaks below are those of rows without any token."""

Result = TypeVar("Result")

NEEDED = "it needs numba (pip install 'perceiver-multi-modality-pytorch[fast]')"
_INSTALLED = importlib.util.find_spec("numba") is not None
_failures: list[str] = []

# Dtypes that data may have, and what NumPy sees them as: it does not know all of them.
_SEEN_AS = {
    torch.float32: torch.float32,
    torch.uint8: torch.uint8,
    torch.bool: torch.uint8,
    torch.bfloat16: torch.int16,
    torch.float16: torch.uint16,
}


class _Fixed:
    """What the loops read of a context whatever the rows: worked out once for all layers.

    Args:
        context: the context.
        num_rows: rows that read it.
        by_position: score and sum up by position on the inner axis; else its features are channels.

    Attributes:
        near: (1 or batch, padded, P) features of the inner axis; far: (1 or batch, ΣL_a, Q) those of the others and the
            code.
        num_data, num_channels: channels of the data, and with those of the inner axis where they are channels.
        arguments: what every loop gets first, see `kernels`; kind: the same for all arguments of the same types.
        is_masked: whether there are tokens that do not count.
        num_parts: into how many parts its work is divided.
    """

    def __init__(self, context: Context, num_rows: int, by_position: bool) -> None:
        self.grid = grid = Grid.of(context, num_rows)
        inner = grid.order[-len(grid.inner) :]
        self.channels = Channels(context, inner)
        tables = list(context.tables) or [torch.zeros(1, length, 0, dtype=torch.float32) for length in context.axes]
        self.by_position = by_position
        along = _Along.of([tables[axis] for axis in inner], grid.padded)
        self.near = along.features
        tables = [per_sample(table.detach(), torch.float32) for table in tables]
        outer = [tables[axis] for axis in grid.order[: -len(grid.inner)]] or [torch.zeros(1, 1, 0, dtype=torch.float32)]
        code = torch.zeros(0, dtype=torch.float32) if context.code is None else context.code.detach().float()
        self.far = side_by_side(outer, code)  # (S, ΣL_a, Q)
        self.rows = RowParts(self.channels, self.near, along.by_feature, outer, self.far, by_position)
        samples = max(table.shape[0] for table in tables)
        statistics = (
            along.statistics.numpy(),
            self.near.shape[-1],
            (along.by_feature[:, :0] if by_position else along.by_feature).numpy(),
            _statistics([table.double() for table in outer], samples).numpy(),
            _code_statistics(context),
        )
        kind = _SEEN_AS[context.data.dtype]
        data = context.data.detach()
        data = data if data.dtype == kind else data.view(kind)
        mask = torch.empty(0, dtype=torch.uint8) if context.mask is None else context.mask.view(torch.uint8)
        affine = np.ones((2, data.shape[-1]), np.float32)
        affine[0] = 1.0 if context.scale is None else context.scale.numpy()
        affine[1] = 0.0 if context.offset is None else context.offset.numpy()
        strides = _strides(context, grid, [table.shape[-1] for table in outer])
        self.num_data = data.shape[-1]
        self.num_channels = data.shape[-1] + (0 if by_position else self.near.shape[-1])
        self.arguments = (
            grid.numbers(data.shape[0], num_rows),
            (_flat(data), _flat(mask), *strides, affine, context.num_channels),
            statistics,
            (0,) * self.num_data,
            (0,) * self.num_channels,
            (0,) if by_position else (),
        )
        self.is_masked = context.mask is not None
        self.kind = data.dtype, self.num_data, self.num_channels, by_position
        self.num_parts = data.shape[0] * grid.parts

    @classmethod
    def of(cls, context: Context, num_rows: int, needs_constants: bool = False) -> "_Fixed":
        by_position = needs_constants or not features_as_channels(context)
        key = f"compiled {num_rows} {by_position}"
        if key not in context.derived:
            context.derived[key] = cls(context, num_rows, by_position)
        return context.derived[key]

    def run(self, loop: str, eps: float, clamped: bool, *arrays: Any) -> None:
        """Calls a loop.

        Raises:
            NotCompiledError: while it is being compiled.
        """
        grid, data, *others = self.arguments
        arguments = grid, (*data, eps), *others, (0,) if clamped else (), *arrays
        markers = [len(array) for array in arrays if isinstance(array, tuple)]
        name = f"kernels.{loop}"
        compiling.ensure(
            (loop, *self.kind, clamped, *markers), name, (threads.counter(), threads.memory(0), *arguments)
        )
        from perceiver_pytorch.ops.backends import kernels, tiles

        tokens, axes = self.grid.tile_lines * self.grid.segment, len(data[3])
        room = tiles.room(tokens, self.grid.tile_lines, axes, self.num_channels, loop == "backward" and 1 in markers)
        threads.run(getattr(kernels, loop), *arguments, num_parts=self.num_parts, room=room)

    def zeros(self, batch: int, num_rows: int) -> "Sums":
        """Sums for rows."""
        return Sums.zeros(batch, num_rows, self.num_channels, self.grid, self.by_position)


@dataclass(frozen=True)
class _Along:
    """What is known of the inner axis, kept as long as its table is: models read with the same tables again and again.

    Attributes:
        features: (S, padded, P), zeros beyond the axis' end; by_feature: (S, P, padded), the same.
        statistics: (S, 2, padded), see `tiles.Statistics`.
    """

    features: Tensor
    by_feature: Tensor
    statistics: Tensor

    @classmethod
    def of(cls, tables: list[Tensor], padded: int) -> "_Along":
        table = tables[0]
        if len(tables) > 1 or table.is_inference():
            return cls._make(tables, padded)
        version, known = _ALONG.get(table, (0, {}))
        made = known.get(padded) if version == table._version else None
        if made is None:
            made = cls._make(tables, padded)
            # Put in its place as a whole: other threads may read with the same table.
            _ALONG[table] = table._version, {**(known if version == table._version else {}), padded: made}
        return made

    @classmethod
    def _make(cls, tables: list[Tensor], padded: int) -> "_Along":
        given = combinations([per_sample(table.detach(), torch.float32) for table in tables])
        features = given.new_zeros(given.shape[0], padded, given.shape[2])  # F.pad of torch 2.6 refuses 0 features
        features[:, : given.shape[1]] = given
        return cls(features, features.mT.contiguous(), _statistics([features], features.shape[0]))


_ALONG: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
"""By table: its version, and what was made of it by padded length."""


def _statistics(tables: list[Tensor], samples: int) -> Tensor:
    """Means over a coordinate's features, and sums of squares about them: (samples, 2, ΣL_a)."""
    both = [torch.stack(mean_and_squares(table), 1).expand(samples, -1, -1) for table in tables]
    return torch.cat(both, -1).contiguous()


def _code_statistics(context: Context) -> np.ndarray:
    """Number, mean and sum of squares about the mean of the code and the padding's zeros."""
    code = np.zeros(0) if context.code is None else context.code.detach().double().numpy()
    values = np.concatenate([code, np.zeros(context.padding)])
    mean = values.mean() if len(values) else 0.0
    return np.array([len(values), mean, ((values - mean) ** 2).sum()])


def _flat(tensor: Tensor) -> np.ndarray:
    """The memory that a tensor of any strides covers, as one dimension."""
    extent = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((extent if tensor.numel() else 0,), (1,)).numpy()


def _strides(context: Context, grid: Grid, features: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """``strides`` and ``axes`` of `tiles.Data`; without outer axes there is one of a single coordinate."""
    data, mask = context.data, context.mask
    grad = torch.empty(data.shape, device="meta").stride()
    strides = np.zeros(8, np.int64)
    last = 1 + grid.order[-1]
    strides[:3] = data.stride(0), data.stride(last), data.stride(-1)
    if mask is not None:
        strides[3:5] = mask.stride(0), mask.stride(last)
    strides[5:] = grad[0], grad[last], grad[-1]
    axes = np.zeros((max(1, len(grid.outer)), 6), np.int64)
    axes[0, 0] = 1
    first = 0
    for i, length in enumerate(grid.outer):
        axis = 1 + grid.order[i]
        mask_stride = 0 if mask is None else mask.stride(axis)
        axes[i] = length, data.stride(axis), mask_stride, first, features[i], grad[axis]
        first += length
    return strides, axes


class CompiledAttend(StructuredAttend):
    """Attention by the loops; their scores, peaks and log-sum-exps are in units of log 2."""

    large: bool

    def __init__(self, rows: Tensor, context: Context, eps: float, needs_constants: bool = False) -> None:
        self.context, self.eps = context, eps
        self.fixed = _Fixed.of(context, rows.shape[1], needs_constants)
        self.rows, norm, self.scores = self.fixed.rows.spread(in_full(rows.detach()), LOG2_E)
        self.large = may_be_large(norm, context)

    def peaks(self) -> Tensor:
        batch, num_rows = self.rows.shape[:2]
        peaks = self.rows.new_full((batch, self.fixed.grid.parts, num_rows), float("-inf"))
        self.fixed.run("find_peaks", self.eps, self.large, *self.scores, *arrays(peaks))
        peak = peaks.amax(1)
        return peak.masked_fill(peak < NO_TOKEN, float("-inf"))

    def collect(self, shift: Tensor | None, *, only_large: bool = False) -> tuple[Tensor, Tensor]:
        shift = self.rows.new_zeros(self.rows.shape[:2]) if shift is None else shift
        sums = self.fixed.zeros(*self.rows.shape[:2])
        masked = (0,) if self.fixed.is_masked else ()
        self.fixed.run(
            "forward", self.eps, self.large, *self.scores, *arrays(shift), masked,
            *arrays(sums.data, sums.inner, sums.outer),
        )  # fmt: skip
        return self.fixed.rows.collect(sums, divided=True)

    def log_sum(self, total: Tensor, shift: Tensor | None) -> Tensor:
        log_sum = total.log()
        return (log_sum if shift is None else log_sum + shift.double() / LOG2_E).float()

    def as_shift(self, lse: Tensor) -> Tensor:
        return lse * LOG2_E

    def gradients(self, weighting: Weighting, needs_data: bool, needs_constants: bool) -> Gradients:
        lse, factors, grads, offset = weighting
        factors = torch.ones_like(lse) if factors is None else factors.float()
        to_tokens, (batch, num_rows) = needs_data or needs_constants, self.rows.shape[:2]
        spread, sums = self.fixed.rows.spread(grads), self.fixed.zeros(batch, num_rows)
        attention = Sums.zeros(batch, num_rows if to_tokens else 0, 0, self.fixed.grid)
        along = Sums.zeros(batch, 2 if to_tokens else 0, 0, self.fixed.grid)
        grad_data = torch.empty(self.context.data.shape if needs_data else 0, dtype=torch.float32)
        self.fixed.run(
            "backward", self.eps, self.large, *self.scores, *arrays(lse, factors), *spread.scores,
            *arrays(offset), (0,) if to_tokens else (),
            *arrays(sums.data, sums.inner, sums.outer, attention.inner, attention.outer),
            *arrays(along.inner, along.outer, grad_data.flatten()),
        )  # fmt: skip
        _, grad_rows = self.fixed.rows.collect(sums)
        data = grad_data.to(self.context.data.dtype) if needs_data else None
        if not needs_constants:
            return Gradients(grad_rows, data)
        code, tables = _constant_grads(self.fixed, self.context, self.rows, grads, sums, attention, along)
        return Gradients(grad_rows, data, code, tables)


def _constant_grads(
    fixed: _Fixed, context: Context, rows: Tensor, grads: Tensor, sums: Sums, attention: Sums, along: Sums
) -> tuple[Tensor, list[Tensor]]:
    """Gradients of the code and of each table."""
    grid = fixed.grid
    _, *parts = zip(fixed.channels.split(rows), fixed.channels.split(grads), strict=True)
    gradients = []
    tables = fixed.near, fixed.far
    joined = zip(sums.joined[1:], attention.joined[1:], along.joined[1:], strict=True)
    for (row, grad), table, (score_sums, attention_sums, alongs) in zip(parts, tables, joined, strict=True):
        result = score_sums.float().mT @ row + attention_sums.float().mT @ grad
        along_sum, along_mean = alongs.float().unsqueeze(-1).unbind(1)
        gradients.append(result - along_sum * table + along_mean)
    inner, outer = gradients[0][:, : grid.length], gradients[1]
    code = outer[:, : grid.outer[0] if grid.outer else 1, outer.shape[-1] - fixed.channels.sizes[-1] :].sum((0, 1))
    found: dict[int, Tensor] = {}
    begin = column = 0
    for axis, length in zip(grid.order, grid.outer, strict=False):
        width = fixed.channels.sizes[2 + axis]
        found[axis] = outer[:, begin : begin + length, column : column + width]
        begin, column = begin + length, column + width
    inner_axes = grid.order[-len(grid.inner) :]
    near = by_axis(inner, grid.inner, [fixed.channels.sizes[2 + axis] for axis in inner_axes])
    for axis, (part, others) in zip(inner_axes, near, strict=True):
        found[axis] = part.sum(others) if others else part
    return code, [found[i] if table.dim() == 3 else found[i].sum(0) for i, table in enumerate(context.tables)]


def _single_threaded(function: Callable[..., Result]) -> Callable[..., Result]:
    """What surrounds the loops is mostly small."""

    @functools.wraps(function)
    def wrapped(rows: Tensor, context: Context, *arguments: Any) -> Result:
        products = 0 if features_as_channels(context) else rows.numel() * max(context.axes)
        with threads.single_threaded(products):
            return function(rows, context, *arguments)

    return wrapped


def is_installed() -> bool:
    """Whether there is a compiler."""
    return _INSTALLED


def failures() -> list[str]:
    """Why loops could not be compiled in this process."""
    return [*_failures]


def _unsupported(rows: Rows, context: Context) -> str | None:
    """Takes rows of float32 or less on the CPU, and data of the dtypes above with 1 to `MAX_CHANNELS` channels."""
    if not _INSTALLED:
        return NEEDED
    if _failures:
        return f"it failed before: {_failures[0]}"
    if rows.device.type != "cpu" or context.data.device.type != "cpu":
        return "it runs on the CPU only"
    if rows.dtype not in (torch.float32, *HALF):
        return f"it computes in float32, not {rows.dtype}"
    if context.data.dtype not in _SEEN_AS:
        return f"it does not read {context.data.dtype}"
    if not 1 <= context.data.shape[-1] <= MAX_CHANNELS:
        return f"it takes 1 to {MAX_CHANNELS} raw channels, not {context.data.shape[-1]}"
    if 0 in context.data.shape or 0 in rows.shape:
        return "there is nothing to attend to"
    return None


def _counts(context: Context, num_rows: int, inner_dim: int) -> tuple[Count, ...]:
    """Calls, rows, pairs, pairs times channels, those beyond 16, and times features that are no channels."""
    size, as_channels = Size.of(context, num_rows), features_as_channels(context)
    inside = size.channels + size.features if as_channels else size.channels
    outside = size.features if len(context.axes) == 1 and not as_channels else 0
    return (
        Count(1, 547, 1220),
        Count(size.rows, 144e-3, 369e-3),
        Count(size.pairs, 0.136e-3, 0.303e-3),
        Count(size.pairs * inside, 0.0683e-3, 0.127e-3),
        Count(size.pairs * max(0, size.channels - 16), 0.115e-3, 0.224e-3),
        Count(size.pairs * outside, 0.116e-3, 0.327e-3),
    )


BACKEND = Backend(
    "compiled",
    _unsupported,
    or_chunked("compiled", "cpu", _failures, _single_threaded(CompiledAttend.forward), ChunkedAttend.forward),
    or_chunked("compiled", "cpu", _failures, _single_threaded(CompiledAttend.backward), ChunkedAttend.backward),
    _counts,
)
