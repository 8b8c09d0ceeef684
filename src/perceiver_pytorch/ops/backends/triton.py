"""The structured backend compiled for GPUs: one pass over the tokens, nothing of their size in memory.

The loops are in `triton_kernels`, in Triton, compiled on first use. Here is what surrounds them: what they read, and
what becomes of their sums. Nothing here waits for the GPU, so that a CUDA graph can record it: where scores may be too
large for their exponentials is decided on the GPU, row by row. Nothing is added up in an order that may vary.
"""

import contextlib
import importlib.util
import math
import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch.ops.backend import Backend, Rows
from perceiver_pytorch.ops.backends.chunked import ChunkedAttend
from perceiver_pytorch.ops.backends.instead import or_chunked
from perceiver_pytorch.ops.backends.triton_tiles import Tiles, kept
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.cost import Count
from perceiver_pytorch.ops.operator import Gradients
from perceiver_pytorch.ops.precision import HALF
from perceiver_pytorch.ops.structured import (
    LARGEST_SCORE,
    TINY,
    Channels,
    StructuredAttend,
    Weighting,
    by_axis,
    centred,
    combinations,
    mean_and_squares,
    per_sample,
    raw_gradient,
    weighted_sum,
)

MAX_CHANNELS = 64
"""Raw channels that fit in registers; for more, matrix products are the better way."""

BLOCK_ROWS, BLOCK_TOKENS, BLOCK_FEATURES = 32, 64, 16
"""Rows, tokens and features that a program takes at once, at most; rows and tokens where none were measured."""

OPTIONS = {"num_warps": 8, "num_stages": 1, "enable_fp_fusion": True}
"""With these a program's tiles stay in registers; loads ahead of time would take as many again."""

SUMMED_AT_ONCE = 64
"""Blocks of tokens that a program adds up one by one: over many more, float32 loses the last digits."""

PROGRAMS = 1024
"""That many should be on their way at once: several for each of a large GPU's multiprocessors."""

SHORT = 64
"""Tokens of a line below which another axis is taken into it."""


_failures: list[str] = []
_INSTALLED = importlib.util.find_spec("triton") is not None
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.uint8)
_ALWAYS = -1.0  # no bound is below


@dataclass(frozen=True)
class _Rows:
    """What the kernels read of rows, or of the gradients of what they collected; and their far channels."""

    near: Tensor  # (batch, R, c + P): channels of the data and of the inner axis
    far: Tensor  # (batch, R, Q)
    constants: Tensor  # (batch, lines, R): the products of the far channels


class _Lines:
    """A context's constant parts as the kernels read them: worked out once for all layers.

    Tokens form lines along the inner axis: the last one, or the last few together where these are short.

    Attributes:
        tiles: sizes for this device and this data.
        near: (1 or batch, J, P) features along a line; far: (1 or batch, lines, Q) those that its tokens share, and the
            code.
    """

    def __init__(self, context: Context) -> None:
        axes = context.axes
        self.first_inner = len(axes) - 1
        while self.first_inner and math.prod(axes[self.first_inner :]) < SHORT:
            self.first_inner -= 1
        self.lines, self.length = math.prod(axes[: self.first_inner]), math.prod(axes[self.first_inner :])
        self.tiles = kept(context.data.device, context.data.dtype in HALF) or Tiles(
            BLOCK_ROWS, BLOCK_TOKENS, OPTIONS["num_warps"]
        )
        self.block_tokens = _block(self.tiles.tokens, self.length)
        self.blocks = math.ceil(self.length / self.block_tokens)
        self.channels = Channels(context, range(self.first_inner, len(axes)))
        none = context.data.new_zeros(0, dtype=torch.float32)
        tables = [per_sample(table.detach(), torch.float32) for table in context.tables]
        tables = tables or [none.new_zeros(1, length, 0) for length in axes]
        self.near = combinations(tables[self.first_inner :]).contiguous()
        outer = combinations([*tables[: self.first_inner], none.new_zeros(1, 1, 0)])
        code = none if context.code is None else context.code.detach().float()
        self.far = torch.cat([outer, code.expand(*outer.shape[:-1], -1)], -1)
        channels = context.data.shape[-1]
        padded = F.pad(self.far, (0, context.padding))
        self.arguments = (
            none.new_ones(channels) if context.scale is None else context.scale.float().contiguous(),
            none.new_zeros(channels) if context.offset is None else context.offset.float().contiguous(),
            self.near,
            *(torch.stack(mean_and_squares(features), 1) for features in (self.near, padded)),
            self.lines,
            self.length,
        )
        self.steps = tuple(int(features.shape[0] > 1) for features in (self.near, self.far))
        self.constants = {
            "SIZE": context.num_channels,
            "CHANNELS": channels,
            "FEATURES": self.near.shape[-1],
            "FAR": padded.shape[-1],
            "BLOCK_C": _block(MAX_CHANNELS, channels),
            "BLOCK_J": self.block_tokens,
            "BLOCK_P": _block(BLOCK_FEATURES, self.near.shape[-1]),
        }

    @classmethod
    def of(cls, context: Context) -> "_Lines":
        if "triton" not in context.derived:
            context.derived["triton"] = cls(context)
        return context.derived["triton"]

    def rows(self, rows: Tensor) -> _Rows:
        data, near, far = self.channels.split(rows)
        return _Rows(torch.cat([data, near], -1), far, (self.far @ far.mT).contiguous())

    def collected(self, near: Tensor, line_sums: Tensor) -> Tensor:
        """Rows with mean zero that collected ``near``, (batch, R, c + P), and line by line (batch, lines, R)."""
        data, inner = near.split([self.channels.sizes[0], self.near.shape[-1]], -1)
        return centred(self.channels.merge(data, inner, weighted_sum(line_sums.mT, self.far)))


def _block(largest: int, number: int) -> int:
    """Size of a tile's dimension: a power of two of 16 or more that holds ``number``, unless ``largest`` is less."""
    return max(16, min(largest, 1 << max(0, number - 1).bit_length()))


def products(rows: torch.dtype, data: Tensor) -> str:
    """How the kernels multiply rows or weights by raw channels.

    Tensor cores take TF32, which holds numbers of half precision as they are. "tf32x3" gives each factor in two parts,
    so that products with half-precision data are exact to about float32 where these are neither scaled nor shifted.
    Rows of half precision ask for no more than "tf32" gives, three bits above bfloat16, whatever the data are. There
    are such cores from compute capability 8.0 on.
    """
    if data.is_cuda and torch.cuda.get_device_capability(data.device) < (8, 0):
        return "ieee"
    if rows in HALF:
        return "tf32"
    return "tf32x3" if data.dtype in HALF else "ieee"


class TritonAttend(StructuredAttend):
    """Attention by the kernels."""

    large: Tensor

    def __init__(self, rows: Tensor, context: Context, eps: float, needs_constants: bool = False) -> None:
        super().__init__(rows, context, eps, needs_constants)
        self.lines = _Lines.of(context)
        self.parts_of_rows = self.lines.rows(self.rows)
        self.batch, self.num_rows = rows.shape[:2]
        # A normalised token is no longer than the root of its channels.
        self.bounds = (self.rows.norm(dim=-1) * context.num_channels**0.5).contiguous()
        self.large = ~(self.bounds <= LARGEST_SCORE)  # also where it is NaN
        shape = (self.batch, self.lines.lines, self.lines.length)
        data = context.data.detach().reshape(*shape, -1)  # a view but for axes that cannot be counted as one
        mask = self.bounds if context.mask is None else context.mask.reshape(shape).contiguous().view(torch.uint8)
        self.tokens = data, mask, *self.lines.arguments, *data.stride(), *self.lines.steps, eps
        rows_each = _block(self.lines.tiles.rows, self.num_rows)
        self.row_blocks = math.ceil(self.num_rows / rows_each)
        self.constants = self.lines.constants | {
            "MASKED": context.mask is not None,
            "BLOCK_R": rows_each,
            "DOT": products(rows.dtype, context.data),
        }

    def launch(self, kernel: str, grid: tuple[int, int, int], *arguments: Any, **constants: Any) -> None:
        from perceiver_pytorch.ops.backends import triton_kernels

        device = self.bounds.device
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            getattr(triton_kernels, kernel)[grid](
                *self.tokens, self.batch, self.num_rows, self.parts_of_rows.near, self.parts_of_rows.constants,
                *arguments, **constants, **self.constants, **(OPTIONS | {"num_warps": self.lines.tiles.warps}),
            )  # fmt: skip

    def parts(self) -> tuple[int, int]:
        """Blocks of tokens and lines that a program takes, given that it takes one block of rows."""
        blocks, lines = self.lines.blocks, self.lines.lines
        programs = self.batch * self.row_blocks
        lines_each = min(lines, SUMMED_AT_ONCE)
        blocks_each = min(blocks, SUMMED_AT_ONCE // lines_each)
        # Fewer blocks first: what is worked out once for a block serves all lines.
        while blocks_each > 1 and programs * math.ceil(blocks / blocks_each) < PROGRAMS:
            blocks_each = math.ceil(blocks_each / 2)
        programs *= math.ceil(blocks / blocks_each)
        return blocks_each, _share(lines_each, lines, programs)

    def peaks(self) -> Tensor:
        blocks_each, lines_each = self.parts()
        grid = self._grid(blocks_each, lines_each)
        peaks = self.bounds.new_empty(grid[1] * grid[2], self.batch, self.num_rows)
        self.launch("find_peaks", grid, self.bounds, LARGEST_SCORE, peaks, blocks_each, lines_each)
        return peaks.amax(0)

    def collect(self, shift: Tensor | None, *, only_large: bool = False) -> tuple[Tensor, Tensor]:
        assert shift is not None  # the frame shifts where it depends on the row
        near, line_sums = self._sums(LARGEST_SCORE if only_large else _ALWAYS, shift)
        total = near[..., -1]
        return total, self.lines.collected(near[..., :-1], line_sums) / total.clamp_min(TINY).unsqueeze(-1)

    def gradients(self, weighting: Weighting, needs_data: bool, needs_constants: bool) -> Gradients:
        lse, factors, grads, offset = weighting
        parts_of_grads = self.lines.rows(grads)
        assert factors is not None
        arguments = lse, parts_of_grads.near, parts_of_grads.constants, factors, offset.contiguous()
        near, score_sums = self._sums(_ALWAYS, *arguments)
        grad_rows = self.lines.collected(near[..., :-1], score_sums)
        if not needs_data and not needs_constants:
            return Gradients(grad_rows)
        return self._token_gradients(grad_rows, arguments, parts_of_grads, score_sums, needs_data, needs_constants)

    def _sums(self, largest: float, *weighting: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of near channels and of weights, (batch, R, c + P + 1), and of weights times r, (batch, lines, R).

        ``weighting`` is the shift of the scores, or all that the scores' gradients follow from: see
        `triton_kernels.collect`.
        """
        blocks_each, lines_each = self.parts()
        grid = self._grid(blocks_each, lines_each)
        width = self.parts_of_rows.near.shape[-1] + 1
        sums = self.bounds.new_zeros(grid[1] * grid[2], self.batch, self.num_rows, width)
        line_sums = self.bounds.new_empty(self.lines.blocks, *self.parts_of_rows.constants.shape)
        gradient = len(weighting) > 1
        weighting = weighting if gradient else weighting * 5  # of which the first is read
        arguments = self.bounds, largest, *weighting, sums, line_sums, blocks_each, lines_each
        self.launch("collect", grid, *arguments, GRADIENT=gradient)
        return sums.sum(0), line_sums.sum(0)

    def _grid(self, blocks_each: int, lines_each: int) -> tuple[int, int, int]:
        blocks, lines = self.lines.blocks, self.lines.lines
        return self.batch * self.row_blocks, math.ceil(blocks / blocks_each), math.ceil(lines / lines_each)

    def _token_gradients(
        self, grad_rows: Tensor, weighting: tuple[Tensor, ...], grads: _Rows, score_sums: Tensor, needs_data: bool,
        needs_constants: bool,
    ) -> Gradients:  # fmt: skip
        context, lines, empty = self.context, self.lines, self.bounds.new_empty(0)
        shape = (self.batch, lines.lines, lines.length)
        lines_each = _share(min(lines.lines, SUMMED_AT_ONCE), lines.lines, self.batch * lines.blocks)
        grid = (self.batch * lines.blocks, math.ceil(lines.lines / lines_each), 1)
        grad_data = empty.new_zeros(*shape, context.data.shape[-1]) if needs_data else empty
        alongs = empty, empty
        grad_near = attention_sums = empty
        if needs_constants:
            alongs = empty.new_zeros(shape), empty.new_zeros(shape)
            attention_sums = empty.new_empty(lines.blocks, *self.parts_of_rows.constants.shape)
            grad_near = empty.new_zeros(grid[1], self.batch, *lines.near.shape[1:])
        arguments = *weighting, grad_data, *alongs, attention_sums, grad_near, lines_each
        self.launch("token_gradients", grid, *arguments, TO_DATA=needs_data, TO_CONSTANTS=needs_constants)
        data = raw_gradient(grad_data, context) if needs_data else None
        if not needs_constants:
            return Gradients(grad_rows, data)
        along, along_mean = (part.unsqueeze(-1) for part in alongs)
        grad_near = grad_near.sum(0) - along.sum(1) * lines.near + along_mean.sum(1)
        grad_far = attention_sums.sum(0) @ grads.far + score_sums @ self.parts_of_rows.far
        grad_far += along_mean.sum(2) - along.sum(2) * lines.far
        return Gradients(grad_rows, data, *_constant_gradients(context, lines, grad_near, grad_far))


def _share(each: int, of: int, programs: int) -> int:
    """``each`` or fewer ``of`` the lines, so that there are `PROGRAMS` programs where possible."""
    while each > 1 and programs * math.ceil(of / each) < PROGRAMS:
        each = math.ceil(each / 2)
    return each


def _constant_gradients(
    context: Context, lines: _Lines, grad_near: Tensor, grad_far: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Gradients of the code and of each table, from those of features along a line (batch, J, P) and of what a line's
    tokens share (batch, lines, Q).
    """
    axes, first = context.axes, lines.first_inner
    code = grad_far[..., grad_far.shape[-1] - lines.channels.sizes[-1] :].sum((0, 1))
    found: list[Tensor] = []
    for grad, part in ((grad_far, slice(0, first)), (grad_near, slice(first, None))):
        tables = context.tables[part]
        for table, (here, others) in zip(
            tables, by_axis(grad, axes[part], [table.shape[-1] for table in tables]), strict=True
        ):
            others += [0] if table.dim() == 2 else []
            found.append(here.sum(others) if others else here.contiguous())
    return code, found


def _unsupported(rows: Rows, context: Context) -> str | None:
    """Takes rows of float32 or less on a GPU (on the CPU in Triton's interpreter), and data of the dtypes above."""
    data = context.data
    if not _INSTALLED:
        return "it needs triton (pip install triton)"
    if _failures:
        return f"it failed before: {_failures[0]}"
    if data.device != rows.device:
        return f"rows are on {rows.device}, data on {data.device}"
    if rows.device.type != "cuda" and (rows.device.type != "cpu" or os.environ.get("TRITON_INTERPRET") != "1"):
        return "it runs on CUDA devices (on the CPU only in Triton's interpreter, TRITON_INTERPRET=1)"
    if rows.dtype not in (torch.float32, *HALF):
        return f"it computes in float32, not {rows.dtype}"
    if data.dtype not in _DTYPES:
        return f"it does not read {data.dtype}"
    if not 1 <= data.shape[-1] <= MAX_CHANNELS:
        return f"it takes 1 to {MAX_CHANNELS} raw channels, not {data.shape[-1]}"
    if 0 in data.shape or 0 in rows.shape:
        return "there is nothing to attend to"
    return None


def _counts(context: Context, num_rows: int, inner_dim: int) -> tuple[Count, ...]:
    """Out of the question on a CPU, where kernels are interpreted."""
    return (Count(math.inf, 1, 1),)


BACKEND = Backend(
    "triton",
    _unsupported,
    or_chunked("Triton", "cuda", _failures, TritonAttend.forward, ChunkedAttend.forward),
    or_chunked("Triton", "cuda", _failures, TritonAttend.backward, ChunkedAttend.backward),
    _counts,
    reads_half=True,
)
