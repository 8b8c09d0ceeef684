"""The loops of the compiled backend, in Numba: `find_peaks`, `forward` and `backward`.

The tokens of a sample form a grid: *lines* (all positions on the outer axes) by positions along the inner axis, of
which a *tile* takes a few lines and one segment. `prepare` turns a tile's raw channels into planes of float32, one per
channel, times each token's inverse deviation r; then every row runs over the tile once. With

    score = Σ_c row[c] · (r x[c])  +  r · (inner[position] + outer[line])                (in units of log 2)

a (row, token) pair costs two operations per channel, one exponential and some ten more. A tile's planes are ``[r x[0],
…, r x[C-1], r, valid]``; where a token is masked, or beyond the end of a line, all of these are zero, so that it counts
for nothing.

A *part* is a segment and a range of lines of one sample. It has sums of its own, which are added up afterwards in a
fixed order: the result does not depend on how many threads there are, or which is the fastest.

A context of a single line has no use for sums by position, of which there are as many as tokens: there the features of
its axis are channels too, behind the raw ones (``near`` in `Statistics`).

What is known when a function is compiled comes as the length of a tuple: `raw` has one entry per raw channel and
`channels` one per channel, features included; `clamped`, `by_position`, `masked` and `to_tokens` have one or none.
Arrays are those of `compiled.py`.

Rows go through a line in blocks of vectors, and through its end vector by vector. A row reads which places have a token
there alone, or where a mask is given.
"""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

from typing import NamedTuple

import numpy as np

from perceiver_pytorch.ops.backends.loops import uncounted_function as _function
from perceiver_pytorch.ops.backends.loops import uncounted_loop as _loop
from perceiver_pytorch.ops.backends.simd import (
    BLOCK,
    WIDTH,
    accumulate,
    accumulate_products,
    add,
    add_totals,
    affine_each,
    at_least,
    at_most,
    divide,
    dot,
    exp2,
    fma,
    fma_each,
    gather_each,
    keep_each,
    largest,
    load,
    load_each,
    load_each_like,
    load_like,
    multiply,
    multiply_each,
    prefetch,
    read_again,
    splat,
    splat_each,
    square_root,
    store,
    store_each,
    subtract,
    subtract_each,
    sum_each,
    take,
    to_float,
    total,
    zero_each,
    zeros,
)

# Exponents of two that a score is brought to where float32 ends. A score with its row's peak or log-sum-exp subtracted
# is above zero only where there is no token.
LOWEST, HIGHEST = np.float32(-126.0), np.float32(64.0)
FAR = np.float32(1e30)
LN_2 = np.float32(0.6931471805599453)

SUMMED = 1024
"""Tokens after which sums in float32 are added to those in float64."""


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
def _scratch(memory, grid, axes, channels, with_grads):
    tokens = grid.tile_lines * grid.segment
    grads = tokens * (len(channels) + 2)
    means = grads + (tokens * (len(channels) + 1) if with_grads else 0)
    end = means + (tokens if with_grads else 0)
    positions = memory[end : end + 2 * grid.tile_lines * axes.shape[0]].view(np.int64)
    return Scratch(
        memory[:grads], memory[grads:means], memory[means:end], positions.reshape(grid.tile_lines, axes.shape[0])
    )


@_function
def _part(number, grid):
    """Sample, part within it, part of the lines, and the range of lines and the segment that the part covers."""
    sample, part = number // (grid.segments * grid.line_parts), number % (grid.segments * grid.line_parts)
    segment, line_part = part // grid.line_parts, part % grid.line_parts
    begin = line_part * grid.part_lines
    return sample, part, line_part, begin, min(grid.lines, begin + grid.part_lines), segment


@_function
def _tile(sample, line, end, segment, grid):
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
def _prepare(tile, data, statistics, raw, channels, scratch):
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
def _line_constant(outer, positions):
    value = np.float32(0.0)
    for axis in range(positions.shape[0]):
        value += outer[positions[axis]]
    return value


@_function
def _row_peak(tile, scratch, channels, by_position, row, inner, outer):
    """A row's largest score in a tile; far below any score without any token."""
    C, planes, stride = len(channels), scratch.planes, tile.stride
    far, coefficients = splat(FAR), splat_each(row, channels)
    peak = splat(-FAR)
    for line in range(tile.lines):
        base = line * (C + 2) * stride
        constant = splat(_line_constant(outer, scratch.positions[line]))
        for i in range(0, tile.width, WIDTH):
            deviation = load(planes, base + C * stride + i)
            valid = load(planes, base + (C + 1) * stride + i)
            position = constant
            if len(by_position) > 0:
                position = add(load(inner, tile.first + i), constant)
            score = dot(coefficients, load_each(planes, base + i, stride, channels), multiply(deviation, position))
            peak = at_least(peak, add(score, subtract(multiply(valid, far), far)))
    return largest(peak)


@_function
def _product(tile, scratch, channels, by_position, like, base, i, coefficients, constant, start, inner):
    """``start`` plus a row times the normalised tokens from ``base + i`` on."""
    deviation = load_like(scratch.planes, base + len(channels) * tile.stride + i, like)
    if len(by_position) > 0:
        result = fma(deviation, add(load_like(inner, tile.first + i, like), constant), start)
    else:
        result = fma(deviation, constant, start)
    return dot(coefficients, load_each_like(scratch.planes, base + i, tile.stride, channels, like), result)


@_function
def _clamp(score, clamped):
    return at_most(at_least(score, splat(LOWEST)), splat(HIGHEST)) if len(clamped) > 0 else score


@_function
def _add_along(by_position, sums, index, values, like):
    """Adds to sums by position."""
    if len(by_position) > 0:
        store(sums, index, add(load_like(sums, index, like), values))


@_function
def _forward_at(
    tile, scratch, channels, clamped, by_position, masked, like, base, i, coefficients, constant, down, inner,
    inner_sums, sums,
):  # fmt: skip
    """Adds to a row's sums what it collects from the tokens from ``base + i`` on, as many as ``like`` has."""
    C, planes, stride = len(channels), scratch.planes, tile.stride
    weight_sum, line_sum, summed = sums
    score = _product(tile, scratch, channels, by_position, like, base, i, coefficients, constant, down, inner)
    weight = exp2(_clamp(score, clamped))
    again = read_again(base + i, channels)
    if len(masked) > 0:
        weight_sum = accumulate(weight_sum, multiply(weight, load_like(planes, again + (C + 1) * stride, like)))
    else:
        weight_sum = accumulate(weight_sum, weight)
    summed = accumulate_products(summed, weight, load_each_like(planes, again, stride, channels, like))
    scaled = multiply(weight, load_like(planes, again + C * stride, like))
    _add_along(by_position, inner_sums, tile.first + i, scaled, like)
    return weight_sum, accumulate(line_sum, scaled), summed


@_function
def _row_forward(
    tile, scratch, channels, clamped, by_position, masked, row, inner, outer, shift, sums, inner_sums, outer_sums
):
    """Adds up what one row collects from a tile."""
    C, zero = len(channels), splat(np.float32(0.0))
    coefficients, summed = splat_each(row, channels), zero_each(channels)
    weight_sum, down, since = zero, splat(-shift), 0
    in_blocks = tile.count // (BLOCK * WIDTH) * (BLOCK * WIDTH)
    for line in range(tile.lines):
        base = line * (C + 2) * tile.stride
        constant = splat(_line_constant(outer, scratch.positions[line]))
        found = weight_sum, zero, summed
        for i in range(0, in_blocks, BLOCK * WIDTH):
            found = _forward_at(
                tile, scratch, channels, clamped, by_position, masked, zeros(), base, i, coefficients, constant, down,
                inner, inner_sums, found,
            )  # fmt: skip
        for i in range(in_blocks, tile.width, WIDTH):  # the end of a line has places without a token
            found = _forward_at(
                tile, scratch, channels, clamped, by_position, (0,), zero, base, i, coefficients, constant, down, inner,
                inner_sums, found,
            )  # fmt: skip
        weight_sum, line_sum, summed = found
        line_total = total(line_sum)
        for axis in range(scratch.positions.shape[1]):
            outer_sums[scratch.positions[line, axis]] += line_total
        since += tile.width
        if since >= SUMMED or line + 1 == tile.lines:
            add_totals(sums, summed)
            sums[C] += total(weight_sum)
            summed, weight_sum, since = zero_each(channels), zero, 0


@_function
def _backward_at(
    tile, scratch, channels, clamped, by_position, to_tokens, like, line, i, coefficients, grad_coefficients, constants,
    offsets, inner, grad_inner, inner_sums, inner_attention, sums,
):  # fmt: skip
    """Adds to a row's sums what the scores' gradients of some tokens of a line give, and to the tokens' gradients."""
    C, planes, stride = len(channels), scratch.planes, tile.stride
    base, grad_base = line * (C + 2) * stride, line * (C + 1) * stride
    constant, grad_constant = constants
    down, grad_down, normaliser, up, grad_up = offsets
    line_sum, line_attention, summed = sums
    score = _product(tile, scratch, channels, by_position, like, base, i, coefficients, constant, down, inner)
    attention = exp2(_clamp(score, clamped))
    if len(clamped) > 0:
        attention = multiply(attention, normaliser)
    again = read_again(base + i, channels) - i
    change = _product(
        tile, scratch, channels, by_position, like, again, i, grad_coefficients, grad_constant, grad_down, grad_inner
    )
    score_grad = multiply(attention, change)
    again = read_again(base + i, channels)
    summed = accumulate_products(summed, score_grad, load_each_like(planes, again, stride, channels, like))
    deviation = load_like(planes, again + C * stride, like)
    scaled = multiply(score_grad, deviation)
    line_sum = accumulate(line_sum, scaled)
    _add_along(by_position, inner_sums, tile.first + i, scaled, like)
    if len(to_tokens) > 0:
        valid = load_like(planes, again + (C + 1) * stride, like)
        attention, score_grad = multiply(attention, valid), multiply(multiply(score_grad, valid), splat(LN_2))
        scaled = multiply(attention, deviation)
        line_attention = accumulate(line_attention, scaled)
        store(inner_attention, tile.first + i, add(load_like(inner_attention, tile.first + i, like), scaled))
        # The gradient of the normalised token, and how far it points along the token.
        grads = load_each_like(scratch.grads, grad_base + i, stride, channels, like)
        grads = fma_each(attention, grad_coefficients, fma_each(score_grad, coefficients, grads))
        store_each(scratch.grads, grad_base + i, stride, grads)
        along = load_like(scratch.grads, grad_base + C * stride + i, like)
        along = fma(attention, add(change, grad_up), fma(add(score, up), score_grad, along))
        store(scratch.grads, grad_base + C * stride + i, along)
    return line_sum, line_attention, summed


@_function
def _row_backward(
    tile, scratch, channels, clamped, by_position, to_tokens, row, inner, outer, lse, scale, grad_row, grad_inner,
    grad_outer, offset, sums, inner_sums, outer_sums, inner_attention, outer_attention,
):  # fmt: skip
    """The same of the scores' gradients, and what the row adds to the gradients of the tokens."""
    zero = splat(np.float32(0.0))
    coefficients, grad_coefficients = splat_each(row, channels), splat_each(grad_row, channels)
    summed, since = zero_each(channels), 0
    offsets = splat(-lse), splat(-offset), splat(scale), splat(lse), splat(offset)
    in_blocks = tile.width // (BLOCK * WIDTH) * (BLOCK * WIDTH)
    for line in range(tile.lines):
        positions = scratch.positions[line]
        constants = splat(_line_constant(outer, positions)), splat(_line_constant(grad_outer, positions))
        found = zero, zero, summed
        for i in range(0, in_blocks, BLOCK * WIDTH):
            found = _backward_at(
                tile, scratch, channels, clamped, by_position, to_tokens, zeros(), line, i, coefficients,
                grad_coefficients, constants, offsets, inner, grad_inner, inner_sums, inner_attention, found,
            )  # fmt: skip
        for i in range(in_blocks, tile.width, WIDTH):
            found = _backward_at(
                tile, scratch, channels, clamped, by_position, to_tokens, zero, line, i, coefficients,
                grad_coefficients, constants, offsets, inner, grad_inner, inner_sums, inner_attention, found,
            )  # fmt: skip
        line_sum, line_attention, summed = found
        line_total, attention_total = total(line_sum), total(line_attention)
        for axis in range(positions.shape[0]):
            outer_sums[positions[axis]] += line_total
            if len(to_tokens) > 0:
                outer_attention[positions[axis]] += attention_total
        since += tile.width
        if since >= SUMMED or line + 1 == tile.lines:
            add_totals(sums, summed)
            summed, since = zero_each(channels), 0


@_function
def _finish_tokens(tile, scratch, channels, size, inner_along, outer_along):
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
def _write_data_grads(tile, scratch, raw, channels, data, grad_data):
    strides, axes, C = data.strides, data.axes, len(channels)
    for line in range(tile.lines):
        start = tile.sample * strides[5] + tile.first * strides[6]
        for axis in range(axes.shape[0]):
            start += (scratch.positions[line, axis] - axes[axis, 3]) * axes[axis, 5]
        for j in range(tile.count):
            for c in range(len(raw)):
                grad = scratch.grads[(line * (C + 1) + c) * tile.stride + j] * data.affine[0, c]
                grad_data[start + j * strides[6] + c * strides[7]] = grad


@_loop
def find_peaks(counter, memory, grid, data, statistics, raw, channels, by_position, clamped, rows, inner, outer, peaks):
    """Each row's largest score in every part, (batch, parts, R)."""
    grid, data, statistics = Grid(*grid), Data(*data), Statistics(*statistics)
    scratch = _scratch(memory, grid, data.axes, channels, False)
    while True:
        number = take(counter)
        if number >= grid.batch * grid.segments * grid.line_parts:
            return
        sample, part, _, begin, end, segment = _part(number, grid)
        for line in range(begin, end, grid.tile_lines):
            tile = _tile(sample, line, end, segment, grid)
            _prepare(tile, data, statistics, raw, channels, scratch)
            for n in range(grid.num_rows):
                peak = _row_peak(
                    tile, scratch, channels, by_position, rows[sample, n], inner[sample, n], outer[sample, n]
                )
                peaks[sample, part, n] = max(peaks[sample, part, n], peak)


@_loop
def forward(
    counter, memory, grid, data, statistics, raw, channels, by_position, clamped, rows, inner, outer, shifts, masked,
    sums, inner_sums, outer_sums,
):  # fmt: skip
    """Adds ``2^(score - shift)`` times raw channels, 1 and r to the sums."""
    grid, data, statistics = Grid(*grid), Data(*data), Statistics(*statistics)
    scratch = _scratch(memory, grid, data.axes, channels, False)
    while True:
        number = take(counter)
        if number >= grid.batch * grid.segments * grid.line_parts:
            return
        sample, part, line_part, begin, end, segment = _part(number, grid)
        for line in range(begin, end, grid.tile_lines):
            tile = _tile(sample, line, end, segment, grid)
            _prepare(tile, data, statistics, raw, channels, scratch)
            for n in range(grid.num_rows):
                _row_forward(
                    tile, scratch, channels, clamped, by_position, masked, rows[sample, n], inner[sample, n],
                    outer[sample, n], shifts[sample, n], sums[sample, part, n], inner_sums[sample, line_part, n],
                    outer_sums[sample, part, n],
                )  # fmt: skip


@_loop
def backward(
    counter, memory, grid, data, statistics, raw, channels, by_position, clamped, rows, inner, outer, lse, scales,
    grad_rows, grad_inner, grad_outer, offsets, to_tokens, sums, inner_sums, outer_sums, inner_attention,
    outer_attention, inner_along, outer_along, grad_data,
):  # fmt: skip
    """Adds the scores' gradients times raw channels and r to the sums.

    With ``to_tokens`` also the attention weights times r, and ``r² along`` by itself and times the token's mean; and
    writes the data's gradient, where it has room.
    """
    grid, data, statistics = Grid(*grid), Data(*data), Statistics(*statistics)
    scratch = _scratch(memory, grid, data.axes, channels, len(to_tokens) > 0)
    while True:
        number = take(counter)
        if number >= grid.batch * grid.segments * grid.line_parts:
            return
        sample, part, line_part, begin, end, segment = _part(number, grid)
        for line in range(begin, end, grid.tile_lines):
            tile = _tile(sample, line, end, segment, grid)
            _prepare(tile, data, statistics, raw, channels, scratch)
            scratch.grads[:] = 0.0
            for n in range(grid.num_rows):
                _row_backward(
                    tile, scratch, channels, clamped, by_position, to_tokens, rows[sample, n], inner[sample, n],
                    outer[sample, n], lse[sample, n], scales[sample, n], grad_rows[sample, n], grad_inner[sample, n],
                    grad_outer[sample, n], offsets[sample, n], sums[sample, part, n], inner_sums[sample, line_part, n],
                    outer_sums[sample, part, n], inner_attention[sample, line_part, n],
                    outer_attention[sample, part, n],
                )  # fmt: skip
            if len(to_tokens) > 0:
                _finish_tokens(
                    tile, scratch, channels, data.size, inner_along[sample, line_part], outer_along[sample, part],
                )  # fmt: skip
                if grad_data.shape[0] > 0:
                    _write_data_grads(tile, scratch, raw, channels, data, grad_data)
