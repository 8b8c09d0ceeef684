"""Vectors of float32 for kernels that Numba compiles.

Numba leaves it to LLVM whether a loop becomes vector instructions, and how. Here a kernel says so itself: `load` reads
`WIDTH` numbers of a one-dimensional array into one value of type `vector`, and the functions below take and give such
values, element by element. A kernel stays Python and gives the same bits whatever LLVM makes of the loop around it.
Functions that end in ``_each`` work on a tuple of vectors, which LLVM keeps in registers.

A processor begins two operations a cycle and has the result of each four cycles later, so it needs work that does not
wait for one another. A *block* is that: `BLOCK` vectors that go through every operation together. What works element by
element takes a block as well as a vector, and a vector beside a block stands for each vector of the block.

No function checks bounds.

Numba's own settings choose another processor to compile for, and with it the width: ``NUMBA_CPU_NAME=haswell
NUMBA_CPU_FEATURES=+avx2,+fma`` makes what a processor without AVX-512 would run.
"""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

import platform
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic, models, register_model

if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set, so that Numba compiles nothing")

_FEATURES: str = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
WIDTH = 16 if "+avx512f" in _FEATURES.split(",") else 8
# As many as hide the latency and have room in the registers. AVX2 has 16 of 8 numbers. AVX-512 has 32 of 16, which take
# two cycles each. aarch64 has 32 of 4 numbers, half a vector.
BLOCK = 4 if WIDTH == 8 and platform.machine() in ("x86_64", "AMD64") else 2

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_VECTOR, _INTS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)
_BLOCK = ir.VectorType(_FLOAT, WIDTH * BLOCK)

# Coefficients of 2^x on [-1/2, 1/2]: the polynomial of degree 5 whose largest relative error is least (7.5e-8), found
# by reweighted least squares.
_EXP2 = (1.0000000716505317, 0.6931469670535166, 0.24022119742875414, 0.05550713310293658, 0.00967554036336588,
         0.0013276454589556507)  # fmt: skip


class VectorType(types.Type):
    """`WIDTH` float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{WIDTH}")


class BlockType(types.Type):
    """`BLOCK` vectors."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{WIDTH}x{BLOCK}")


vector, block = VectorType(), BlockType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _VECTOR)


@register_model(BlockType)
class _BlockModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _BLOCK)


def _like(builder: ir.IRBuilder, value: ir.Value, kind: ir.Type) -> ir.Value:
    """A vector, as often as a value of this type has vectors."""
    if value.type == kind:
        return value
    again = ir.Constant(ir.VectorType(_INT, kind.count), list(range(WIDTH)) * BLOCK)
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), again)


def _parts(builder: ir.IRBuilder, value: ir.Value) -> list[ir.Value]:
    """The vectors of a block, or the one vector."""
    undefined = ir.Constant(value.type, ir.Undefined)
    starts = range(0, value.type.count, WIDTH)
    return [builder.shuffle_vector(value, undefined, ir.Constant(_INTS, list(range(i, i + WIDTH)))) for i in starts]


def _constant(value: float, kind: ir.Type = _VECTOR) -> ir.Constant:
    return ir.Constant(kind, [float(np.float32(value))] * kind.count)


def _splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, _INT(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * WIDTH))


def _llvm(builder: ir.IRBuilder, name: str, arguments: Sequence[ir.Value]) -> ir.Value:
    """Calls an LLVM function that exists for vectors."""
    kind = arguments[0].type
    full = f"llvm.{name}.v{kind.count}f32"
    function = builder.module.globals.get(full)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(kind, [kind] * len(arguments)), full)
    return builder.call(function, arguments)


def _fma(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    # Two operations where a processor has no fused one, instead of a call.
    return _llvm(builder, "fmuladd", (x, y, z))


def _address(context: Any, builder: ir.IRBuilder, array_type: Any, array: ir.Value, index: ir.Value) -> ir.Value:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _intp(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value], position: int) -> ir.Value:
    return context.cast(builder, values[position], signature.args[position], types.intp)


def _read(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type = _VECTOR) -> ir.Value:
    value = builder.load(builder.bitcast(address, kind.as_pointer()))
    value.align = 4
    return value


def _elementwise(count: int, emit: Callable[..., ir.Value]) -> Any:
    """A function of ``count`` vectors or blocks that gives a vector, or a block if one of them is."""

    def make(*kinds: types.Type) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
            kind = context.get_value_type(signature.return_type)
            return emit(builder, *(_like(builder, value, kind) for value in values))

        return (block if block in kinds else vector)(*kinds), generate

    if count == 1:
        return intrinsic(lambda typing, x: make(x))
    if count == 2:
        return intrinsic(lambda typing, x, y: make(x, y))
    return intrinsic(lambda typing, x, y, z: make(x, y, z))


def _select(comparison: str) -> Callable[..., ir.Value]:
    # The second operand only where the comparison holds: NaN in the first passes through.
    return lambda builder, x, y: builder.select(builder.fcmp_ordered(comparison, x, y), y, x)


def _exp2(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    integers = ir.VectorType(_INT, x.type.count)
    whole = _llvm(builder, "rint", (x,))
    fraction = builder.fsub(x, whole)
    power = _constant(_EXP2[-1], x.type)
    for coefficient in reversed(_EXP2[:-1]):
        power = _fma(builder, power, fraction, _constant(coefficient, x.type))
    exponent = builder.shl(builder.fptosi(whole, integers), ir.Constant(integers, [23] * integers.count))
    return builder.bitcast(builder.add(builder.bitcast(power, integers), exponent), x.type)


add = _elementwise(2, lambda builder, x, y: builder.fadd(x, y))
subtract = _elementwise(2, lambda builder, x, y: builder.fsub(x, y))
multiply = _elementwise(2, lambda builder, x, y: builder.fmul(x, y))
divide = _elementwise(2, lambda builder, x, y: builder.fdiv(x, y))
square_root = _elementwise(1, lambda builder, x: _llvm(builder, "sqrt", (x,)))
at_least = _elementwise(2, _select("<"))  # at_least(x, y): the larger; NaN if x is
at_most = _elementwise(2, _select(">"))
fma = _elementwise(3, _fma)  # x * y + z
exp2 = _elementwise(1, _exp2)  # for -126 <= x <= 126; outside, anything


@intrinsic
def load(typing, array, index):
    """``array[index : index + WIDTH]``."""

    def generate(context, builder, signature, values):
        position = _intp(context, builder, signature, values, 1)
        return _read(builder, _address(context, builder, signature.args[0], values[0], position))

    return vector(array, index), generate


@intrinsic
def load_like(typing, array, index, like):
    """As many numbers as ``like`` has, a vector or a block, from ``array[index]`` on."""

    def generate(context, builder, signature, values):
        position = _intp(context, builder, signature, values, 1)
        address = _address(context, builder, signature.args[0], values[0], position)
        return _read(builder, address, values[2].type)

    return like(array, index, like), generate


@intrinsic
def read_again(typing, index, like):
    """The same index. Where there are too few registers for blocks of as many channels as ``like`` has entries, the
    compiler takes it for another one, and reads again what is there instead of putting it aside."""
    are_enough = WIDTH == 16 and like.count <= 4

    def generate(context, builder, signature, values):
        kind = values[0].type
        return values[0] if are_enough else builder.asm(ir.FunctionType(kind, [kind]), "", "=r,0", values[:1], False)

    return index(index, like), generate


@intrinsic
def store(typing, array, index, value):
    """Writes a vector or a block from ``array[index]`` on."""

    def generate(context, builder, signature, values):
        position = _intp(context, builder, signature, values, 1)
        address = _address(context, builder, signature.args[0], values[0], position)
        builder.store(values[2], builder.bitcast(address, values[2].type.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@intrinsic
def prefetch(typing, array, index, like):
    """Asks for the memory that `gather_each` will read, ahead of time; it need not exist."""
    size = WIDTH * like.count * array.dtype.bitwidth // 8

    def generate(context, builder, signature, values):
        position = _intp(context, builder, signature, values, 1)
        byte = ir.IntType(8).as_pointer()
        address = builder.bitcast(_address(context, builder, signature.args[0], values[0], position), byte)
        name = "llvm.prefetch.p0"
        function = builder.module.globals.get(name)
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [byte, _INT, _INT, _INT]), name)
        for offset in range(0, size, 64):
            builder.call(function, (builder.gep(address, [_INT(offset)]), _INT(0), _INT(2), _INT(1)))
        return context.get_dummy_value()

    return types.void(array, index, like), generate


@intrinsic
def zeros(typing):
    """A block of zeros."""
    return block(), lambda context, builder, signature, values: _constant(0.0, _BLOCK)


@intrinsic
def splat(typing, value):
    """A vector that holds the float32 ``value`` everywhere."""

    def generate(context, builder, signature, values):
        return _splat(builder, values[0])

    return vector(types.float32), generate


def _fold(combine: Callable[..., ir.Value], builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Halves a vector, combining its halves, until one number is left."""
    width = WIDTH
    while width > 1:
        width //= 2
        undefined = ir.Constant(value.type, ir.Undefined)
        halves = [
            builder.shuffle_vector(value, undefined, ir.Constant(ir.VectorType(_INT, width), list(indices)))
            for indices in (range(width), range(width, 2 * width))
        ]
        value = combine(builder, *halves)
    return builder.extract_element(value, _INT(0))


def _total(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return _fold(lambda builder, x, y: builder.fadd(x, y), builder, value)


@intrinsic
def total(typing, value):
    """The sum of a vector's numbers."""
    return types.float32(vector), lambda context, builder, signature, values: _total(builder, values[0])


@intrinsic
def largest(typing, value):
    """The largest of a vector's numbers."""

    def generate(context, builder, signature, values):
        return _fold(_select("<"), builder, values[0])

    return types.float32(vector), generate


def _load_each(number, kind):
    def generate(context, builder, signature, values):
        position, step = (_intp(context, builder, signature, values, i) for i in (1, 2))
        loaded = []
        for _ in range(number):
            address = _address(context, builder, signature.args[0], values[0], position)
            loaded.append(_read(builder, address, context.get_value_type(kind)))
            position = builder.add(position, step)
        return cgutils.pack_array(builder, loaded, context.get_value_type(kind))

    return types.UniTuple(kind, number), generate


@intrinsic
def load_each(typing, array, index, stride, like):
    """As many vectors as ``like`` has entries, read at ``index``, ``index + stride``, ..."""
    result, generate = _load_each(like.count, vector)
    return result(array, index, stride, like), generate


@intrinsic
def load_each_like(typing, array, index, stride, tuple_like, like):
    """The same of vectors or blocks, whichever ``like`` is."""
    result, generate = _load_each(tuple_like.count, like)
    return result(array, index, stride, tuple_like, like), generate


@intrinsic
def gather_each(typing, array, index, like):
    """As many vectors as ``like`` has entries, of what lies interleaved from ``array[index]``: x0 y0 z0 x1 y1 z1 ...

    Numbers are float32 or unsigned bytes, or, in 16 bits, the bits of bfloat16 (int16) or
    float16 (uint16).
    """
    number, dtype = like.count, array.dtype

    def generate(context, builder, signature, values):
        position = _intp(context, builder, signature, values, 1)
        address = _address(context, builder, signature.args[0], values[0], position)
        element = address.type.pointee
        everything = builder.load(builder.bitcast(address, ir.VectorType(element, WIDTH * number).as_pointer()))
        everything.align = dtype.bitwidth // 8
        undefined = ir.Constant(everything.type, ir.Undefined)
        vectors = []
        for i in range(number):
            chosen = ir.Constant(_INTS, list(range(i, WIDTH * number, number)))
            vectors.append(_to_float(builder, builder.shuffle_vector(everything, undefined, chosen), dtype))
        return cgutils.pack_array(builder, vectors, _VECTOR)

    return types.UniTuple(vector, number)(array, index, like), generate


def _to_float(builder: ir.IRBuilder, values: ir.Value, dtype: types.Type) -> ir.Value:
    """One number or a vector of them, of a dtype that `gather_each` reads, as float32."""
    wide, half = (_VECTOR, ir.VectorType(ir.HalfType(), WIDTH))
    whole, shift = _INTS, ir.Constant(_INTS, [16] * WIDTH)
    if not isinstance(values.type, ir.VectorType):
        wide, half, whole, shift = _FLOAT, ir.HalfType(), _INT, _INT(16)
    if dtype == types.float32:
        return values
    if dtype == types.uint8:
        return builder.uitofp(values, wide)
    if dtype == types.int16:  # bfloat16: the upper half of a float32
        return builder.bitcast(builder.shl(builder.zext(values, whole), shift), wide)
    return builder.fpext(builder.bitcast(values, half), wide)


@intrinsic
def to_float(typing, value):
    """One number as `gather_each` reads them."""

    def generate(context, builder, signature, values):
        return _to_float(builder, values[0], value)

    return types.float32(value), generate


@intrinsic
def keep_each(typing, condition, xs):
    """Each vector of a tuple where ``condition`` is not zero, and zero elsewhere."""

    def generate(context, builder, signature, values):
        kept = builder.fcmp_unordered("!=", values[0], _constant(0.0))
        vectors = [builder.select(kept, builder.extract_value(values[1], i), _constant(0.0)) for i in range(xs.count)]
        return cgutils.pack_array(builder, vectors, _VECTOR)

    return types.UniTuple(vector, xs.count)(vector, xs), generate


def _each(combine: Callable[..., ir.Value]) -> Any:
    """A function of a tuple of vectors and one vector that combines each with it."""

    def make(typing, xs, y):
        def generate(context, builder, signature, values):
            vectors = [combine(builder, builder.extract_value(values[0], i), values[1]) for i in range(xs.count)]
            return cgutils.pack_array(builder, vectors, _VECTOR)

        return types.UniTuple(vector, xs.count)(xs, vector), generate

    return intrinsic(make)


subtract_each = _each(lambda builder, x, y: builder.fsub(x, y))
multiply_each = _each(lambda builder, x, y: builder.fmul(x, y))


@intrinsic
def affine_each(typing, xs, factors, shifts):
    """``x * factors[i] + shifts[i]`` for vector i of a tuple; the two are float32 arrays."""

    def generate(context, builder, signature, values):
        vectors = []
        for i in range(xs.count):
            factor, shift = (
                _splat(
                    builder, builder.load(_address(context, builder, signature.args[k], values[k], ir.IntType(64)(i)))
                )
                for k in (1, 2)
            )
            vectors.append(_fma(builder, builder.extract_value(values[0], i), factor, shift))
        return cgutils.pack_array(builder, vectors, _VECTOR)

    return types.UniTuple(vector, xs.count)(xs, factors, shifts), generate


@intrinsic
def sum_each(typing, xs):
    """The sum of a tuple's vectors."""

    def generate(context, builder, signature, values):
        result = builder.extract_value(values[0], 0)
        for i in range(1, xs.count):
            result = builder.fadd(result, builder.extract_value(values[0], i))
        return result

    return vector(xs), generate


@intrinsic
def store_each(typing, array, index, stride, xs):
    """Writes a tuple of vectors or blocks to ``index``, ``index + stride``, ..."""

    def generate(context, builder, signature, values):
        position, step = (_intp(context, builder, signature, values, i) for i in (1, 2))
        for i in range(xs.count):
            address = _address(context, builder, signature.args[0], values[0], position)
            value = builder.extract_value(values[3], i)
            builder.store(value, builder.bitcast(address, value.type.as_pointer())).align = 4
            position = builder.add(position, step)
        return context.get_dummy_value()

    return types.void(array, index, stride, xs), generate


@intrinsic
def splat_each(typing, array, like):
    """As many vectors as ``like`` has entries; vector i holds ``array[i]`` everywhere."""
    number = like.count

    def generate(context, builder, signature, values):
        vectors = []
        for i in range(number):
            address = _address(context, builder, signature.args[0], values[0], ir.IntType(64)(i))
            vectors.append(_splat(builder, builder.load(address)))
        return cgutils.pack_array(builder, vectors, _VECTOR)

    return types.UniTuple(vector, number)(array, like), generate


@intrinsic
def zero_each(typing, like):
    """As many vectors of zeros as ``like`` has entries."""
    number = like.count

    def generate(context, builder, signature, values):
        return cgutils.pack_array(builder, [_constant(0.0)] * number, _VECTOR)

    return types.UniTuple(vector, number)(like), generate


@intrinsic
def dot(typing, xs, ys, start):
    """``start`` plus the sum of the products of two tuples; vectors or blocks."""

    def generate(context, builder, signature, values):
        result, kind = values[2], values[2].type
        for i in range(xs.count):
            x, y = (_like(builder, builder.extract_value(values[k], i), kind) for k in (0, 1))
            result = _fma(builder, x, y, result)
        return result

    return start(xs, ys, start), generate


@intrinsic
def accumulate(typing, total, values):
    """A vector plus the vectors of a block, one after another."""

    def generate(context, builder, signature, given):
        result = given[0]
        for part in _parts(builder, given[1]):
            result = builder.fadd(result, part)
        return result

    return vector(total, values), generate


@intrinsic
def accumulate_products(typing, totals, factor, xs):
    """``factor * x`` summed over the vectors of blocks, plus a vector of ``totals``, for each pair of two tuples."""
    number = xs.count

    def generate(context, builder, signature, given):
        results = [builder.extract_value(given[0], i) for i in range(number)]
        parts = [_parts(builder, builder.extract_value(given[2], i)) for i in range(number)]
        for u, factor_part in enumerate(_parts(builder, given[1])):
            results = [_fma(builder, factor_part, parts[i][u], results[i]) for i in range(number)]
        return cgutils.pack_array(builder, results, _VECTOR)

    return types.UniTuple(vector, number)(totals, factor, xs), generate


@intrinsic
def fma_each(typing, factor, xs, ys):
    """``factor * x + y`` for each pair of two tuples of vectors; of blocks where ``factor`` is one."""

    def generate(context, builder, signature, values):
        kind = values[0].type
        results = [
            _fma(builder, values[0], *(_like(builder, builder.extract_value(values[k], i), kind) for k in (1, 2)))
            for i in range(xs.count)
        ]
        return cgutils.pack_array(builder, results, kind)

    return types.UniTuple(factor, xs.count)(factor, xs, ys), generate


@intrinsic
def add_totals(typing, sums, xs):
    """Adds the total of each vector of a tuple to ``sums[0]``, ``sums[1]``, ... (float64)."""

    def generate(context, builder, signature, values):
        for i in range(xs.count):
            address = _address(context, builder, signature.args[0], values[0], ir.IntType(64)(i))
            wide = builder.fpext(_total(builder, builder.extract_value(values[1], i)), ir.DoubleType())
            builder.store(builder.fadd(builder.load(address), wide), address)
        return context.get_dummy_value()

    return types.void(sums, xs), generate


def _float_at(builder: ir.IRBuilder, address: ir.Value, index: ir.Value) -> ir.Value:
    """A float32 number of memory that an integer is the address of."""
    return builder.load(builder.gep(builder.inttoptr(address, _FLOAT.as_pointer()), [index]))


@intrinsic
def number_at(typing, address, index):
    """The float32 number ``index`` behind an address."""

    def generate(context, builder, signature, values):
        return _float_at(builder, values[0], _intp(context, builder, signature, values, 1))

    return types.float32(types.int64, index), generate


@intrinsic
def splat_from(typing, address, index, stride, like):
    """As many vectors as ``like`` has entries; vector i holds the number ``index + i stride`` behind an address."""
    number = like.count

    def generate(context, builder, signature, values):
        position, step = (_intp(context, builder, signature, values, i) for i in (1, 2))
        vectors = []
        for _ in range(number):
            vectors.append(_splat(builder, _float_at(builder, values[0], position)))
            position = builder.add(position, step)
        return cgutils.pack_array(builder, vectors, _VECTOR)

    return types.UniTuple(vector, number)(types.int64, index, stride, like), generate


@intrinsic
def take(typing, counter):
    """``counter[0]`` (int64), which is raised by one: no two threads get the same number."""

    def generate(context, builder, signature, values):
        address = _address(context, builder, signature.args[0], values[0], ir.IntType(64)(0))
        return builder.atomic_rmw("add", address, ir.IntType(64)(1), "seq_cst")

    return types.int64(counter), generate
