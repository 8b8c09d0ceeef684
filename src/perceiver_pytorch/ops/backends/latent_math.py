"""What the loops of latents are made of: products, norms and softmax of latents that are lanes of vectors.

An array of channels is ``(channels, lanes)`` in one dimension, with as many lanes as the latents of one sample take in
whole vectors. Every product is then

    out[row, lane] = Σ_k a[row, k] b[k, lane]

with ``a`` a weight as PyTorch has it, keys or values, each number of which is read once and spread over a vector. Norms
and softmax go along the channels, lane by lane. Lanes without a latent hold finite numbers that no other lane reads.
"""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

from typing import NamedTuple

import numpy as np

from perceiver_pytorch.ops.backends.loops import function
from perceiver_pytorch.ops.backends.simd import (
    WIDTH,
    add,
    at_least,
    divide,
    exp2,
    fma,
    fma_each,
    load,
    multiply,
    splat,
    splat_from,
    square_root,
    store,
    store_each,
    subtract,
    zero_each,
)

LOG2_E = np.float32(1.4426950408889634)
LOWEST = np.float32(-126.0)

# erfc(z) = t (ERFC[0] + t (ERFC[1] + ...)) exp(-z²) with t = 1 / (1 + SLOPE z), to 1.5e-7 (Abramowitz, Stegun: 7.1.26).
SLOPE = np.float32(0.3275911)
ERFC = tuple(np.float32(c) for c in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))
ROOT_HALF = np.float32(0.7071067811865476)


@function
def columns(number):
    """In whole vectors."""
    return (number + WIDTH - 1) // WIDTH * WIDTH


class Product(NamedTuple):
    """``out[to + row lanes + lane] = bias[row] + Σ_k a[row a_row + k a_k] b[begin + k lanes + lane]``.

    ``a`` and ``bias`` are addresses of float32 numbers, of which the latter may be 0: there is none.
    """

    a: int
    a_row: int
    a_k: int
    rows: int
    depth: int
    begin: int
    to: int
    bias: int


@function
def _rows(product, row, b, out, lanes, tile, pair):
    """A few rows of a product for all lanes."""
    lane, a = 0, product.a + 4 * row * product.a_row
    begin, to = product.begin, product.to + row * lanes
    while len(pair) > 0 and lane + 2 * WIDTH <= lanes:
        first, second = zero_each(tile), zero_each(tile)
        if product.bias != 0:
            first = splat_from(product.bias, row, 1, tile)
            second = first
        for k in range(product.depth):
            numbers = splat_from(a, k * product.a_k, product.a_row, tile)
            first = fma_each(load(b, begin + k * lanes + lane), numbers, first)
            second = fma_each(load(b, begin + k * lanes + lane + WIDTH), numbers, second)
        store_each(out, to + lane, lanes, first)
        store_each(out, to + lane + WIDTH, lanes, second)
        lane += 2 * WIDTH
    while lane < lanes:
        first = zero_each(tile)
        if product.bias != 0:
            first = splat_from(product.bias, row, 1, tile)
        for k in range(product.depth):
            numbers = splat_from(a, k * product.a_k, product.a_row, tile)
            first = fma_each(load(b, begin + k * lanes + lane), numbers, first)
        store_each(out, to + lane, lanes, first)
        lane += WIDTH


@function
def matmul(product, b, out, lanes, tile, pair):
    if product.rows < len(tile):
        for row in range(product.rows):
            _rows(product, row, b, out, lanes, (0,), pair)
        return
    for row in range(0, product.rows, len(tile)):  # the last ones may be computed twice
        _rows(product, min(row, product.rows - len(tile)), b, out, lanes, tile, pair)


@function
def standardise(x, eps, dim, lanes, out, factors):
    """Layer norm of each lane, without weights; ``factors`` (lanes,) gets what the deviations are multiplied by."""
    inverse = splat(np.float32(1.0 / dim))
    for lane in range(0, lanes, WIDTH):
        mean, squares = splat(np.float32(0.0)), splat(np.float32(0.0))
        for c in range(dim):
            mean = add(mean, load(x, c * lanes + lane))
        mean = multiply(mean, inverse)
        for c in range(dim):
            about = subtract(load(x, c * lanes + lane), mean)
            squares = fma(about, about, squares)
        deviation = square_root(fma(squares, inverse, splat(np.float32(eps))))
        factor = divide(splat(np.float32(1.0)), deviation)
        store(factors, lane, factor)
        for c in range(dim):
            store(out, c * lanes + lane, multiply(subtract(load(x, c * lanes + lane), mean), factor))


@function
def softmax(scores, latents, lanes, scale):
    """Over the keys, for each query: a lane."""
    factor, lowest = splat(np.float32(scale * LOG2_E)), splat(LOWEST)
    for lane in range(0, lanes, WIDTH):
        peak = load(scores, lane)
        for key in range(1, latents):
            peak = at_least(peak, load(scores, key * lanes + lane))
        total = splat(np.float32(0.0))
        for key in range(latents):
            power = multiply(subtract(load(scores, key * lanes + lane), peak), factor)
            power = exp2(at_least(power, lowest))
            total = add(total, power)
            store(scores, key * lanes + lane, power)
        share = divide(splat(np.float32(1.0)), total)
        for key in range(latents):
            store(scores, key * lanes + lane, multiply(load(scores, key * lanes + lane), share))


@function
def normal_distribution(x):
    """``erfc(|x| / √2) / 2``, which is ``Φ(-|x|)``, and ``exp(-x² / 2)``."""
    one = splat(np.float32(1.0))
    z = multiply(at_least(x, subtract(splat(np.float32(0.0)), x)), splat(ROOT_HALF))
    t = divide(one, fma(z, splat(SLOPE), one))
    power = exp2(at_least(multiply(multiply(z, z), splat(-LOG2_E)), splat(LOWEST)))
    tail = splat(ERFC[4])
    tail = fma(tail, t, splat(ERFC[3]))
    tail = fma(tail, t, splat(ERFC[2]))
    tail = fma(tail, t, splat(ERFC[1]))
    tail = fma(tail, t, splat(ERFC[0]))
    return multiply(multiply(multiply(tail, t), power), splat(np.float32(0.5))), power


@function
def gelu(x):
    """``x Φ(x) = max(x, 0) - |x| Φ(-|x|)``."""
    zero = splat(np.float32(0.0))
    tail, _ = normal_distribution(x)
    return subtract(at_least(x, zero), multiply(at_least(x, subtract(zero, x)), tail))


@function
def add_to(x, more):
    for i in range(0, x.shape[0], WIDTH):
        store(x, i, add(load(x, i), load(more, i)))


@function
def copy(x, out, to):
    """``out[to : to + len(x)] = x``."""
    for i in range(0, x.shape[0], WIDTH):
        store(out, to + i, load(x, i))


@function
def enter(x, sample, latents, dim, lanes, out):
    """Latents (latents, dim) of a sample as (dim, lanes)."""
    for n in range(latents):
        for c in range(dim):
            out[c * lanes + n] = x[sample, n, c]


@function
def leave(x, sample, latents, dim, lanes, out):
    """The opposite of `enter`."""
    for n in range(latents):
        for c in range(dim):
            out[sample, n, c] = x[c * lanes + n]
