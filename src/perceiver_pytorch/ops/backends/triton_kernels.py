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
    SIZE: channels of a token in all.
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
def _products(values, rstd, row_part, inner, constants, line, num_rows, row, used_rows):
    """``row · normalised token``, (rows, tokens); but for the token's mean, which does not matter to centred rows."""
    constant = tl.load(constants + line * num_rows + row, mask=used_rows, other=0.0)
    return (tl.dot(row_part, tl.trans(values), input_precision="ieee") + inner + constant[:, None]) * rstd[None, :]


@triton.jit
@no_type_check
def _weights(scores, shift, valid):
    """``exp(score - shift)``, zero where there is no token: also where the exponential would be infinite."""
    return tl.exp(tl.where(valid[None, :], scores - shift[:, None], float("-inf")))


@triton.jit
@no_type_check
def find_peaks(
    data, mask, scale, offset, features, near_statistics, far_statistics, num_lines, length,
    sample_stride, line_stride, token_stride, channel_stride, near_step, far_step, eps,
    batch, num_rows, rows, constants, bounds, largest,
    peaks, blocks_each, lines_each,
    SIZE: tl.constexpr, CHANNELS: tl.constexpr, FEATURES: tl.constexpr, FAR: tl.constexpr, MASKED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """Writes each row's largest score into ``peaks``, (parts, batch, num_rows); -inf without any token.

    Only for blocks of rows of which one has a bound on its scores, in ``bounds`` (batch, num_rows), above ``largest``.
    """
    row_blocks = tl.cdiv(num_rows, BLOCK_R)
    sample = (tl.program_id(0) // row_blocks).to(tl.int64)
    row = (tl.program_id(0) % row_blocks) * BLOCK_R + tl.arange(0, BLOCK_R)
    used_rows = row < num_rows
    part = tl.program_id(1) * tl.num_programs(2) + tl.program_id(2)
    data += sample * sample_stride
    mask += sample * num_lines * length
    features += sample * near_step * length * FEATURES
    near_statistics += sample * near_step * 2 * length
    far_statistics += sample * far_step * 2 * num_lines
    rows += sample * num_rows * (CHANNELS + FEATURES)
    constants += sample * num_rows * num_lines

    bound = tl.load(bounds + sample * num_rows + row, mask=used_rows, other=0.0)
    needed = tl.sum(tl.where(bound <= largest, 0, 1), 0) > 0  # also for NaN
    first_block = (tl.program_id(1) * blocks_each).to(tl.int64)
    last_block = tl.where(needed, tl.minimum(first_block + blocks_each, tl.cdiv(length, BLOCK_J)), first_block)
    first_line = (tl.program_id(2) * lines_each).to(tl.int64)
    last_line = tl.minimum(first_line + lines_each, num_lines)

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
            scores = _products(values, rstd, row_part, inner, constants, line, num_rows, row, used_rows)
            peak = tl.maximum(peak, tl.max(tl.where(valid[None, :], scores, float("-inf")), 1))
    tl.store(peaks + (part * batch + sample) * num_rows + row, peak, mask=used_rows)


@triton.jit
@no_type_check
def collect(
    data, mask, scale, offset, features, near_statistics, far_statistics, num_lines, length,
    sample_stride, line_stride, token_stride, channel_stride, near_step, far_step, eps,
    batch, num_rows, rows, constants, bounds, largest,
    shift, grads, grad_constants, factors, down,
    sums, line_sums, blocks_each, lines_each,
    GRADIENT: tl.constexpr,
    SIZE: tl.constexpr, CHANNELS: tl.constexpr, FEATURES: tl.constexpr, FAR: tl.constexpr, MASKED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """Weighted sums over tokens. A weight is ``a = exp(score - shift)``, or with GRADIENT the gradient of the score,
    ``a factor (grad · normalised token - down)``; ``shift``, ``factors`` and ``down`` are (batch, num_rows).

    Into ``sums``, (parts, batch, num_rows, CHANNELS + FEATURES + 1) and zero before, it writes those of r times the
    channels, and of 1; into ``line_sums``, (blocks, batch, lines, num_rows), those of r for each line.

    Only for blocks of rows of which one has a bound on its scores, in ``bounds`` (batch, num_rows), above ``largest``.
    """
    row_blocks = tl.cdiv(num_rows, BLOCK_R)
    sample = (tl.program_id(0) // row_blocks).to(tl.int64)
    row = (tl.program_id(0) % row_blocks) * BLOCK_R + tl.arange(0, BLOCK_R)
    used_rows = row < num_rows
    part = tl.program_id(1) * tl.num_programs(2) + tl.program_id(2)
    data += sample * sample_stride
    mask += sample * num_lines * length
    features += sample * near_step * length * FEATURES
    near_statistics += sample * near_step * 2 * length
    far_statistics += sample * far_step * 2 * num_lines
    rows += sample * num_rows * (CHANNELS + FEATURES)
    constants += sample * num_rows * num_lines
    grads += sample * num_rows * (CHANNELS + FEATURES)
    grad_constants += sample * num_rows * num_lines
    sums += (part * batch + sample) * num_rows * (CHANNELS + FEATURES + 1)

    bound = tl.load(bounds + sample * num_rows + row, mask=used_rows, other=0.0)
    needed = tl.sum(tl.where(bound <= largest, 0, 1), 0) > 0  # also for NaN
    first_block = (tl.program_id(1) * blocks_each).to(tl.int64)
    last_block = tl.where(needed, tl.minimum(first_block + blocks_each, tl.cdiv(length, BLOCK_J)), first_block)
    first_line = (tl.program_id(2) * lines_each).to(tl.int64)
    last_line = tl.minimum(first_line + lines_each, num_lines)

    row_part = _data_part(rows, row, used_rows, CHANNELS, FEATURES, BLOCK_C)
    down_by = tl.load(shift + sample * num_rows + row, mask=used_rows, other=0.0)
    if GRADIENT:
        grad_part = _data_part(grads, row, used_rows, CHANNELS, FEATURES, BLOCK_C)
        factor = tl.load(factors + sample * num_rows + row, mask=used_rows, other=0.0)
        grad_down = tl.load(down + sample * num_rows + row, mask=used_rows, other=0.0)
    total = tl.zeros((BLOCK_R,), tl.float32)
    data_sums = tl.zeros((BLOCK_R, BLOCK_C), tl.float32)
    for block in range(first_block, last_block):
        positions = block * BLOCK_J + tl.arange(0, BLOCK_J)
        inner = _inner(
            rows, row, used_rows, features, positions, length, CHANNELS, FEATURES, BLOCK_R, BLOCK_J, BLOCK_P
        )  # fmt: skip
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
            scores = _products(values, rstd, row_part, inner, constants, line, num_rows, row, used_rows)
            weights = _weights(scores, down_by, valid)
            if GRADIENT:
                to_attention = _products(
                    values, rstd, grad_part, grad_inner, grad_constants, line, num_rows, row, used_rows
                )
                weights = weights * factor[:, None] * (to_attention - grad_down[:, None])
            total += tl.sum(weights, 1)
            weights = weights * rstd[None, :]
            by_position += weights
            data_sums += tl.dot(weights, values, input_precision="ieee")
            place = ((block * batch + sample) * num_lines + line) * num_rows
            tl.store(line_sums + place + row, tl.sum(weights, 1), mask=used_rows)
        for first in range(0, FEATURES, BLOCK_P):
            here = _features(features, positions, length, first, FEATURES, BLOCK_P)
            feature = first + tl.arange(0, BLOCK_P)
            places = sums + row[:, None] * (CHANNELS + FEATURES + 1) + CHANNELS + feature[None, :]
            present = used_rows[:, None] & (feature < FEATURES)[None, :]
            before = tl.load(places, mask=present, other=0.0)
            tl.store(places, before + tl.dot(by_position, here, input_precision="ieee"), mask=present)
        tl.debug_barrier()  # the next block reads what other threads may have written here
    channels = tl.arange(0, BLOCK_C)
    places = sums + row[:, None] * (CHANNELS + FEATURES + 1) + channels[None, :]
    tl.store(places, data_sums, mask=used_rows[:, None] & (channels < CHANNELS)[None, :])
    tl.store(sums + row * (CHANNELS + FEATURES + 1) + CHANNELS + FEATURES, total, mask=used_rows)


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
    BLOCK_C: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_P: tl.constexpr,
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
    part = tl.program_id(1)
    first_line = (part * lines_each).to(tl.int64)
    last_line = tl.minimum(first_line + lines_each, num_lines)
    data += sample * sample_stride
    mask += sample * num_lines * length
    features += sample * near_step * length * FEATURES
    near_statistics += sample * near_step * 2 * length
    far_statistics += sample * far_step * 2 * num_lines
    rows += sample * num_rows * (CHANNELS + FEATURES)
    constants += sample * num_rows * num_lines
    grads += sample * num_rows * (CHANNELS + FEATURES)
    grad_constants += sample * num_rows * num_lines
    grad_data += sample * num_lines * length * CHANNELS
    alongs += sample * num_lines * length
    along_means += sample * num_lines * length
    grad_features += (part * batch + sample) * length * FEATURES

    positions = block * BLOCK_J + tl.arange(0, BLOCK_J)
    inside = positions < length
    channels = tl.arange(0, BLOCK_C)
    for first_row in range(0, num_rows, BLOCK_R):
        row = first_row + tl.arange(0, BLOCK_R)
        used_rows = row < num_rows
        row_part = _data_part(rows, row, used_rows, CHANNELS, FEATURES, BLOCK_C)
        grad_part = _data_part(grads, row, used_rows, CHANNELS, FEATURES, BLOCK_C)
        down_by = tl.load(shift + sample * num_rows + row, mask=used_rows, other=0.0)
        factor = tl.load(factors + sample * num_rows + row, mask=used_rows, other=0.0)  # a = 0 beyond the last row
        grad_down = tl.load(down + sample * num_rows + row, mask=used_rows, other=0.0)
        inner = _inner(
            rows, row, used_rows, features, positions, length, CHANNELS, FEATURES, BLOCK_R, BLOCK_J, BLOCK_P
        )  # fmt: skip
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
            scores = _products(values, rstd, row_part, inner, constants, line, num_rows, row, used_rows)
            to_attention = _products(
                values, rstd, grad_part, grad_inner, grad_constants, line, num_rows, row, used_rows
            )
            attention = _weights(scores, down_by, valid) * factor[:, None]
            to_scores = attention * (to_attention - grad_down[:, None])
            along = tl.sum(attention * to_attention + to_scores * scores, 0) / SIZE
            if TO_DATA:
                grad = tl.dot(tl.trans(attention), grad_part, input_precision="ieee")
                grad += tl.dot(tl.trans(to_scores), row_part, input_precision="ieee")
                grad = (grad - (values - mean[:, None]) * (rstd * along)[:, None]) * rstd[:, None]
                places = grad_data + (line * length + positions)[:, None] * CHANNELS + channels[None, :]
                present = inside[:, None] & (channels < CHANNELS)[None, :]
                tl.store(places, tl.load(places, mask=present, other=0.0) + grad, mask=present)
            if TO_CONSTANTS:
                along = along * rstd * rstd
                token = line * length + positions
                before = tl.load(alongs + token, mask=inside, other=0.0)
                tl.store(alongs + token, before + along, mask=inside)
                before = tl.load(along_means + token, mask=inside, other=0.0)
                tl.store(along_means + token, before + along * mean, mask=inside)
                attention = attention * rstd[None, :]
                attention_by_position += attention
                scores_by_position += to_scores * rstd[None, :]
                place = ((block * batch + sample) * num_lines + line) * num_rows
                tl.store(attention_sums + place + row, tl.sum(attention, 1), mask=used_rows)
        if TO_CONSTANTS:
            for first in range(0, FEATURES, BLOCK_P):
                grad_feature = _feature_part(grads, row, used_rows, first, CHANNELS, FEATURES, BLOCK_P)
                row_feature = _feature_part(rows, row, used_rows, first, CHANNELS, FEATURES, BLOCK_P)
                grad = tl.dot(tl.trans(attention_by_position), grad_feature, input_precision="ieee")
                grad += tl.dot(tl.trans(scores_by_position), row_feature, input_precision="ieee")
                feature = first + tl.arange(0, BLOCK_P)
                places = grad_features + positions[:, None] * FEATURES + feature[None, :]
                present = inside[:, None] & (feature < FEATURES)[None, :]
                tl.store(places, tl.load(places, mask=present, other=0.0) + grad, mask=present)
        tl.debug_barrier()  # the next rows are added to what other threads may have written here
