"""Vectors as wide as the processor that Numba compiles for has them."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")


@pytest.mark.parametrize(
    ("processor", "features", "width"),
    [("haswell", "+avx2,+fma", 8), ("skylake-avx512", "+avx512f,+avx2", 16), ("generic", "", 8)],
)
def test_the_width_is_that_of_the_processor_compiled_for(processor: str, features: str, width: int) -> None:
    code = "from perceiver_pytorch.ops.backends.simd import WIDTH; print(WIDTH)"
    environment = {**os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == width
