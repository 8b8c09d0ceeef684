"""Gradients of the weights of latents' parts, of what `latent_grads.backward` leaves: `weights`, for a (rows, columns)

    out[row, column] = Σ_share Σ_latent g[share, row, latent] x[share, latent, column]

with ``g`` the gradient of what the weight gave and ``x`` what it read, turned so that columns are lanes. A weight that
several steps or layers use has all of them in its sum. The order is fixed, whatever the number of threads.
"""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from perceiver_pytorch.ops.backends.latent_math import columns
from perceiver_pytorch.ops.backends.loops import function, loop
from perceiver_pytorch.ops.backends.simd import (
    WIDTH,
    fma_each,
    number_at,
    splat_from,
    store_each,
    take,
    vector,
    zero_each,
)


class Job(NamedTuple):
    """Some rows of a gradient that lies at an address; ``columns`` 0: of a vector, whose samples are summed up.

    ``begin`` to ``end``: the uses of the weight, each with the places of ``g`` and ``x``.
    """

    to: int
    row: int
    stop: int
    columns: int
    begin: int
    end: int


@intrinsic
def store_at(typing, address, index, value):
    """Writes a float32 number or a vector of them behind an address, ``index`` numbers further."""

    def generate(context, builder, signature, values):
        position = context.cast(builder, values[1], signature.args[1], types.intp)
        begin = builder.gep(builder.inttoptr(values[0], ir.FloatType().as_pointer()), [position])
        builder.store(values[2], builder.bitcast(begin, values[2].type.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(types.int64, index, value), generate


@intrinsic
def load_at(typing, address, index):
    """A vector behind an address, ``index`` numbers further."""

    def generate(context, builder, signature, values):
        position = context.cast(builder, values[1], signature.args[1], types.intp)
        begin = builder.gep(builder.inttoptr(values[0], ir.FloatType().as_pointer()), [position])
        value = builder.load(builder.bitcast(begin, context.get_value_type(vector).as_pointer()))
        value.align = 4
        return value

    return vector(types.int64, index), generate


@intrinsic
def store_each_at(typing, address, index, stride, xs):
    """Writes a tuple of vectors behind an address: to ``index``, ``index + stride``, ..."""

    def generate(context, builder, signature, values):
        position, step = (context.cast(builder, values[i], signature.args[i], types.intp) for i in (1, 2))
        begin = builder.inttoptr(values[0], ir.FloatType().as_pointer())
        for i in range(xs.count):
            value = builder.extract_value(values[3], i)
            address = builder.bitcast(builder.gep(begin, [position]), value.type.as_pointer())
            builder.store(value, address).align = 4
            position = builder.add(position, step)
        return context.get_dummy_value()

    return types.void(types.int64, index, stride, xs), generate


@function
def _job(numbers):
    return Job(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5])


@function
def _rows(job, row, uses, shares, latents, lanes, tile, tail):
    """A few rows of a weight's gradient."""
    width = columns(job.columns)
    for column in range(0, width, 2 * WIDTH):
        first, second = zero_each(tile), zero_each(tile)
        beside = WIDTH if column + WIDTH < width else 0  # the last vector may be computed twice
        for share in shares:
            for use in range(job.begin, job.end):
                g = share + 4 * (uses[use, 0] + row * lanes)
                x = share + 4 * (uses[use, 1] + column)
                for n in range(latents):
                    numbers = splat_from(g, n, lanes, tile)
                    first = fma_each(load_at(x, n * width), numbers, first)
                    second = fma_each(load_at(x, n * width + beside), numbers, second)
        _leave_rows(job, row, column, first, tail)
        if beside > 0:
            _leave_rows(job, row, column + beside, second, tail)


@function
def _leave_rows(job, row, column, values, tail):
    begin = row * job.columns + column
    if column + WIDTH <= job.columns:
        store_each_at(job.to, begin, job.columns, values)
        return
    store_each(tail, 0, WIDTH, values)
    for i in range(len(values)):
        for c in range(job.columns - column):
            store_at(job.to, begin + i * job.columns + c, tail[i * WIDTH + c])


def room(tile):
    """Float32 numbers of memory that a thread takes: for vectors that reach beyond a row."""
    return len(tile) * WIDTH


@loop
def weights(counter, memory, jobs, uses, shares, latents, tile):
    """Gradients of weights, of what `backward` left at the addresses ``shares``: each a sample's share of ``work``.

    ``jobs`` (jobs, 6) as `Job`, ``uses`` (uses, 2).
    """
    lanes = columns(latents)
    while True:
        number = take(counter)
        if number >= jobs.shape[0]:
            return
        job = _job(jobs[number])
        if job.columns == 0:
            for row in range(job.row, job.stop):
                value = np.float32(0.0)
                for share in shares:
                    for use in range(job.begin, job.end):
                        value += number_at(share, uses[use, 0] + row)
                store_at(job.to, row, value)
        elif job.stop - job.row < len(tile):
            for row in range(job.row, job.stop):
                _rows(job, row, uses, shares, latents, lanes, (0,), memory)
        else:
            for row in range(job.row, job.stop, len(tile)):  # the last ones may be computed twice
                _rows(job, min(row, job.stop - len(tile)), uses, shares, latents, lanes, tile, memory)
