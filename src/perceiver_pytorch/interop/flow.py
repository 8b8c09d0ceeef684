"""Flow of images of any size: patches of both frames, tiles of the model's size, averaged where they overlap."""

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE = 20
"""What the model's output is multiplied by to be pixels, as in the published use."""
OVERLAP = 20
"""Pixels that neighbouring tiles share at least."""


def frame_patches(frame: Tensor) -> Tensor:
    """Patches ``(27, height, width)`` of 3 x 3 pixels about every pixel, row by row with channels last.

    Args:
        frame: ``(height, width, 3)`` uint8. Pixels become [-1, 1]; outside they are 0.
    """
    pixels = F.pad(frame.permute(2, 0, 1).float() * (2 / 255) - 1, (1, 1, 1, 1))
    windows = pixels.unfold(1, 3, 1).unfold(2, 3, 1)  # (3, height, width, 3, 3)
    return windows.permute(3, 4, 0, 1, 2).flatten(0, 2)


def tile_starts(length: int, tile: int) -> list[int]:
    """Where tiles begin that cover an axis: `OVERLAP` apart from one another's ends, the last one at the end."""
    if length < tile:
        raise ValueError(f"frames must be at least as large as the model's tile: {tile}, got {length}")
    step = max(1, tile - OVERLAP)
    return [*range(0, length - tile, step), length - tile]


def tile_weights(height: int, width: int) -> Tensor:
    """Weights ``(height, width)`` of a tile's pixels: the distance from its border, 1 in the middle."""
    rows, columns = (torch.minimum(torch.arange(1, n + 1), torch.arange(n, 0, -1)) for n in (height, width))
    weights = torch.minimum(rows[:, None], columns[None]).float()
    return weights / weights.max()


def flow_of(first: Tensor, second: Tensor, tile: tuple[int, int], model: Callable[[Tensor], Tensor]) -> Tensor:
    """Flow ``(height, width, 2)`` in pixels, horizontal and vertical, from the first frame to the second.

    Args:
        first, second: ``(height, width, 3)`` uint8.
        tile: height and width that the model takes.
        model: patches ``(1, 2, 27, *tile)`` to flow ``(1, *tile, 2)``.
    """
    if first.shape != second.shape:
        raise ValueError(f"both frames must have one size, got {tuple(first.shape)} and {tuple(second.shape)}")
    patches = torch.stack([frame_patches(first), frame_patches(second)])
    height, width = first.shape[:2]
    weights = tile_weights(*tile).unsqueeze(-1)
    total, weight = torch.zeros(height, width, 2), torch.zeros(height, width, 1)
    for top, left in product(tile_starts(height, tile[0]), tile_starts(width, tile[1])):
        place = slice(top, top + tile[0]), slice(left, left + tile[1])
        total[place] += model(patches[None, ..., place[0], place[1]])[0] * weights
        weight[place] += weights
    return SCALE * total / weight
