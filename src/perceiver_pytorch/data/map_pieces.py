"""Inputs in pieces: what maps hide at a time."""

import math
from collections.abc import Sequence

from perceiver_pytorch._lazy import numpy as np


def blocks(axes: Sequence[int], most: int, whole: Sequence[bool] = ()) -> "np.ndarray":
    """int64 ``(*axes)``: the number of the block that each token lies in, of ``most`` blocks about equally long.

    Args:
        axes: lengths.
        most: blocks, at most, unless axes that stay whole tokens have more.
        whole: axes of which every token is a block of its own; none where it is empty.
    """
    steps = [1] * len(axes)
    free = [axis for axis, length in enumerate(axes) if length > 1 and not (whole and whole[axis])]

    def counts() -> list[int]:
        return [-(-length // step) for length, step in zip(axes, steps, strict=True)]

    while math.prod(counts()) > most and (axis := max(free, key=lambda axis: counts()[axis], default=None)) is not None:
        if counts()[axis] == 1:
            break
        steps[axis] += 1
    numbers = np.zeros(tuple(axes), dtype=np.int64)
    for axis, (length, step, count) in enumerate(zip(axes, steps, counts(), strict=True)):
        shape = [1] * len(axes)
        shape[axis] = length
        numbers = numbers * count + (np.arange(length) // step).reshape(shape)
    return numbers


def cells(places: "np.ndarray", most: int) -> "np.ndarray":
    """int64 ``(points,)``: the cell of a regular grid that each point ``(points, dims)`` within -1 and 1 lies in."""
    side = max(1, int(most ** (1 / places.shape[1])))
    inside = np.clip(((places + 1) / 2 * side).astype(np.int64), 0, side - 1)
    return inside @ (side ** np.arange(places.shape[1]))
