"""What rows become before the compiled backend's loops, and their sums behind them: `spread` and `collect`.

A row is a few dozen numbers, and PyTorch takes some thirty operations for it: beside a loop over a few thousand tokens
these count. The loops here do the same in one call each, row by row.

Tables of features come as (1 or batch, features, positions), their positions filled up with zeros to whole vectors.
``near_at`` and ``far_at`` say which channel of a token each feature of the inner axis and each of the others is;
``spans`` (far features, 2) at which positions a far feature may be other than zero. Without room for inner scores, or
sums by position on the inner axis, near features are channels of the data, behind the raw ones.
"""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

import numpy as np

from perceiver_pytorch.ops.backends.loops import function, loop
from perceiver_pytorch.ops.backends.simd import WIDTH, add, fma, load, splat, store, take, total

AT_ONCE = 512
"""Products that are summed up in float32, by each lane of a vector for itself."""


@function
def _add_scores(coefficients, at, table, shared, spans, length, scores, to):
    """Adds ``Σ_feature coefficient · table[feature]`` to the scores from ``to`` on."""
    for feature in range(at.shape[0]):
        coefficient = splat(coefficients[at[feature]])
        begin = (shared * at.shape[0] + feature) * length
        for i in range(spans[feature, 0] // WIDTH * WIDTH, spans[feature, 1], WIDTH):
            store(scores, to + i, fma(load(table, begin + i), coefficient, load(scores, to + i)))


@function
def _products(weights, table, begin, first, end):
    """``Σ_i weights[i] table[begin + i]`` from ``first`` up to ``end``."""
    result = 0.0
    for block in range(first // WIDTH * WIDTH, end, AT_ONCE * WIDTH):
        summed = splat(np.float32(0.0))
        for i in range(block, min(end, block + AT_ONCE * WIDTH), WIDTH):
            summed = fma(load(weights, i), load(table, begin + i), summed)
        result += total(summed)
    return result


def room(channels, near_length, far_length):
    """Numbers of float32 memory that either loop takes."""
    return 2 * channels + near_length + 3 * far_length


@loop
def spread(
    counter, memory, rows, unit, near_at, near, near_spans, far_at, far, far_spans, centred, squares, data, inner, outer
):
    """Centres rows (batch, R, C), and gives what the parts of ``unit · row · token`` follow from.

    Writes centred rows, each one's sum of squares (batch, R) in float64, coefficients of the data (batch, R, c), and
    scores (batch, R, positions) of the inner axis and of the outer ones.
    """
    batch, num_rows, channels = rows.shape
    by_position = inner.shape[2] > 0
    raw = data.shape[2] if by_position else data.shape[2] - near_at.shape[0]
    coefficients = memory[:channels]
    while True:
        number = take(counter)
        if number >= batch * num_rows:
            return
        sample, n = number // num_rows, number % num_rows
        mean, squared = 0.0, 0.0
        for c in range(channels):
            mean += rows[sample, n, c]
        mean /= channels
        for c in range(channels):
            value = np.float32(rows[sample, n, c] - mean)
            centred[sample, n, c] = value
            squared += np.float64(value) * value
            coefficients[c] = value * np.float32(unit)
        squares[sample, n] = squared
        for c in range(raw):
            data[sample, n, c] = coefficients[c]
        if by_position:
            for i in range(inner.shape[2]):
                inner[sample, n, i] = 0.0
            shared = min(sample, near.shape[0] - 1)
            _add_scores(coefficients, near_at, near, shared, near_spans, near.shape[2], inner, number * inner.shape[2])
        else:
            for p in range(near_at.shape[0]):
                data[sample, n, raw + p] = coefficients[near_at[p]]
        for i in range(outer.shape[2]):
            outer[sample, n, i] = 0.0
        shared = min(sample, far.shape[0] - 1)
        _add_scores(coefficients, far_at, far, shared, far_spans, far.shape[2], outer, number * outer.shape[2])


@loop
def collect(
    counter, memory, sums, inner_sums, outer_sums, tiny, near_at, near, near_spans, far_at, far, far_spans, totals,
    mixed,
):  # fmt: skip
    """``Σ_m w_m (token_m - its mean)`` as (batch, R, C), and sums of weights (batch, R) in float64.

    Args:
        sums: (batch, parts, R, c + 1) of weights times data, and of weights.
        inner_sums, outer_sums: (batch, line parts or parts, R, positions), of weights times r.
        tiny: what to divide by at least; negative: nothing is divided.
        totals, mixed: the results.
    """
    batch, num_rows, channels = mixed.shape
    by_position, last = inner_sums.shape[3] > 0, sums.shape[3] - 1
    raw = last if by_position else last - near_at.shape[0]
    length, num_values = far.shape[2], channels + far.shape[2]
    in_double = memory[: 2 * num_values].view(np.float64)
    exact, values = in_double[:length], in_double[length:]
    outer, inner = memory[2 * num_values : 2 * num_values + length], memory[2 * num_values + length :]
    for i in range(length):
        outer[i] = 0.0
    while True:
        number = take(counter)
        if number >= batch * num_rows:
            return
        sample, n = number // num_rows, number % num_rows
        weight = 0.0
        for c in range(channels):
            values[c] = 0.0
        for part in range(sums.shape[1]):
            weight += sums[sample, part, n, last]
            for c in range(raw):
                values[c] += sums[sample, part, n, c]
            for c in range(raw, last):
                values[near_at[c - raw]] += sums[sample, part, n, c]
        totals[sample, n] = weight
        if by_position:
            padded = inner_sums.shape[3]
            for i in range(0, padded, WIDTH):
                summed = splat(np.float32(0.0))
                for part in range(inner_sums.shape[1]):
                    place = ((sample * inner_sums.shape[1] + part) * num_rows + n) * padded + i
                    summed = add(summed, load(inner_sums, place))
                store(inner, i, summed)
            shared = min(sample, near.shape[0] - 1) * near_at.shape[0]
            for p in range(near_at.shape[0]):
                span = near_spans[p, 0], near_spans[p, 1]
                values[near_at[p]] = _products(inner, near, (shared + p) * near.shape[2], span[0], span[1])
        for i in range(outer_sums.shape[3]):
            exact[i] = 0.0
        for part in range(outer_sums.shape[1]):
            for i in range(outer_sums.shape[3]):
                exact[i] += outer_sums[sample, part, n, i]
        for i in range(outer_sums.shape[3]):
            outer[i] = exact[i]
        shared = min(sample, far.shape[0] - 1) * far_at.shape[0]
        for q in range(far_at.shape[0]):
            span = far_spans[q, 0], far_spans[q, 1]
            values[far_at[q]] = _products(outer, far, (shared + q) * far.shape[2], span[0], span[1])
        mean = 0.0
        for c in range(channels):
            mean += values[c]
        mean /= channels
        divisor = 1.0
        if tiny >= 0.0:
            divisor = tiny if weight < tiny else weight  # NaN stays
        for c in range(channels):
            mixed[sample, n, c] = (values[c] - mean) / divisor
