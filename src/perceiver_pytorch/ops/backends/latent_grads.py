"""Gradients of what `latent_loops.forward` computes, in a compiled loop: `backward`; then `latent_weights` sums up.

A sample's gradient goes through the steps in reverse. A step is computed once more from the latents that it began with.
What gradients of weights are made of is left in ``work``, each sample's share after the other's; where in it, a `Place`
says.
"""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from perceiver_pytorch.ops.backends import latent_loops
from perceiver_pytorch.ops.backends.latent_loops import (
    ADD,
    ATTENTION,
    GEGLU,
    KEEP,
    attend,
    make_scratch,
    queries_keys_values,
    read_step,
    weigh_norm,
    widen,
)
from perceiver_pytorch.ops.backends.latent_math import (
    Product,
    add_to,
    columns,
    copy,
    enter,
    leave,
    matmul,
    normal_distribution,
    standardise,
)
from perceiver_pytorch.ops.backends.loops import function, loop
from perceiver_pytorch.ops.backends.simd import (
    WIDTH,
    add,
    at_least,
    fma,
    keep_each,
    load,
    multiply,
    number_at,
    splat,
    store,
    subtract,
    take,
    total,
)

DENSITY = np.float32(0.3989422804014327)  # of the normal distribution at 0


class Place(NamedTuple):
    """Where a part's arrays begin in a sample's share of `work`, in numbers.

    ``wide`` (rows, lanes): gradients of what its first weights, and those of keys and values, give.
    ``out`` (dim, lanes): of what its last weights give.
    ``normal`` (latents, whole vectors of dim), ``inside`` (latents, whole vectors of the width): what both read.
    ``sums``: gradients of the norm's weight and bias, of the last bias (dim each) and of the first (rows).
    """

    wide: int
    out: int
    normal: int
    inside: int
    sums: int


class Back(NamedTuple):
    """A thread's memory besides `latent_loops.Scratch`, each (channels, lanes) in one dimension, or (lanes,)."""

    grad: np.ndarray
    kept: np.ndarray
    plain: np.ndarray
    change: np.ndarray
    more: np.ndarray
    inside: np.ndarray
    scores: np.ndarray
    turned: np.ndarray
    real: np.ndarray


@function
def _place(numbers):
    return Place(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])


def room(dim, latents, widest):
    """Float32 numbers of memory that a thread takes."""
    back = (5 * dim + widest + 2 * latents + 1) * columns.py_func(latents)
    return latent_loops.room(dim, latents, widest) + back


@function
def _back(memory, dim, latents, widest):
    lanes = columns(latents)
    size = dim * lanes
    scores = 5 * size + widest * lanes
    turned = scores + latents * lanes
    real = turned + latents * lanes
    memory[:size] = 0.0  # lanes of no latent, which nobody writes
    memory[turned : real + lanes] = 0.0
    memory[real : real + latents] = 1.0
    return Back(
        memory[:size], memory[size : 2 * size], memory[2 * size : 3 * size], memory[3 * size : 4 * size],
        memory[4 * size : 5 * size], memory[5 * size : scores], memory[scores:turned], memory[turned:real],
        memory[real : real + lanes],
    )  # fmt: skip


@function
def _turn(x, rows, latents, lanes, out, to, stride):
    """(rows, lanes) as (latents, stride)."""
    for row in range(rows):
        for n in range(latents):
            out[to + n * stride + row] = x[row * lanes + n]


@function
def _sum_lanes(x, begin, rows, lanes, real, work, to):
    """``work[to + row]``: the sum of a row of ``x``, of lanes that hold a latent."""
    for row in range(rows):
        numbers = splat(np.float32(0.0))
        for lane in range(0, lanes, WIDTH):
            (value,) = keep_each(load(real, lane), (load(x, begin + row * lanes + lane),))
            numbers = add(numbers, value)
        work[to + row] = total(numbers)


@function
def _softmax_back(weights, grads, latents, lanes, scale):
    """Gradients of scores (keys, queries), in place of those of weights."""
    factor = splat(np.float32(scale))
    for lane in range(0, lanes, WIDTH):
        mean = splat(np.float32(0.0))
        for i in range(lane, latents * lanes, lanes):
            mean = fma(load(weights, i), load(grads, i), mean)
        for i in range(lane, latents * lanes, lanes):
            about = subtract(load(grads, i), mean)
            store(grads, i, multiply(multiply(load(weights, i), factor), about))


@function
def _attention_back(step, place, dim, latents, lanes, scratch, back, work, tile, pair):
    """From ``back.grad`` to gradients of queries, keys and values (``work``) and of normalised latents
    (``back.change``)."""
    inner, wide = step.heads * step.width, place.wide
    queries_keys_values(step, dim, lanes, scratch, tile, pair)
    queries, mixed = np.int64(scratch.wide.ctypes.data), np.int64(back.inside.ctypes.data)
    matmul(Product(step.last, 1, inner, inner, dim, 0, 0, 0), back.grad, back.inside, lanes, tile, pair)
    for head in range(step.heads):
        begin = head * step.width * lanes
        keys, values = attend(step, head, latents, lanes, scratch, tile, pair)
        weights, scores, turned = scratch.scores, back.scores, back.turned
        rows = step.width
        matmul(Product(values, 1, lanes, latents, rows, begin, 0, 0), back.inside, scores, lanes, tile, pair)
        _turn(weights, latents, latents, lanes, turned, 0, lanes)
        of_values = wide + 2 * inner * lanes + begin
        matmul(Product(mixed + 4 * begin, lanes, 1, rows, latents, 0, of_values, 0), turned, work, lanes, tile, pair)
        _softmax_back(weights, scores, latents, lanes, step.width**-0.5)
        matmul(Product(keys, lanes, 1, rows, latents, 0, wide + begin, 0), scores, work, lanes, tile, pair)
        _turn(scores, latents, latents, lanes, turned, 0, lanes)
        of_keys = wide + inner * lanes + begin
        matmul(Product(queries + 4 * begin, lanes, 1, rows, latents, 0, of_keys, 0), turned, work, lanes, tile, pair)
    _turn(scratch.mixed, inner, latents, lanes, work, place.inside, columns(inner))
    matmul(Product(step.first, 1, dim, dim, inner, wide, 0, 0), work, back.change, lanes, tile, pair)
    both = Product(step.second, 1, dim, dim, 2 * inner, wide + inner * lanes, 0, 0)
    matmul(both, work, back.more, lanes, tile, pair)
    add_to(back.change, back.more)


@function
def _feed_back(step, place, dim, latents, lanes, scratch, back, work, tile, pair):
    """From ``back.grad`` to gradients of what goes into the activation (``work``) and of normalised latents
    (``back.change``)."""
    width, wide, inside = step.width, scratch.wide, back.inside
    gates = width * lanes if step.kind == GEGLU else 0
    widen(step, dim, lanes, scratch, tile, pair)
    matmul(Product(step.last, 1, width, width, dim, 0, 0, 0), back.grad, inside, lanes, tile, pair)
    zero, one = splat(np.float32(0.0)), splat(np.float32(1.0))
    for i in range(0, width * lanes, WIDTH):
        gate, grad = load(wide, gates + i), load(inside, i)
        tail, power = normal_distribution(gate)
        size = at_least(gate, subtract(zero, gate))
        value = subtract(at_least(gate, zero), multiply(size, tail))
        # Φ(gate), by the sign: 1 - tail or tail.
        share = _where_negative(gate, tail, subtract(one, tail))
        slope = fma(multiply(gate, splat(DENSITY)), power, share)
        if gates > 0:
            other = load(wide, i)
            store(wide, i, multiply(other, value))
            store(work, place.wide + i, multiply(grad, value))
            store(work, place.wide + gates + i, multiply(multiply(grad, other), slope))
        else:
            store(wide, i, value)
            store(work, place.wide + i, multiply(grad, slope))
    rows = 2 * width if gates > 0 else width
    _turn(wide, width, latents, lanes, work, place.inside, columns(width))
    matmul(Product(step.first, 1, dim, dim, rows, place.wide, 0, 0), work, back.change, lanes, tile, pair)
    if step.first_bias != 0:
        _sum_lanes(work, place.wide, rows, lanes, back.real, work, place.sums + 3 * dim)


@intrinsic
def _where_negative(typing, x, yes, no):
    """``yes`` where ``x`` is below zero, else ``no``."""

    def generate(context, builder, signature, values):
        below = builder.fcmp_ordered("<", values[0], ir.Constant(values[0].type, [0.0] * values[0].type.count))
        return builder.select(below, values[1], values[2])

    return yes(x, yes, no), generate


@function
def _norm_back(step, place, dim, lanes, scratch, back, work):
    """From ``back.change`` to gradients of the norm (``work``) and of the latents, added to ``back.grad``."""
    plain, change, sums = back.plain, back.change, place.sums
    if step.norm_bias != 0:
        _sum_lanes(change, 0, dim, lanes, back.real, work, sums + dim)
    if step.norm_weight != 0:
        for i in range(0, dim * lanes, WIDTH):
            store(back.more, i, multiply(load(change, i), load(plain, i)))
        _sum_lanes(back.more, 0, dim, lanes, back.real, work, sums)
        for c in range(dim):
            weight = splat(number_at(step.norm_weight, c))
            for i in range(c * lanes, (c + 1) * lanes, WIDTH):
                store(change, i, multiply(load(change, i), weight))
    inverse = splat(np.float32(1.0 / dim))
    for lane in range(0, lanes, WIDTH):
        mean, slope = splat(np.float32(0.0)), splat(np.float32(0.0))
        for i in range(lane, dim * lanes, lanes):
            mean = add(mean, load(change, i))
            slope = fma(load(change, i), load(plain, i), slope)
        mean, slope = multiply(mean, inverse), multiply(slope, inverse)
        factor = load(scratch.factors, lane)
        for i in range(lane, dim * lanes, lanes):
            about = subtract(subtract(load(change, i), mean), multiply(load(plain, i), slope))
            store(back.grad, i, fma(about, factor, load(back.grad, i)))


@function
def _part_back(step, place, eps, dim, latents, lanes, scratch, back, work, tile, pair):
    """From the gradient of what a part gives, with its residual, to that of ``scratch.x``, which it reads."""
    standardise(scratch.x, eps, dim, lanes, back.plain, scratch.factors)
    weigh_norm(back.plain, step, dim, lanes, scratch.normal)
    _turn(scratch.normal, dim, latents, lanes, work, place.normal, columns(dim))
    copy(back.grad, work, place.out)
    if step.last_bias != 0:
        _sum_lanes(back.grad, 0, dim, lanes, back.real, work, place.sums + 2 * dim)
    if step.kind == ATTENTION:
        _attention_back(step, place, dim, latents, lanes, scratch, back, work, tile, pair)
    else:
        _feed_back(step, place, dim, latents, lanes, scratch, back, work, tile, pair)
    _norm_back(step, place, dim, lanes, scratch, back, work)


@loop
def backward(counter, memory, grad, out, states, steps, eps, widest, places, work, tile, pair):
    """From the gradient (batch, latents, dim) of what `forward` gives to that of what it reads, ``out``.

    ``states`` are those of `forward`, ``places`` (parts, 5) as `Place`, ``work`` (batch, share).
    """
    batch, latents, dim = grad.shape
    lanes = columns(latents)
    scratch = make_scratch(memory, dim, latents, widest)
    back = _back(scratch.rest, dim, latents, widest)
    while True:
        sample = take(counter)
        if sample >= batch:
            return
        enter(grad, sample, latents, dim, lanes, back.grad)
        part = places.shape[0]
        for i in range(steps.shape[0] - 1, -1, -1):
            step = read_step(steps[i])
            if step.kind == ADD:
                copy(back.grad, back.kept, 0)
            elif step.kind == KEEP:
                add_to(back.grad, back.kept)
            else:
                part -= 1
                enter(states[part], sample, latents, dim, lanes, scratch.x)
                place = _place(places[part])
                _part_back(step, place, eps[i], dim, latents, lanes, scratch, back, work[sample], tile, pair)
        leave(back.grad, sample, latents, dim, lanes, out)
