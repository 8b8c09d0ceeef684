"""The loops of the compiled backend, in Numba: `find_peaks`, `forward` and `backward`.

Every row runs once over each tile that `tiles.prepare` has filled. With the planes of raw channels times r, and of r,

    score = Σ_c row[c] · (r x[c])  +  r · (inner[position] + outer[line])                (in units of log 2)

a (row, token) pair costs two operations per channel, one exponential and some ten more.

A *part* is a segment and a range of lines of one sample. It has sums of its own, which are added up afterwards in a
fixed order: the result does not depend on how many threads there are, or which is the fastest.

What is known when a function is compiled comes as the length of a tuple: `raw` has one entry per raw channel and
`channels` one per channel, features included; `clamped`, `by_position`, `masked` and `to_tokens` have one or none.
Arrays are those of `compiled.py`.

Rows go through a line in blocks of vectors, and through its end vector by vector. A row reads which places have a token
there alone, or where a mask is given.
"""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

import numpy as np

from perceiver_pytorch.ops.backends.loops import function as _function
from perceiver_pytorch.ops.backends.loops import loop as _loop
from perceiver_pytorch.ops.backends.simd import (
    BLOCK,
    WIDTH,
    accumulate,
    accumulate_products,
    add,
    add_totals,
    at_least,
    at_most,
    dot,
    exp2,
    fma,
    fma_each,
    largest,
    load,
    load_each,
    load_each_like,
    load_like,
    multiply,
    read_again,
    splat,
    splat_each,
    store,
    store_each,
    subtract,
    take,
    total,
    zero_each,
    zeros,
)
from perceiver_pytorch.ops.backends.tiles import (
    Data,
    Grid,
    Statistics,
    finish_tokens,
    part_of,
    prepare,
    scratch_in,
    tile_of,
    write_data_grads,
)

# Exponents of two that a score is brought to where float32 ends. A score with its row's peak or log-sum-exp subtracted
# is above zero only where there is no token.
LOWEST, HIGHEST = np.float32(-126.0), np.float32(64.0)
FAR = np.float32(1e30)
LN_2 = np.float32(0.6931471805599453)

SUMMED = 1024
"""Tokens after which sums in float32 are added to those in float64."""


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


@_loop
def find_peaks(counter, memory, grid, data, statistics, raw, channels, by_position, clamped, rows, inner, outer, peaks):
    """Each row's largest score in every part, (batch, parts, R)."""
    grid, data, statistics = Grid(*grid), Data(*data), Statistics(*statistics)
    scratch = scratch_in(memory, grid, data.axes, channels, False)
    while True:
        number = take(counter)
        if number >= grid.batch * grid.segments * grid.line_parts:
            return
        sample, part, _, begin, end, segment = part_of(number, grid)
        for line in range(begin, end, grid.tile_lines):
            tile = tile_of(sample, line, end, segment, grid)
            prepare(tile, data, statistics, raw, channels, scratch)
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
    scratch = scratch_in(memory, grid, data.axes, channels, False)
    while True:
        number = take(counter)
        if number >= grid.batch * grid.segments * grid.line_parts:
            return
        sample, part, line_part, begin, end, segment = part_of(number, grid)
        for line in range(begin, end, grid.tile_lines):
            tile = tile_of(sample, line, end, segment, grid)
            prepare(tile, data, statistics, raw, channels, scratch)
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
    scratch = scratch_in(memory, grid, data.axes, channels, len(to_tokens) > 0)
    while True:
        number = take(counter)
        if number >= grid.batch * grid.segments * grid.line_parts:
            return
        sample, part, line_part, begin, end, segment = part_of(number, grid)
        for line in range(begin, end, grid.tile_lines):
            tile = tile_of(sample, line, end, segment, grid)
            prepare(tile, data, statistics, raw, channels, scratch)
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
                finish_tokens(
                    tile, scratch, channels, data.size, inner_along[sample, line_part], outer_along[sample, part],
                )  # fmt: skip
                if grad_data.shape[0] > 0:
                    write_data_grads(tile, scratch, raw, channels, data, grad_data)
