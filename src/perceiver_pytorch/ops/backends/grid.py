"""How the compiled backend divides a sample's tokens among threads, and into what stays in a core's cache."""

import math
from dataclasses import dataclass

from perceiver_pytorch.ops.context import Context

TILE_BYTES = 100 << 10
"""Planes of a tile, kept in a core's second cache while all rows run over them. A row's start and end in a tile cost as
much as a few hundred pairs: with tiles of a sixth, which fit the first cache, all takes 1.4 times as long."""

SEGMENT = 1024
"""Tokens of an axis from which on it is divided, so that there is something to do for every core."""

PART_PAIRS = 1 << 20
"""(row, token) pairs that a thread takes at once: a fraction of a millisecond."""

SHORT = 128
"""Tokens of a line below which axes are taken together."""

MAX_CHANNELS_OF_ONE_AXIS = 24
"""With more, products with the features are left to matrix products."""

VECTOR = 16
"""Lines are padded to whole vectors, whatever their width on this processor."""


@dataclass(frozen=True)
class Grid:
    """The tokens of a sample as lines by positions along the inner axis; see `kernels`.

    The inner axis is the last one, or the last few taken together where these are short, or the longest.

    Attributes:
        order: the axes, inner ones last.
        num_inner: how many axes make up the inner one.
        outer, inner: lengths of these axes.
        segment: positions of a tile; segments: how many cover the inner axis.
        part_lines, line_parts: lines of a part, and how many parts cover the lines.
        tile_lines: lines of a tile.
    """

    order: tuple[int, ...]
    num_inner: int
    outer: tuple[int, ...]
    inner: tuple[int, ...]
    segment: int
    segments: int
    part_lines: int
    line_parts: int
    tile_lines: int

    @classmethod
    def of(cls, context: Context, num_rows: int) -> "Grid":
        axes = context.axes
        order, num_inner = tuple(range(len(axes))), 1
        while math.prod(axes[-num_inner:]) < SHORT and _can_merge(context, num_inner):
            num_inner += 1
        if math.prod(axes[-num_inner:]) < max(axes) and math.prod(axes[-num_inner:]) < SHORT:
            longest, num_inner = axes.index(max(axes)), 1
            order = (*(axis for axis in order if axis != longest), longest)
        outer = tuple(axes[axis] for axis in order[:-num_inner])
        inner = tuple(axes[axis] for axis in order[-num_inner:])
        length, lines = math.prod(inner), math.prod(outer)
        tile = TILE_BYTES // (4 * (_planes(context) + 2))
        segment = length
        if length > 2 * SEGMENT:
            segment = max(SEGMENT, min(tile, math.ceil(length / 8)), math.ceil(length / 64))
        segment = round_up(segment)
        segments = math.ceil(length / segment)
        tile_lines = min(lines, max(1, tile // segment))
        part_lines = lines
        if segments == 1:
            # A part's sums have to be written and added up: that is to be little beside the work of a part.
            pairs = max(PART_PAIRS, 16 * num_rows * (length + sum(outer)))
            part_lines = min(lines, math.ceil(pairs / (num_rows * segment * tile_lines)) * tile_lines)
        return cls(
            order, num_inner, outer, inner, segment, segments, part_lines, math.ceil(lines / part_lines), tile_lines
        )

    @property
    def length(self) -> int:
        return math.prod(self.inner)

    @property
    def lines(self) -> int:
        return math.prod(self.outer)

    @property
    def parts(self) -> int:
        return self.segments * self.line_parts

    @property
    def padded(self) -> int:
        """Length of the inner axis in whole segments."""
        return self.segments * self.segment

    def numbers(self, batch: int, num_rows: int) -> tuple[int, ...]:
        """What the loops call the grid."""
        return (
            batch, num_rows, self.length, self.segment, self.segments, self.lines, self.part_lines, self.line_parts,
            self.tile_lines,
        )  # fmt: skip


def round_up(length: int) -> int:
    return math.ceil(length / VECTOR) * VECTOR


def _planes(context: Context) -> int:
    """Planes of a tile, besides two."""
    features = context.tables[0].shape[-1] if features_as_channels(context) and context.tables else 0
    return context.data.shape[-1] + features


def _can_merge(context: Context, num_inner: int) -> bool:
    """Whether the axis before the last ``num_inner`` may be counted on with them."""
    axes = context.axes
    if num_inner == len(axes) or math.prod(axes[-num_inner - 1 :]) > 2 * SEGMENT:
        return False
    position = -num_inner - 1
    tensors = [context.data[..., 0]] + ([] if context.mask is None else [context.mask])
    return all(t.stride(position) == t.stride(position + 1) * t.shape[position + 1] for t in tensors)


def features_as_channels(context: Context) -> bool:
    """Whether the features of an axis are channels like the data's: where there is one axis, sums by its positions
    would be as many as tokens."""
    features = context.tables[0].shape[-1] if context.tables else 0
    return len(context.axes) == 1 and context.data.shape[-1] + features <= MAX_CHANNELS_OF_ONE_AXIS
