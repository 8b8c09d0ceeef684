"""Lines, segments and parts of the compiled loops' grid."""

import math
from dataclasses import replace

import pytest
import torch

from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.backends.grid import MAX_CHANNELS_OF_ONE_AXIS, Grid, features_as_channels


def context(*axes: int, channels: int = 3, features: int = 5) -> Context:
    return Context(torch.zeros(1, *axes, channels), tuple(torch.zeros(length, features) for length in axes))


GRIDS = {
    # axes, rows: (order, inner axes, segment, segments, lines of a tile, of a part, parts of lines)
    ((5,), 12): ((0,), (5,), 16, 1, 1, 1, 1),
    ((2048,), 12): ((0,), (2048,), 2048, 1, 1, 1, 1),
    ((2049,), 12): ((0,), (2049,), 1024, 3, 1, 1, 1),  # beyond twice a segment
    ((44_100,), 12): ((0,), (44_100,), 2560, 18, 1, 1, 1),  # what a tile holds
    ((200_000,), 12): ((0,), (200_000,), 3136, 64, 1, 1, 1),  # not more than 64
    ((16_000,), 12): ((0,), (16_000,), 2000, 8, 1, 1, 1),  # not fewer than 8
    ((127, 128), 12): ((0, 1), (128,), 128, 1, 40, 127, 1),
    ((127, 128), 256): ((0, 1), (128,), 128, 1, 40, 40, 4),
    ((128, 127), 12): ((1, 0), (128,), 128, 1, 40, 127, 1),  # the longest axis, where the last one is short
    ((224, 224), 256): ((0, 1), (224,), 224, 1, 22, 44, 6),
    ((8, 130, 130), 12): ((0, 1, 2), (130,), 144, 1, 35, 630, 2),
    ((100, 100, 100), 12): ((0, 1, 2), (100,), 112, 1, 45, 810, 13),
    ((300, 5), 12): ((0, 1), (300, 5), 1504, 1, 1, 1, 1),  # short axes taken together
    ((5, 300, 4), 12): ((0, 1, 2), (300, 4), 1200, 1, 4, 5, 1),
    ((16, 16, 8), 12): ((0, 1, 2), (16, 8), 128, 1, 16, 16, 1),
    ((16, 2, 8, 8), 12): ((0, 1, 2, 3), (2, 8, 8), 128, 1, 16, 16, 1),
    ((128, 16), 12): ((0, 1), (128, 16), 2048, 1, 1, 1, 1),
    ((129, 16), 12): ((1, 0), (129,), 144, 1, 16, 16, 1),  # together they would be more than two segments
    ((2000, 3), 12): ((1, 0), (2000,), 2000, 1, 2, 3, 1),
    ((3, 2000), 12): ((0, 1), (2000,), 2000, 1, 2, 3, 1),
    ((1, 1), 256): ((0, 1), (1, 1), 16, 1, 1, 1, 1),
}


@pytest.mark.parametrize(("axes", "rows"), GRIDS, ids=str)
def test_grids_of_some_shapes(axes: tuple[int, ...], rows: int) -> None:
    found = Grid.of(context(*axes), rows)
    tiles = found.segment, found.segments, found.tile_lines, found.part_lines, found.line_parts
    assert (found.order, found.inner, *tiles) == GRIDS[axes, rows]
    assert tuple(axes[axis] for axis in found.order) == found.outer + found.inner
    assert found.num_inner == len(found.inner)
    assert (found.length, found.lines) == (math.prod(found.inner), math.prod(found.outer))
    assert found.parts == found.segments * found.line_parts
    assert found.padded == found.segments * found.segment
    assert found.numbers(7, rows) == (
        *(7, rows, found.length, found.segment, found.segments, found.lines),
        *(found.part_lines, found.line_parts, found.tile_lines),
    )


def test_a_tile_holds_all_planes_of_its_lines() -> None:
    """Channels, two more, and the features where they are channels."""
    tiles = [Grid.of(context(200, 200, channels=channels), 1).tile_lines for channels in (1, 3, 14)]
    assert tiles == [25_600 // (planes * 208) for planes in (3, 5, 16)]
    lengths = [Grid.of(context(60_000, channels=1, features=features), 1).segment for features in (5, 21, 23, 24)]
    assert lengths == [3200, 1072, 1024, 7504]


def test_axes_that_do_not_follow_one_another_in_memory_are_not_taken_together() -> None:
    image = context(30, 20)
    assert Grid.of(image, 4).inner == (30, 20)
    channels_first = replace(image, data=image.data.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1))
    assert Grid.of(channels_first, 4).inner == (30, 20)
    turned = image.data.transpose(1, 2).contiguous().transpose(1, 2)
    assert Grid.of(replace(image, data=turned), 4).inner == (30,)
    mask = torch.ones(1, 30, 20, dtype=torch.bool)
    assert Grid.of(replace(image, mask=mask), 4).inner == (30, 20)
    assert Grid.of(replace(image, mask=mask.mT.contiguous().mT), 4).inner == (30,)


def test_features_of_a_single_axis_are_channels_where_they_are_few() -> None:
    most = MAX_CHANNELS_OF_ONE_AXIS - 3
    assert MAX_CHANNELS_OF_ONE_AXIS == 24
    assert features_as_channels(context(50, features=most))
    assert not features_as_channels(context(50, features=most + 1))
    assert not features_as_channels(context(50, 2))
    assert features_as_channels(Context(torch.zeros(1, 50, 24)))
    assert not features_as_channels(Context(torch.zeros(1, 50, 25)))
