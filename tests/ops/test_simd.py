"""Vectors as wide as the processor that Numba compiles for has them."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")


@pytest.mark.parametrize(
    ("processor", "features", "width"),
    [
        pytest.param("haswell", "+avx2,+fma", 8, marks=pytest.mark.nightly),
        ("skylake-avx512", "+avx512f,+avx2", 16),
        ("generic", "", 8),
    ],
)
def test_the_width_is_that_of_the_processor_compiled_for(processor: str, features: str, width: int) -> None:
    code = "from perceiver_pytorch.ops.backends.simd import WIDTH; print(WIDTH)"
    environment = {**os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == width


def test_a_block_is_as_many_vectors() -> None:
    """Each operation does to a block what it does to its vectors, and sums are added in their order."""
    from numba import njit

    from perceiver_pytorch.ops.backends import simd

    add, exp2, fma, load, load_like, multiply = simd.add, simd.exp2, simd.fma, simd.load, simd.load_like, simd.multiply
    accumulate, splat, store, total, zeros = simd.accumulate, simd.splat, simd.store, simd.total, simd.zeros
    width, length = simd.WIDTH, simd.WIDTH * simd.BLOCK

    @njit  # type: ignore[untyped-decorator]
    def in_a_block(x, out):  # type: ignore[no-untyped-def]
        values = load_like(x, 0, zeros())
        powers = exp2(fma(values, splat(np.float32(0.5)), values))
        store(out, 0, multiply(powers, load(x, 0)))  # a vector stands for each of the block
        return total(accumulate(splat(np.float32(0.0)), powers))

    @njit  # type: ignore[untyped-decorator]
    def one_by_one(x, out):  # type: ignore[no-untyped-def]
        summed = splat(np.float32(0.0))
        for i in range(0, length, width):
            values = load(x, i)
            powers = exp2(fma(values, splat(np.float32(0.5)), values))
            store(out, i, multiply(powers, load(x, 0)))
            summed = add(summed, powers)
        return total(summed)

    x = np.random.default_rng(0).normal(size=length).astype(np.float32)
    found, expected = np.empty_like(x), np.empty_like(x)
    assert in_a_block(x, found) == one_by_one(x, expected)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, 2 ** (1.5 * x.astype(float)) * np.tile(x[:width], simd.BLOCK), rtol=1e-6)
