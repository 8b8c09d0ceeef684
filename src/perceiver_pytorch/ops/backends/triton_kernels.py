"""The loops of the Triton backend: `find_peaks`, `collect` and `token_gradients`.

The tokens of a sample are *lines* (all positions on the outer axes) by positions along the inner axis; a program takes
a range of each. A position's features are the same in every line, so that their part of a score is worked out once for
a block of rows and a block of positions, and kept in registers while the program runs over its lines. With r, a token's
inverse deviation, a (row, token) pair then costs a product over the raw channels and little more:

    score = r (row[data]·data + inner[row, position] + far[row, line])

Sums of weights times features of the inner axis are taken likewise: weights times r are added up over the lines first.

Every program has memory of its own to write to. The host adds up what programs wrote, in a fixed order.

Arguments that the kernels share (all arrays float32 and contiguous but for ``data``):
    data: (batch, lines, length, CHANNELS) raw channels of any strides and dtype; mask: (batch, lines, length) uint8.
    scale, offset: (CHANNELS,).
    features: (1 or batch, length, FEATURES) of the inner axis, and near_statistics: (1 or batch, 2, length) each
        position's mean of them and sum of squares about it. far_statistics: (1 or batch, 2, lines), of the FAR channels
        that are the same for all tokens of a line. near_step, far_step: 0 where samples share these, else 1.
    rows: (batch, num_rows, CHANNELS + FEATURES), and constants: (batch, lines, num_rows) ``row · token`` over FAR
        channels; grads, grad_constants: the same of the gradients of what rows collected.
    shift, factors, down: (batch, num_rows). Attention is ``a = exp(score - shift) factor``, and the gradient of a score
        ``a (grad · normalised token - down)``.
    bounds: (batch, num_rows) of each row's scores; a program runs where one of its rows' is above ``largest``.
    SIZE: channels of a token in all.
    DOT: how products over raw channels are computed, "ieee", "tf32" or "tf32x3": see `triton.products`.
"""

from typing import no_type_check  # as a decorator: Triton's language is not Python's, in which annotations are checked

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _read(
    data, mask, scale, offset, near_statistics, far_statistics, line, positions, num_lines, length,
    line_stride, token_stride, channel_stride, eps,
    SIZE: tl.constexpr, CHANNELS: tl.constexpr, FEATURES: tl.constexpr, FAR: tl.constexpr, MASKED: tl.constexpr,
    BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Tokens of a line of one sample: raw channels (tokens, BLOCK_C), mean, inverse deviation, and whether they count.

    Channels are zero where a token does not count, whatever is in memory. Squares are summed about the token's mean
    part by part, so that nothing cancels for data far from zero.
    """
    channels = tl.arange(0, BLOCK_C)
    used = (channels < CHANNELS)[None, :]
    inside = positions < length
    valid = inside
    if MASKED:
        valid = inside & (tl.load(mask + line * length + positions, mask=inside, other=0) != 0)
    present = valid[:, None] & used
    places = line * line_stride + positions[:, None] * token_stride + channels[None, :] * channel_stride
    factor = tl.load(scale + channels, mask=channels < CHANNELS, other=0.0)[None, :]
    shift = tl.load(offset + channels, mask=channels < CHANNELS, other=0.0)[None, :]
    values = tl.load(data + places, mask=present, other=0).to(tl.float32)
    values = tl.where(present, values * factor + shift, 0.0)
    if CHANNELS == SIZE:
        # Nothing but data: centred here, or a mean far above the spread would cancel in the scores.
        values = tl.where(present, values - tl.sum(values, 1)[:, None] / SIZE, 0.0)
    near_mean = tl.load(near_statistics + positions, mask=inside, other=0.0)
    near_squares = tl.load(near_statistics + length + positions, mask=inside, other=0.0)
    far_mean = tl.load(far_statistics + line)
    far_squares = tl.load(far_statistics + num_lines + line)
    mean = (tl.sum(values, 1) + near_mean * FEATURES + far_mean * FAR) / SIZE
    apart = tl.where(used, values - mean[:, None], 0.0)
    squares = tl.sum(apart * apart, 1) + near_squares + far_squares
    squares += (near_mean - mean) * (near_mean - mean) * FEATURES + (far_mean - mean) * (far_mean - mean) * FAR
    return values, mean, 1.0 / tl.sqrt(squares / SIZE + eps), valid


@triton.jit
@no_type_check
def _data_part(
    rows, row, used_rows, CHANNELS: tl.constexpr, FEATURES: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    """The rows' coefficients of the raw channels, (rows, BLOCK_C)."""
    channels = tl.arange(0, BLOCK_C)
    places = row[:, None] * (CHANNELS + FEATURES) + channels[None, :]
    return tl.load(rows + places, mask=used_rows[:, None] & (channels < CHANNELS)[None, :], other=0.0)


@triton.jit
@no_type_check
def _feature_part(
    rows, row, used_rows, first, CHANNELS: tl.constexpr, FEATURES: tl.constexpr, BLOCK_P: tl.constexpr
):  # fmt: skip
    """The rows' coefficients of the features from ``first`` on, (rows, BLOCK_P)."""
    feature = first + tl.arange(0, BLOCK_P)
    places = row[:, None] * (CHANNELS + FEATURES) + CHANNELS + feature[None, :]
    return tl.load(rows + places, mask=used_rows[:, None] & (feature < FEATURES)[None, :], other=0.0)


@triton.jit
@no_type_check
def _features(features, positions, length, first, FEATURES: tl.constexpr, BLOCK_P: tl.constexpr):
    """Features of positions, from the ``first`` on, (tokens, BLOCK_P)."""
    feature = first + tl.arange(0, BLOCK_P)
    places = positions[:, None] * FEATURES + feature[None, :]
    return tl.load(features + places, mask=(positions < length)[:, None] & (feature < FEATURES)[None, :], other=0.0)


@triton.jit
@no_type_check
def _inner(
    rows, row, used_rows, features, positions, length, CHANNELS: tl.constexpr, FEATURES: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """``row · token`` over the features of the inner axis, (rows, tokens)."""
    result = tl.zeros((BLOCK_R, BLOCK_J), tl.float32)
    for first in range(0, FEATURES, BLOCK_P):
        row_part = _feature_part(rows, row, used_rows, first, CHANNELS, FEATURES, BLOCK_P)
        here = _features(features, positions, length, first, FEATURES, BLOCK_P)
        result += tl.dot(row_part, tl.trans(here), input_precision="ieee")
    return result


@triton.jit
@no_type_check
def _products(values, rstd, row_part, inner, constants, line, num_rows, row, used_rows, DOT: tl.constexpr):
    """``row · normalised token``, (rows, tokens); but for the token's mean, which does not matter to centred rows."""
    constant = tl.load(constants + line * num_rows + row, mask=used_rows, other=0.0)
    return (tl.dot(row_part, tl.trans(values), input_precision=DOT) + inner + constant[:, None]) * rstd[None, :]


@triton.jit
@no_type_check
def _weights(scores, shift, valid):
    """``exp(score - shift)``, zero where there is no token: also where the exponential would be infinite."""
    return tl.exp(tl.where(valid[None, :], scores - shift[:, None], float("-inf")))


@triton.jit
@no_type_check
def _of_sample(
    sample, data, mask, features, near_statistics, far_statistics, rows, constants, num_lines, length, num_rows,
    sample_stride, near_step, far_step, CHANNELS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """Where a sample's parts of these arrays begin."""
    data += sample * sample_stride
    mask += sample * num_lines * length
    features += sample * near_step * length * FEATURES
    near_statistics += sample * near_step * 2 * length
    far_statistics += sample * far_step * 2 * num_lines
    rows += sample * num_rows * (CHANNELS + FEATURES)
    constants += sample * num_rows * num_lines
    return data, mask, features, near_statistics, far_statistics, rows, constants


@triton.jit
@no_type_check
def _rows(num_rows, BLOCK_R: tl.constexpr):
    """The sample and the block of rows of a program that takes one block of rows."""
    row_blocks = tl.cdiv(num_rows, BLOCK_R)
    sample = (tl.program_id(0) // row_blocks).to(tl.int64)
    row = (tl.program_id(0) % row_blocks) * BLOCK_R + tl.arange(0, BLOCK_R)
    return sample, row, row < num_rows


@triton.jit
@no_type_check
def _blocks_and_lines(
    bounds, largest, sample, row, used_rows, num_rows, length, num_lines, blocks_each, lines_each, BLOCK_J: tl.constexpr
):  # fmt: skip
    """The blocks of tokens and the lines that such a program runs over: none where no row needs it."""
    bound = tl.load(bounds + sample * num_rows + row, mask=used_rows, other=0.0)
    needed = tl.sum(tl.where(bound <= largest, 0, 1), 0) > 0  # also for NaN
    first_block = (tl.program_id(1) * blocks_each).to(tl.int64)
    last_block = tl.where(needed, tl.minimum(first_block + blocks_each, tl.cdiv(length, BLOCK_J)), first_block)
    first_line = (tl.program_id(2) * lines_each).to(tl.int64)
    return first_block, last_block, first_line, tl.minimum(first_line + lines_each, num_lines)


@triton.jit
@no_type_check
def _add(places, values, present):
    """Adds to memory that no other program writes to."""
    tl.store(places, tl.load(places, mask=present, other=0.0) + values, mask=present)


@triton.jit
@no_type_check
def find_peaks(
    data, mask, scale, offset, features, near_statistics, far_statistics, num_lines, length,
    sample_stride, line_stride, token_stride, channel_stride, near_step, far_step, eps,
    batch, num_rows, rows, constants, bounds, largest,
    peaks, blocks_each, lines_each,
    SIZE: tl.constexpr, CHANNELS: tl.constexpr, FEATURES: tl.constexpr, FAR: tl.constexpr, MASKED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_P: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Writes each row's largest score into ``peaks``, (parts, batch, num_rows); -inf without any token."""
    sample, row, used_rows = _rows(num_rows, BLOCK_R)
    part = tl.program_id(1) * tl.num_programs(2) + tl.program_id(2)
    data, mask, features, near_statistics, far_statistics, rows, constants = _of_sample(
        sample, data, mask, features, near_statistics, far_statistics, rows, constants, num_lines, length, num_rows,
        sample_stride, near_step, far_step, CHANNELS, FEATURES,
    )  # fmt: skip
    first_block, last_block, first_line, last_line = _blocks_and_lines(
        bounds, largest, sample, row, used_rows, num_rows, length, num_lines, blocks_each, lines_each, BLOCK_J
    )
    row_part = _data_part(rows, row, used_rows, CHANNELS, FEATURES, BLOCK_C)
    peak = tl.full((BLOCK_R,), float("-inf"), tl.float32)
    for block in range(first_block, last_block):
        positions = block * BLOCK_J + tl.arange(0, BLOCK_J)
        inner = _inner(
            rows, row, used_rows, features, positions, length, CHANNELS, FEATURES, BLOCK_R, BLOCK_J, BLOCK_P
        )  # fmt: skip
        for line in range(first_line, last_line):
            values, _, rstd, valid = _read(
                data, mask, scale, offset, near_statistics, far_statistics, line, positions, num_lines, length,
                line_stride, token_stride, channel_stride, eps, SIZE, CHANNELS, FEATURES, FAR, MASKED, BLOCK_C,
            )  # fmt: skip
            scores = _products(values, rstd, row_part, inner, constants, line, num_rows, row, used_rows, DOT)
            peak = tl.maximum(peak, tl.max(tl.where(valid[None, :], scores, float("-inf")), 1))
    tl.store(peaks + (part * batch + sample) * num_rows + row, peak, mask=used_rows)


@triton.jit
@no_type_check
def _add_block(sums, by_position, features, positions, length, row, used_rows,
               CHANNELS: tl.constexpr, FEATURES: tl.constexpr, BLOCK_P: tl.constexpr):  # fmt: skip
    """Adds weights by position times the positions' features to the rows' sums."""
    for first in range(0, FEATURES, BLOCK_P):
        here = _features(features, positions, length, first, FEATURES, BLOCK_P)
        feature = first + tl.arange(0, BLOCK_P)
        places = sums + row[:, None] * (CHANNELS + FEATURES + 1) + CHANNELS + feature[None, :]
        present = used_rows[:, None] & (feature < FEATURES)[None, :]
        _add(places, tl.dot(by_position, here, input_precision="ieee"), present)
    tl.debug_barrier()  # the next block reads what other threads may have written here


@triton.jit
@no_type_check
def _store_sums(sums, data_sums, total, row, used_rows,
                CHANNELS: tl.constexpr, FEATURES: tl.constexpr, BLOCK_C: tl.constexpr):  # fmt: skip
    """Writes a row's sums of channels, and of weights behind all others."""
    channels = tl.arange(0, BLOCK_C)
    places = sums + row[:, None] * (CHANNELS + FEATURES + 1) + channels[None, :]
    tl.store(places, data_sums, mask=used_rows[:, None] & (channels < CHANNELS)[None, :])
    tl.store(sums + row * (CHANNELS + FEATURES + 1) + CHANNELS + FEATURES, total, mask=used_rows)


@triton.jit
@no_type_check
def _collect_block(
    data, mask, scale, offset, features, near_statistics, far_statistics, num_lines, length,
    line_stride, token_stride, channel_stride, eps, num_rows, rows, constants, grads, grad_constants,
    row_part, grad_part, down_by, factor, grad_down, data_sums, total, line_sums,
    block, first_line, last_line, row, used_rows, GRADIENT: tl.constexpr,
    SIZE: tl.constexpr, CHANNELS: tl.constexpr, FEATURES: tl.constexpr, FAR: tl.constexpr, MASKED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_P: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """What `collect` does with one block of tokens: its sums go on, and those by position are the block's."""
    positions = block * BLOCK_J + tl.arange(0, BLOCK_J)
    inner = _inner(rows, row, used_rows, features, positions, length, CHANNELS, FEATURES, BLOCK_R, BLOCK_J, BLOCK_P)
    grad_inner = inner
    if GRADIENT:
        grad_inner = _inner(
            grads, row, used_rows, features, positions, length, CHANNELS, FEATURES, BLOCK_R, BLOCK_J, BLOCK_P
        )  # fmt: skip
    by_position = tl.zeros((BLOCK_R, BLOCK_J), tl.float32)
    for line in range(first_line, last_line):
        values, _, rstd, valid = _read(
            data, mask, scale, offset, near_statistics, far_statistics, line, positions, num_lines, length,
            line_stride, token_stride, channel_stride, eps, SIZE, CHANNELS, FEATURES, FAR, MASKED, BLOCK_C,
        )  # fmt: skip
        scores = _products(values, rstd, row_part, inner, constants, line, num_rows, row, used_rows, DOT)
        weights = _weights(scores, down_by, valid)
        if GRADIENT:
            to_attention = _products(
                values, rstd, grad_part, grad_inner, grad_constants, line, num_rows, row, used_rows, DOT
            )  # fmt: skip
            weights = weights * factor[:, None] * (to_attention - grad_down[:, None])
        total += tl.sum(weights, 1)
        weights = weights * rstd[None, :]
        by_position += weights
        data_sums += tl.dot(weights, values, input_precision=DOT)
        tl.store(line_sums + line * num_rows + row, tl.sum(weights, 1), mask=used_rows)
    return data_sums, total, by_position, positions


@triton.jit
@no_type_check
def collect(
    data, mask, scale, offset, features, near_statistics, far_statistics, num_lines, length,
    sample_stride, line_stride, token_stride, channel_stride, near_step, far_step, eps,
    batch, num_rows, rows, constants, bounds, largest,
    shift, grads, grad_constants, factors, down,
    sums, line_sums, blocks_each, lines_each, GRADIENT: tl.constexpr,
    SIZE: tl.constexpr, CHANNELS: tl.constexpr, FEATURES: tl.constexpr, FAR: tl.constexpr, MASKED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_P: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Sums over tokens by attention (factors aside), or with GRADIENT by the gradients of the scores.

    Into ``sums``, (parts, batch, num_rows, CHANNELS + FEATURES + 1) and zero before, it writes those of r times the
    channels, and of 1; into ``line_sums``, (blocks, batch, lines, num_rows), those of r for each line.
    """
    sample, row, used_rows = _rows(num_rows, BLOCK_R)
    part = tl.program_id(1) * tl.num_programs(2) + tl.program_id(2)
    data, mask, features, near_statistics, far_statistics, rows, constants = _of_sample(
        sample, data, mask, features, near_statistics, far_statistics, rows, constants, num_lines, length, num_rows,
        sample_stride, near_step, far_step, CHANNELS, FEATURES,
    )  # fmt: skip
    grads += sample * num_rows * (CHANNELS + FEATURES)
    grad_constants += sample * num_rows * num_lines
    sums += (part * batch + sample) * num_rows * (CHANNELS + FEATURES + 1)
    first_block, last_block, first_line, last_line = _blocks_and_lines(
        bounds, largest, sample, row, used_rows, num_rows, length, num_lines, blocks_each, lines_each, BLOCK_J
    )
    row_part = _data_part(rows, row, used_rows, CHANNELS, FEATURES, BLOCK_C)
    down_by = tl.load(shift + sample * num_rows + row, mask=used_rows, other=0.0)
    grad_part, factor, grad_down = row_part, down_by, down_by
    if GRADIENT:
        grad_part = _data_part(grads, row, used_rows, CHANNELS, FEATURES, BLOCK_C)
        factor = tl.load(factors + sample * num_rows + row, mask=used_rows, other=0.0)
        grad_down = tl.load(down + sample * num_rows + row, mask=used_rows, other=0.0)
    total = tl.zeros((BLOCK_R,), tl.float32)
    data_sums = tl.zeros((BLOCK_R, BLOCK_C), tl.float32)
    for block in range(first_block, last_block):
        data_sums, total, by_position, positions = _collect_block(
            data, mask, scale, offset, features, near_statistics, far_statistics, num_lines, length,
            line_stride, token_stride, channel_stride, eps, num_rows, rows, constants, grads, grad_constants,
            row_part, grad_part, down_by, factor, grad_down, data_sums, total,
            line_sums + (block * batch + sample) * num_lines * num_rows, block, first_line, last_line, row, used_rows,
            GRADIENT, SIZE, CHANNELS, FEATURES, FAR, MASKED, BLOCK_C, BLOCK_R, BLOCK_J, BLOCK_P, DOT,
        )  # fmt: skip
        _add_block(sums, by_position, features, positions, length, row, used_rows, CHANNELS, FEATURES, BLOCK_P)
    _store_sums(sums, data_sums, total, row, used_rows, CHANNELS, FEATURES, BLOCK_C)


@triton.jit
@no_type_check
def _add_data_gradient(
    grad_data, attention, to_scores, along, grad_part, row_part, values, mean, rstd, token, inside,
    CHANNELS: tl.constexpr, BLOCK_C: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """LayerNorm's backward: takes the part along the token off its gradient."""
    channels = tl.arange(0, BLOCK_C)
    grad = tl.dot(tl.trans(attention), grad_part, input_precision=DOT)
    grad += tl.dot(tl.trans(to_scores), row_part, input_precision=DOT)
    grad = (grad - (values - mean[:, None]) * (rstd * along)[:, None]) * rstd[:, None]
    places = grad_data + token[:, None] * CHANNELS + channels[None, :]
    _add(places, grad, inside[:, None] & (channels < CHANNELS)[None, :])


@triton.jit
@no_type_check
def _add_feature_gradient(
    grad_features, attention, to_scores, rows, grads, row, used_rows, positions, inside,
    CHANNELS: tl.constexpr, FEATURES: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """The gradient of the features of the inner axis, from attention and the scores' gradients by position."""
    for first in range(0, FEATURES, BLOCK_P):
        grad_feature = _feature_part(grads, row, used_rows, first, CHANNELS, FEATURES, BLOCK_P)
        row_feature = _feature_part(rows, row, used_rows, first, CHANNELS, FEATURES, BLOCK_P)
        grad = tl.dot(tl.trans(attention), grad_feature, input_precision="ieee")
        grad += tl.dot(tl.trans(to_scores), row_feature, input_precision="ieee")
        feature = first + tl.arange(0, BLOCK_P)
        places = grad_features + positions[:, None] * FEATURES + feature[None, :]
        _add(places, grad, inside[:, None] & (feature < FEATURES)[None, :])


@triton.jit
@no_type_check
def _gradients_by_rows(
    data, mask, scale, offset, features, near_statistics, far_statistics, num_lines, length,
    line_stride, token_stride, channel_stride, eps, num_rows, rows, constants, shift, grads, grad_constants, factors,
    down, grad_data, alongs, along_means, attention_sums, grad_features, positions, first_line, last_line, row,
    TO_DATA: tl.constexpr, TO_CONSTANTS: tl.constexpr,
    SIZE: tl.constexpr, CHANNELS: tl.constexpr, FEATURES: tl.constexpr, FAR: tl.constexpr, MASKED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_P: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """What `token_gradients` does with one block of rows."""
    used_rows, inside = row < num_rows, positions < length
    row_part = _data_part(rows, row, used_rows, CHANNELS, FEATURES, BLOCK_C)
    grad_part = _data_part(grads, row, used_rows, CHANNELS, FEATURES, BLOCK_C)
    down_by = tl.load(shift + row, mask=used_rows, other=0.0)
    factor = tl.load(factors + row, mask=used_rows, other=0.0)  # a = 0 beyond the last row
    grad_down = tl.load(down + row, mask=used_rows, other=0.0)
    inner = _inner(rows, row, used_rows, features, positions, length, CHANNELS, FEATURES, BLOCK_R, BLOCK_J, BLOCK_P)
    grad_inner = _inner(
        grads, row, used_rows, features, positions, length, CHANNELS, FEATURES, BLOCK_R, BLOCK_J, BLOCK_P
    )  # fmt: skip
    attention_by_position = tl.zeros((BLOCK_R, BLOCK_J), tl.float32)
    scores_by_position = tl.zeros((BLOCK_R, BLOCK_J), tl.float32)
    for line in range(first_line, last_line):
        values, mean, rstd, valid = _read(
            data, mask, scale, offset, near_statistics, far_statistics, line, positions, num_lines, length,
            line_stride, token_stride, channel_stride, eps, SIZE, CHANNELS, FEATURES, FAR, MASKED, BLOCK_C,
        )  # fmt: skip
        scores = _products(values, rstd, row_part, inner, constants, line, num_rows, row, used_rows, DOT)
        to_attention = _products(
            values, rstd, grad_part, grad_inner, grad_constants, line, num_rows, row, used_rows, DOT
        )
        attention = _weights(scores, down_by, valid) * factor[:, None]
        to_scores = attention * (to_attention - grad_down[:, None])
        along = tl.sum(attention * to_attention + to_scores * scores, 0) / SIZE
        token = line * length + positions
        if TO_DATA:
            _add_data_gradient(
                grad_data, attention, to_scores, along, grad_part, row_part, values, mean, rstd, token, inside,
                CHANNELS, BLOCK_C, DOT,
            )  # fmt: skip
        if TO_CONSTANTS:
            along = along * rstd * rstd
            _add(alongs + token, along, inside)
            _add(along_means + token, along * mean, inside)
            attention = attention * rstd[None, :]
            attention_by_position += attention
            scores_by_position += to_scores * rstd[None, :]
            tl.store(attention_sums + line * num_rows + row, tl.sum(attention, 1), mask=used_rows)
    if TO_CONSTANTS:
        _add_feature_gradient(
            grad_features, attention_by_position, scores_by_position, rows, grads, row, used_rows, positions, inside,
            CHANNELS, FEATURES, BLOCK_P,
        )  # fmt: skip
    tl.debug_barrier()  # the next rows are added to what other threads may have written here


@triton.jit
@no_type_check
def token_gradients(
    data, mask, scale, offset, features, near_statistics, far_statistics, num_lines, length,
    sample_stride, line_stride, token_stride, channel_stride, near_step, far_step, eps,
    batch, num_rows, rows, constants,
    shift, grads, grad_constants, factors, down,
    grad_data, alongs, along_means, attention_sums, grad_features, lines_each,
    TO_DATA: tl.constexpr, TO_CONSTANTS: tl.constexpr,
    SIZE: tl.constexpr, CHANNELS: tl.constexpr, FEATURES: tl.constexpr, FAR: tl.constexpr, MASKED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_P: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Gradients of the tokens, all rows together; every array that it adds to is zero before.

    With ``along``, how far the gradient of a normalised token points along the token (LayerNorm's backward removes it),
    divided by SIZE, it adds
        to ``grad_data``, (batch, lines, length, CHANNELS): the gradient of scaled and shifted raw channels (TO_DATA);
        to ``alongs`` and ``along_means``, (batch, lines, length): r² along, and the same times the token's mean;
        to ``grad_features``, (parts, batch, length, FEATURES): r times the gradient of normalised tokens, summed over
        lines; and writes into ``attention_sums``, (blocks, batch, lines, num_rows): sums of attention times r
        (TO_CONSTANTS).
    """
    blocks = tl.cdiv(length, BLOCK_J)
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    block = (tl.program_id(0) % blocks).to(tl.int64)
    first_line = (tl.program_id(1) * lines_each).to(tl.int64)
    last_line = tl.minimum(first_line + lines_each, num_lines)
    data, mask, features, near_statistics, far_statistics, rows, constants = _of_sample(
        sample, data, mask, features, near_statistics, far_statistics, rows, constants, num_lines, length, num_rows,
        sample_stride, near_step, far_step, CHANNELS, FEATURES,
    )  # fmt: skip
    grads += sample * num_rows * (CHANNELS + FEATURES)
    grad_constants += sample * num_rows * num_lines
    tokens, first_row = sample * num_lines * length, sample * num_rows
    attention_sums += (block * batch + sample) * num_lines * num_rows
    grad_features += (tl.program_id(1) * batch + sample) * length * FEATURES
    positions = block * BLOCK_J + tl.arange(0, BLOCK_J)
    for first in range(0, num_rows, BLOCK_R):
        _gradients_by_rows(
            data, mask, scale, offset, features, near_statistics, far_statistics, num_lines, length,
            line_stride, token_stride, channel_stride, eps, num_rows, rows, constants, shift + first_row, grads,
            grad_constants, factors + first_row, down + first_row, grad_data + tokens * CHANNELS, alongs + tokens,
            along_means + tokens, attention_sums, grad_features, positions, first_line, last_line,
            first + tl.arange(0, BLOCK_R), TO_DATA, TO_CONSTANTS, SIZE, CHANNELS, FEATURES, FAR, MASKED, BLOCK_C,
            BLOCK_R, BLOCK_J, BLOCK_P, DOT,
        )  # fmt: skip
