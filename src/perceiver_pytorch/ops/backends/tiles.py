"""Tiles: what the compiled backend's rows run over, before they do (`prepare`) and after (`finish_tokens`).

The tokens of a sample form a grid: *lines* (all positions on the outer axes) by positions along the inner axis, of
which a *tile* takes a few lines and one segment. `prepare` turns its raw channels into planes of float32, one per
channel, times each token's inverse deviation r: ``[r x[0], …, r x[C-1], r, valid]``. Where a token is masked, or beyond
the end of a line, all of these are zero, so that it counts for nothing.

A context of a single line has no use for sums by position, of which there are as many as tokens: there the features of
its axis are channels too, behind the raw ones (``near`` in `Statistics`).
"""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

from typing import NamedTuple

import numpy as np

from perceiver_pytorch.ops.backends.loops import function as _function
from perceiver_pytorch.ops.backends.simd import (
    WIDTH,
    add,
    affine_each,
    divide,
    dot,
    fma,
    gather_each,
    keep_each,
    load,
    load_each,
    multiply,
    multiply_each,
    prefetch,
    splat,
    square_root,
    store,
    store_each,
    subtract,
    subtract_each,
    sum_each,
    to_float,
    total,
)


class Grid(NamedTuple):
    """See `perceiver_pytorch.ops.backends.grid.Grid`."""

    batch: int
    num_rows: int
    length: int
    segment: int
    segments: int
    lines: int
    part_lines: int
    line_parts: int
    tile_lines: int


class Data(NamedTuple):
    """Raw channels and where they are.

    ``strides``: (8,) of data, mask and the data's gradient by sample, inner axis (and channel). ``axes``: per outer
    axis (6,) length, strides of data and mask, where its coordinates begin among those of all outer axes, number of
    features, stride of the gradient. ``affine``: (2, C) factors and shifts. ``size``: channels of a token in all.
    """

    values: np.ndarray
    mask: np.ndarray
    strides: np.ndarray
    axes: np.ndarray
    affine: np.ndarray
    size: int
    eps: float


class Statistics(NamedTuple):
    """Means and sums of squares about them.

    ``inner``: (1 or batch, 2, padded) of the inner axis' features, ``features`` in number. ``near``: (1 or batch,
    features, padded) these themselves, where they are channels, else none. ``outer``: (1 or batch, 2, ΣL_a) of each
    outer axis'. ``code``: number, mean and squares of code and padding.
    """

    inner: np.ndarray
    features: int
    near: np.ndarray
    outer: np.ndarray
    code: np.ndarray


class Tile(NamedTuple):
    """A few lines of one sample, from ``first`` on ``count`` tokens each; planes have room for ``stride``."""

    sample: int
    first_line: int
    lines: int
    first: int
    count: int
    width: int
    stride: int


class Scratch(NamedTuple):
    """A thread's memory for a tile.

    ``planes``; ``grads``: of the channels, and the part along the token, laid out like them; ``means``: of its tokens.
    These two are empty where no token has a gradient. ``positions``: (lines, outer axes) of its lines.
    """

    planes: np.ndarray
    grads: np.ndarray
    means: np.ndarray
    positions: np.ndarray


def room(tokens, lines, axes, channels, with_grads):
    """Float32 numbers of memory that `Scratch` takes for a tile; two of them are a position."""
    return tokens * (channels + 2 + (channels + 2 if with_grads else 0)) + 2 * lines * axes


@_function
def scratch_in(memory, grid, axes, channels, with_grads):
    tokens = grid.tile_lines * grid.segment
    grads = tokens * (len(channels) + 2)
    means = grads + (tokens * (len(channels) + 1) if with_grads else 0)
    end = means + (tokens if with_grads else 0)
    positions = memory[end : end + 2 * grid.tile_lines * axes.shape[0]].view(np.int64)
    return Scratch(
        memory[:grads], memory[grads:means], memory[means:end], positions.reshape(grid.tile_lines, axes.shape[0])
    )


@_function
def part_of(number, grid):
    """Sample, part within it, part of the lines, and the range of lines and the segment that the part covers."""
    sample, part = number // (grid.segments * grid.line_parts), number % (grid.segments * grid.line_parts)
    segment, line_part = part // grid.line_parts, part % grid.line_parts
    begin = line_part * grid.part_lines
    return sample, part, line_part, begin, min(grid.lines, begin + grid.part_lines), segment


@_function
def tile_of(sample, line, end, segment, grid):
    first = segment * grid.segment
    count = min(grid.segment, grid.length - first)
    width = (count + WIDTH - 1) // WIDTH * WIDTH
    return Tile(sample, line, min(grid.tile_lines, end - line), first, count, width, grid.segment)


@_function
def _locate(line, axes, positions):
    """Where a line stands on each outer axis, counted through the coordinates of all outer axes."""
    for axis in range(axes.shape[0] - 1, -1, -1):
        positions[axis] = axes[axis, 3] + line % axes[axis, 0]
        line //= axes[axis, 0]


@_function
def _common(positions, axes, statistics, code):
    """Number, mean and squares about the mean of what all tokens of a line have in common."""
    number, summed = code[0], code[0] * code[1]
    for axis in range(positions.shape[0]):
        number += axes[axis, 4]
        summed += axes[axis, 4] * statistics[0, positions[axis]]
    mean = summed / number if number > 0 else 0.0
    squares = code[2] + code[0] * (code[1] - mean) ** 2
    for axis in range(positions.shape[0]):
        about = statistics[0, positions[axis]] - mean
        squares += statistics[1, positions[axis]] + axes[axis, 4] * about * about
    return np.float32(number), np.float32(mean), np.float32(squares)


@_function
def _unpack(data, start, begin, tile, planes, base, channels):
    """Copies raw channels of the tokens from ``begin`` on into planes, and zeros behind them."""
    for c in range(len(channels)):
        plane = base + c * tile.stride
        for j in range(begin, tile.count):
            planes[plane + j] = to_float(data.values[start + j * data.strides[1] + c * data.strides[2]])
        planes[plane + tile.count : plane + tile.width] = 0.0


@_function
def _find_tokens(mask, start, step, tile, planes, plane):
    """Fills the plane that tells where there is a token."""
    planes[plane : plane + tile.count] = 1.0
    planes[plane + tile.count : plane + tile.width] = 0.0
    if mask.shape[0] > 0:
        for j in range(tile.count):
            planes[plane + j] = mask[start + j * step]


@_function
def _normalise(data, start, whole, ahead, tile, base, statistics, common, raw, channels, scratch):
    """Fills the planes of a line, the first ``whole`` tokens from contiguous raw data, the others from the planes.

    Squares are summed about the token's mean, part by part: nothing cancels for data far from zero.
    """
    C = len(channels)
    planes, stride = scratch.planes, tile.stride
    number, mean, squares = common
    shared = min(tile.sample, statistics.inner.shape[0] - 1)
    inner, near = statistics.inner[shared], statistics.near[shared]
    one, inverse, epsilon = splat(np.float32(1.0)), splat(np.float32(1.0 / data.size)), splat(np.float32(data.eps))
    outer_number, outer_mean, outer_squares = splat(number), splat(mean), splat(squares)
    inner_number, outer_sum = splat(np.float32(statistics.features)), splat(number * mean)
    for i in range(0, tile.width, WIDTH):
        valid = load(planes, base + (C + 1) * stride + i)
        if i < whole:
            values = gather_each(data.values, start + i * len(raw), raw)
            prefetch(data.values, start + i * len(raw) + ahead, raw)
        else:
            values = load_each(planes, base + i, stride, raw)
        values = keep_each(valid, affine_each(values, data.affine[0], data.affine[1]))
        inner_mean = load(inner[0], tile.first + i)
        token_mean = multiply(add(sum_each(values), fma(inner_number, inner_mean, outer_sum)), inverse)
        if data.size == len(raw):
            # Nothing but data: centred here, or a mean far above the spread would cancel in the scores.
            values, token_mean = subtract_each(values, token_mean), splat(np.float32(0.0))
        about_inner, about_outer = subtract(inner_mean, token_mean), subtract(outer_mean, token_mean)
        sum_squares = add(load(inner[1], tile.first + i), outer_squares)
        sum_squares = fma(multiply(inner_number, about_inner), about_inner, sum_squares)
        sum_squares = fma(multiply(outer_number, about_outer), about_outer, sum_squares)
        about = subtract_each(values, token_mean)
        sum_squares = dot(about, about, sum_squares)
        # Where there is no token, a 1 keeps the root from zero.
        variance = add(fma(sum_squares, inverse, epsilon), subtract(one, valid))
        deviation = divide(valid, square_root(variance))
        store_each(planes, base + i, stride, multiply_each(values, deviation))
        for p in range(C - len(raw)):
            feature = load(near[p], tile.first + i)
            store(planes, base + (len(raw) + p) * stride + i, multiply(feature, deviation))
        store(planes, base + C * stride + i, deviation)
        if scratch.means.shape[0] > 0:
            store(scratch.means, base // (C + 2) + i, token_mean)


@_function
def prepare(tile, data, statistics, raw, channels, scratch):
    """Fills the planes of a tile."""
    C, strides, axes = len(channels), data.strides, data.axes
    whole = tile.count // WIDTH * WIDTH if strides[1] == len(raw) and strides[2] == 1 else 0
    ahead = (
        tile.lines * tile.count * len(raw)
    )  # where, mostly, the next tile is: to be fetched while rows run over this one
    shared = min(tile.sample, statistics.outer.shape[0] - 1)
    for line in range(tile.lines):
        base = line * (C + 2) * tile.stride
        positions = scratch.positions[line]
        _locate(tile.first_line + line, axes, positions)
        start = tile.sample * strides[0] + tile.first * strides[1]
        mask_start = tile.sample * strides[3] + tile.first * strides[4]
        for axis in range(axes.shape[0]):
            index = positions[axis] - axes[axis, 3]
            start += index * axes[axis, 1]
            mask_start += index * axes[axis, 2]
        _find_tokens(data.mask, mask_start, strides[4], tile, scratch.planes, base + (C + 1) * tile.stride)
        _unpack(data, start, whole, tile, scratch.planes, base, raw)
        common = _common(positions, axes, statistics.outer[shared], statistics.code)
        _normalise(data, start, whole, ahead, tile, base, statistics, common, raw, channels, scratch)


@_function
def finish_tokens(tile, scratch, channels, size, inner_along, outer_along):
    """LayerNorm's backward: removes from each token's gradient its part along the token, times r."""
    C, planes, stride = len(channels), scratch.planes, tile.stride
    inverse = splat(np.float32(1.0 / size))
    for line in range(tile.lines):
        base, grad_base = line * (C + 2) * stride, line * (C + 1) * stride
        line_along, line_along_mean = splat(np.float32(0.0)), splat(np.float32(0.0))
        for i in range(0, tile.width, WIDTH):
            deviation, mean = load(planes, base + C * stride + i), load(scratch.means, line * stride + i)
            along = multiply(load(scratch.grads, grad_base + C * stride + i), inverse)
            scaled_mean = multiply(mean, deviation)
            for c in range(C):
                token = subtract(load(planes, base + c * stride + i), scaled_mean)
                grad = subtract(load(scratch.grads, grad_base + c * stride + i), multiply(token, along))
                store(scratch.grads, grad_base + c * stride + i, multiply(grad, deviation))
            along = multiply(multiply(along, deviation), deviation)
            along_mean = multiply(along, mean)
            line_along, line_along_mean = add(line_along, along), add(line_along_mean, along_mean)
            store(inner_along[0], tile.first + i, add(load(inner_along[0], tile.first + i), along))
            store(inner_along[1], tile.first + i, add(load(inner_along[1], tile.first + i), along_mean))
        along_total, along_mean_total = total(line_along), total(line_along_mean)
        for axis in range(scratch.positions.shape[1]):
            outer_along[0, scratch.positions[line, axis]] += along_total
            outer_along[1, scratch.positions[line, axis]] += along_mean_total


@_function
def write_data_grads(tile, scratch, raw, channels, data, grad_data):
    strides, axes, C = data.strides, data.axes, len(channels)
    for line in range(tile.lines):
        start = tile.sample * strides[5] + tile.first * strides[6]
        for axis in range(axes.shape[0]):
            start += (scratch.positions[line, axis] - axes[axis, 3]) * axes[axis, 5]
        for j in range(tile.count):
            for c in range(len(raw)):
                grad = scratch.grads[(line * (C + 1) + c) * tile.stride + j] * data.affine[0, c]
                grad_data[start + j * strides[6] + c * strides[7]] = grad
