"""Few and narrow latents through the parts of a layer, in one compiled loop: `forward`.

A latent is a lane of a vector, see `latent_math`. A *step* is a line of integers: what it is, sizes, and the addresses
of its weights; `perceiver_pytorch.ops.latent_steps` writes them. Gradients: `latent_grads`.
"""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

from typing import NamedTuple

import numpy as np

from perceiver_pytorch.ops.backends.latent_math import (
    Product,
    add_to,
    columns,
    copy,
    enter,
    gelu,
    leave,
    matmul,
    softmax,
    standardise,
)
from perceiver_pytorch.ops.backends.loops import function, loop
from perceiver_pytorch.ops.backends.simd import WIDTH, fma, load, multiply, number_at, splat, store, take

ATTENTION, GEGLU, GELU, KEEP, ADD = range(5)
"""Kinds of steps: parts of a block; keeping the latents, and adding what was kept."""


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
    """A thread's memory, each (channels, lanes) in one dimension.

    ``wide`` and ``mixed`` have as many channels as the widest part has inside, queries, keys and values together.
    ``rest`` is behind all of it.
    """

    x: np.ndarray
    kept: np.ndarray
    normal: np.ndarray
    wide: np.ndarray
    mixed: np.ndarray
    scores: np.ndarray
    factors: np.ndarray
    rest: np.ndarray


def room(dim, latents, widest):
    """Float32 numbers of memory that `Scratch` takes."""
    return (3 * dim + 2 * widest + latents + 1) * columns.py_func(latents)


@function
def make_scratch(memory, dim, latents, widest):
    lanes = columns(latents)
    size, wide = dim * lanes, widest * lanes
    scores = 3 * size + 2 * wide
    factors = scores + latents * lanes
    memory[:size] = 0.0  # lanes of no latent, which nobody writes
    return Scratch(
        memory[:size], memory[size : 2 * size], memory[2 * size : 3 * size], memory[3 * size : 3 * size + wide],
        memory[3 * size + wide : scores], memory[scores:factors], memory[factors : factors + lanes],
        memory[factors + lanes :],
    )  # fmt: skip


@function
def read_step(numbers):
    return Step(
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6], numbers[7], numbers[8],
        numbers[9],
    )  # fmt: skip


@function
def weigh_norm(plain, step, dim, lanes, out):
    """Layer norm with the weights that there are; ``out`` may be ``plain``."""
    for c in range(dim):
        weight, bias = splat(np.float32(1.0)), splat(np.float32(0.0))
        if step.norm_weight != 0:
            weight = splat(number_at(step.norm_weight, c))
        if step.norm_bias != 0:
            bias = splat(number_at(step.norm_bias, c))
        for i in range(c * lanes, (c + 1) * lanes, WIDTH):
            store(out, i, fma(load(plain, i), weight, bias))


@function
def queries_keys_values(step, dim, lanes, scratch, tile, pair):
    """Of normalised latents: ``scratch.wide``, (3 heads width, lanes)."""
    inner, normal, wide = step.heads * step.width, scratch.normal, scratch.wide
    matmul(Product(step.first, dim, 1, inner, dim, 0, 0, 0), normal, wide, lanes, tile, pair)
    matmul(Product(step.second, dim, 1, 2 * inner, dim, 0, inner * lanes, 0), normal, wide, lanes, tile, pair)


@function
def attend(step, head, latents, lanes, scratch, tile, pair):
    """A head's share of ``scratch.mixed``; its weights are in ``scratch.scores``, (keys, queries).

    Returns:
        the addresses of its keys and values.
    """
    inner, wide, scores = step.heads * step.width, scratch.wide, scratch.scores
    query = head * step.width * lanes
    keys = np.int64(wide.ctypes.data) + 4 * (inner * lanes + query)
    values = keys + 4 * inner * lanes
    matmul(Product(keys, 1, lanes, latents, step.width, query, 0, 0), wide, scores, lanes, tile, pair)
    softmax(scores, latents, lanes, step.width**-0.5)
    matmul(Product(values, lanes, 1, step.width, latents, 0, query, 0), scores, scratch.mixed, lanes, tile, pair)
    return keys, values


@function
def _attention(step, dim, latents, lanes, scratch, tile, pair):
    """Self-attention of normalised latents; what is to be added to them ends up in their place."""
    inner = step.heads * step.width
    queries_keys_values(step, dim, lanes, scratch, tile, pair)
    for head in range(step.heads):
        attend(step, head, latents, lanes, scratch, tile, pair)
    last = Product(step.last, inner, 1, dim, inner, 0, 0, step.last_bias)
    matmul(last, scratch.mixed, scratch.normal, lanes, tile, pair)


@function
def widen(step, dim, lanes, scratch, tile, pair):
    """A feed-forward part of normalised latents up to its activation: ``scratch.wide``."""
    rows = 2 * step.width if step.kind == GEGLU else step.width
    first = Product(step.first, dim, 1, rows, dim, 0, 0, step.first_bias)
    matmul(first, scratch.normal, scratch.wide, lanes, tile, pair)


@function
def _feed(step, dim, lanes, scratch, tile, pair):
    """A feed-forward part of normalised latents; what is to be added to them ends up in their place."""
    width, wide = step.width, scratch.wide
    gates = width * lanes if step.kind == GEGLU else 0
    widen(step, dim, lanes, scratch, tile, pair)
    for i in range(0, width * lanes, WIDTH):
        value = gelu(load(wide, gates + i))
        store(wide, i, multiply(load(wide, i), value) if gates > 0 else value)
    narrow = Product(step.last, width, 1, dim, width, 0, 0, step.last_bias)
    matmul(narrow, wide, scratch.normal, lanes, tile, pair)


@loop
def forward(counter, memory, x, out, states, steps, eps, widest, tile, pair):
    """Takes latents (batch, latents, dim) through the steps.

    ``states`` (parts, batch, latents, dim) gets what each part begins with, if there is room for it. ``widest`` as in
    `Scratch`. ``tile`` has an entry per row of a product that is computed at once, ``pair`` one if two vectors of lanes
    are.
    """
    batch, latents, dim = x.shape
    lanes = columns(latents)
    scratch = make_scratch(memory, dim, latents, widest)
    while True:
        sample = take(counter)
        if sample >= batch:
            return
        enter(x, sample, latents, dim, lanes, scratch.x)
        part = 0
        for i in range(steps.shape[0]):
            step = read_step(steps[i])
            if step.kind == KEEP:
                copy(scratch.x, scratch.kept, 0)
            elif step.kind == ADD:
                add_to(scratch.x, scratch.kept)
            else:
                if part < states.shape[0]:
                    leave(scratch.x, sample, latents, dim, lanes, states[part])
                    part += 1
                standardise(scratch.x, eps[i], dim, lanes, scratch.normal, scratch.factors)
                weigh_norm(scratch.normal, step, dim, lanes, scratch.normal)
                if step.kind == ATTENTION:
                    _attention(step, dim, latents, lanes, scratch, tile, pair)
                else:
                    _feed(step, dim, lanes, scratch, tile, pair)
                add_to(scratch.x, scratch.normal)
        leave(scratch.x, sample, latents, dim, lanes, out)
