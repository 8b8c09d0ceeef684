"""Few and narrow latents through the parts of a layer, in one compiled loop: `forward`.

A latent is a lane of a vector: an array of channels is ``(channels, lanes)``, with as many lanes as the latents of one
sample take in whole vectors. Every product is then

    out[row, lane] = Σ_k a[row, k] b[k, lane]

with ``a`` a weight as PyTorch has it, keys or values, each number of which is read once and spread over a vector. Norms
and softmax go along the channels, lane by lane. Lanes without a latent hold finite numbers that no other lane reads.

A *step* is a line of integers: what it is, sizes, and the addresses of its weights; `perceiver_pytorch.ops.latents`
writes them.
"""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

from typing import NamedTuple

import numpy as np

from perceiver_pytorch.ops.backends.loops import function, loop
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
    number_at,
    splat,
    splat_from,
    square_root,
    store,
    store_each,
    subtract,
    take,
    zero_each,
)

ATTENTION, GEGLU, GELU, KEEP, ADD = range(5)
"""Kinds of steps: parts of a block; keeping the latents, and adding what was kept."""

LOG2_E = np.float32(1.4426950408889634)
LOWEST = np.float32(-126.0)

# erfc(z) = t (ERFC[0] + t (ERFC[1] + ...)) exp(-z²) with t = 1 / (1 + SLOPE z), to 1.5e-7 (Abramowitz, Stegun: 7.1.26).
SLOPE = np.float32(0.3275911)
ERFC = tuple(np.float32(c) for c in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))
ROOT_HALF = np.float32(0.7071067811865476)


class Step(NamedTuple):
    """What to do: sizes, and the addresses of weights (0: there is none).

    An attention has ``heads`` of ``width`` channels, its weights are ``(heads width, dim)`` of the queries, twice as
    many rows of keys and values, and ``(dim, heads width)`` with a bias. A feed-forward part is ``width`` wide inside:
    its weights are (``width`` or twice that, dim) with a bias, and ``(dim, width)`` with a bias.
    """

    kind: int
    heads: int
    width: int
    norm_weight: int
    norm_bias: int
    first: int
    first_bias: int
    second: int
    last: int
    last_bias: int


class Scratch(NamedTuple):
    """A thread's memory, each (channels, lanes) in one dimension."""

    x: np.ndarray
    kept: np.ndarray
    normal: np.ndarray
    wide: np.ndarray
    mixed: np.ndarray
    scores: np.ndarray


@function
def _scratch(steps, dim, latents, lanes):
    wide, mixed, scores = 0, 0, 0
    for i in range(steps.shape[0]):
        step = _step(steps[i])
        if step.kind == ATTENTION:
            wide, mixed = max(wide, 3 * step.heads * step.width), max(mixed, step.heads * step.width)
            scores = latents
        elif step.kind == GEGLU:
            wide = max(wide, 2 * step.width)
        elif step.kind == GELU:
            wide = max(wide, step.width)
    return Scratch(
        np.zeros(dim * lanes, np.float32), np.empty(dim * lanes, np.float32), np.empty(dim * lanes, np.float32),
        np.empty(wide * lanes, np.float32), np.empty(mixed * lanes, np.float32), np.empty(scores * lanes, np.float32),
    )  # fmt: skip


@function
def _step(numbers):
    return Step(
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6], numbers[7], numbers[8],
        numbers[9],
    )  # fmt: skip


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
def _product(product, b, out, lanes, tile, pair):
    if product.rows < len(tile):
        for row in range(product.rows):
            _rows(product, row, b, out, lanes, (0,), pair)
        return
    for row in range(0, product.rows, len(tile)):  # the last ones may be computed twice
        _rows(product, min(row, product.rows - len(tile)), b, out, lanes, tile, pair)


@function
def _normalise(x, step, eps, dim, lanes, out):
    """Layer norm of each lane."""
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
        for c in range(dim):
            value = multiply(subtract(load(x, c * lanes + lane), mean), factor)
            if step.norm_weight != 0:
                value = multiply(value, splat(number_at(step.norm_weight, c)))
            if step.norm_bias != 0:
                value = add(value, splat(number_at(step.norm_bias, c)))
            store(out, c * lanes + lane, value)


@function
def _softmax(scores, latents, lanes, scale):
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
def _gelu(x):
    """``x Φ(x) = max(x, 0) - |x| erfc(|x| / √2) / 2``."""
    one, zero = splat(np.float32(1.0)), splat(np.float32(0.0))
    size = at_least(x, subtract(zero, x))
    z = multiply(size, splat(ROOT_HALF))
    t = divide(one, fma(z, splat(SLOPE), one))
    power = multiply(multiply(z, z), splat(-LOG2_E))
    tail = splat(ERFC[4])
    tail = fma(tail, t, splat(ERFC[3]))
    tail = fma(tail, t, splat(ERFC[2]))
    tail = fma(tail, t, splat(ERFC[1]))
    tail = fma(tail, t, splat(ERFC[0]))
    tail = multiply(multiply(tail, t), exp2(at_least(power, splat(LOWEST))))
    return subtract(at_least(x, zero), multiply(multiply(size, splat(np.float32(0.5))), tail))


@function
def _attend(step, dim, latents, lanes, scratch, tile, pair):
    """Self-attention of normalised latents; what is to be added to them ends up in their place."""
    inner, normal, wide, scores = step.heads * step.width, scratch.normal, scratch.wide, scratch.scores
    _product(Product(step.first, dim, 1, inner, dim, 0, 0, 0), normal, wide, lanes, tile, pair)
    _product(Product(step.second, dim, 1, 2 * inner, dim, 0, inner * lanes, 0), normal, wide, lanes, tile, pair)
    for head in range(step.heads):
        query = head * step.width * lanes
        keys = np.int64(wide.ctypes.data) + 4 * (inner * lanes + query)
        values = keys + 4 * inner * lanes
        _product(Product(keys, 1, lanes, latents, step.width, query, 0, 0), wide, scores, lanes, tile, pair)
        _softmax(scores, latents, lanes, step.width**-0.5)
        weighted = Product(values, lanes, 1, step.width, latents, 0, query, 0)
        _product(weighted, scores, scratch.mixed, lanes, tile, pair)
    last = Product(step.last, inner, 1, dim, inner, 0, 0, step.last_bias)
    _product(last, scratch.mixed, normal, lanes, tile, pair)


@function
def _feed(step, dim, lanes, scratch, tile, pair):
    """A feed-forward part of normalised latents; what is to be added to them ends up in their place."""
    width, wide = step.width, scratch.wide
    gates = width * lanes if step.kind == GEGLU else 0
    rows = 2 * width if step.kind == GEGLU else width
    widen = Product(step.first, dim, 1, rows, dim, 0, 0, step.first_bias)
    _product(widen, scratch.normal, wide, lanes, tile, pair)
    for i in range(0, width * lanes, WIDTH):
        value = _gelu(load(wide, gates + i))
        store(wide, i, multiply(load(wide, i), value) if gates > 0 else value)
    narrow = Product(step.last, width, 1, dim, width, 0, 0, step.last_bias)
    _product(narrow, wide, scratch.normal, lanes, tile, pair)


@function
def _add(x, more):
    for i in range(0, x.shape[0], WIDTH):
        store(x, i, add(load(x, i), load(more, i)))


@loop
def forward(counter, x, out, steps, eps, tile, pair):
    """Takes latents (batch, latents, dim) through the steps.

    ``tile`` has an entry per row of a product that is computed at once, ``pair`` one if two vectors of lanes are.
    """
    batch, latents, dim = x.shape
    lanes = (latents + WIDTH - 1) // WIDTH * WIDTH
    scratch = _scratch(steps, dim, latents, lanes)
    while True:
        sample = take(counter)
        if sample >= batch:
            return
        for n in range(latents):
            for c in range(dim):
                scratch.x[c * lanes + n] = x[sample, n, c]
        for i in range(steps.shape[0]):
            step = _step(steps[i])
            if step.kind == KEEP:
                scratch.kept[:] = scratch.x
            elif step.kind == ADD:
                _add(scratch.x, scratch.kept)
            else:
                _normalise(scratch.x, step, eps[i], dim, lanes, scratch.normal)
                if step.kind == ATTENTION:
                    _attend(step, dim, latents, lanes, scratch, tile, pair)
                else:
                    _feed(step, dim, lanes, scratch, tile, pair)
                _add(scratch.x, scratch.normal)
        for n in range(latents):
            for c in range(dim):
                out[sample, n, c] = scratch.x[c * lanes + n]
