"""A backend that is installed and does not work: one warning, and another one takes over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from perceiver_pytorch.ops.backends.instead import NotCompiledError, or_chunked

CODE = """
import warnings
import torch
from perceiver_pytorch import Perceiver

torch.manual_seed(0)
torch.use_deterministic_algorithms(True)  # calls wait until their loops are compiled
model = Perceiver(num_freq_bands=4, max_freq=10.0, depth=1, num_latents=32, latent_dim=32, num_classes=3)
image = torch.rand(1, 128, 128, 3)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    result = model(image)
    result.sum().backward()
    model(image)
print(*(str(warning.message) for warning in told if "backend" in str(warning.message)), sep="|")
print(*result.flatten().tolist())
"""


def answers(folder: Path, **environment: str) -> tuple[str, list[float]]:
    """The warnings of a model, and its outputs, where Numba is as described."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    told, numbers = done.stdout.splitlines()
    return told, [float(number) for number in numbers.split()]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("raise ImportError('Numba needs NumPy 2.2 or less. Got NumPy 2.5.')", marks=pytest.mark.nightly),
        "raise SystemError('initialization of _internal failed')",
    ],
)
def test_numba_that_does_not_import_is_told_once_and_replaced(tmp_path: Path, line: str) -> None:
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text(line)
    told, numbers = answers(tmp_path)
    assert told.count("the compiled backend failed (") == 1
    assert told.endswith("the chunked one is used from here on")
    assert len(numbers) == 3


def test_numba_that_compiles_nothing_is_replaced(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    told, _ = answers(tmp_path, NUMBA_DISABLE_JIT="1")
    assert told == (
        "the compiled backend failed (NUMBA_DISABLE_JIT is set, so that Numba compiles nothing); "
        "the chunked one is used from here on"
    )


def test_an_error_of_memory_is_no_reason_to_give_up() -> None:
    failures: list[str] = []

    def too_large(rows: torch.Tensor) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    attend = or_chunked("compiled", "cpu", failures, too_large, lambda rows: pytest.fail("it was used"))
    with pytest.raises(RuntimeError, match="allocate"):
        attend(torch.zeros(1))
    assert failures == []


def test_another_one_is_used_while_a_loop_is_being_compiled() -> None:
    waits = [True, False]
    failures: list[str] = []

    def compiled(rows: torch.Tensor) -> str:
        if waits.pop(0):
            raise NotCompiledError("forward")
        return "compiled"

    attend = or_chunked("compiled", "cpu", failures, compiled, lambda rows: "chunked")
    assert [attend(torch.zeros(1)), attend(torch.zeros(1))] == ["chunked", "compiled"]
    assert failures == []


def test_another_one_is_used_from_the_first_failure_on() -> None:
    failures: list[str] = []

    def broken(rows: torch.Tensor, number: int) -> int:
        if number == 3:
            raise TypeError("no such\n   loop")
        return number

    attend = or_chunked("compiled", "cpu", failures, broken, lambda rows, number: -number)
    rows = torch.zeros(1)
    assert attend(rows, 1) == 1
    with pytest.warns(UserWarning, match=r"the compiled backend failed \(no such loop\); the chunked one is used"):
        assert attend(rows, 3) == -3
    assert attend(rows, 1) == -1
    assert failures == ["no such loop"]
    other = or_chunked("compiled", "cuda", [], broken, lambda rows, number: -number)
    with pytest.raises(TypeError):
        other(rows, 3)
