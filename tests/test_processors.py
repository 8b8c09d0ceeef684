"""The tests of the models hold on processors that can do less than this one: in a process that is told so."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FOLDERS = ("ops", "nn", "models", "interop", "training/run")

AVX2_LOOPS = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
"""The compiled backend's loops take 8 numbers at a time instead of 16."""

PROCESSORS = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", **AVX2_LOOPS},
    "no vectors in PyTorch": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", **AVX2_LOOPS},
}
"""What PyTorch, oneDNN and Numba are told to make of the processor."""


@pytest.mark.nightly
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 processors differ in this way")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_models_pass_their_tests_on(processor: str) -> None:
    folders = [str(TESTS / folder) for folder in FOLDERS]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *folders]
    environment = {**os.environ, **PROCESSORS[processor]}
    result = subprocess.run(command, env=environment, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:]
