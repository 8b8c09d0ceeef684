"""Loops that are being compiled: their calls go another way, wait where they should, and the process may end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from perceiver_pytorch import _waiting
from perceiver_pytorch._waiting import waiting
from perceiver_pytorch.ops import Context, attend, use_backend
from perceiver_pytorch.ops.backends import chunked, compiled, compiling
from perceiver_pytorch.ops.backends.compiling import _Compiler
from perceiver_pytorch.ops.backends.instead import NotCompiledError

pytest.importorskip("numba")


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Compiler]:
    """What a process begins with, where nobody waits, and the disk seems to have no loops."""
    monkeypatch.setattr(compiling, "DELAY", 0.05)
    monkeypatch.setattr(_waiting, "_blocks", [0])  # within which all other tests are
    monkeypatch.setattr(compiling.loop_files, "place", lambda: None)
    monkeypatch.setattr(compiling, "_compiler", _Compiler())
    yield compiling._compiler
    compiling._compiler.end()
    compiled._failures.clear()


def problem() -> tuple[torch.Tensor, Context]:
    """For the compiled loops, by the choice of `use_backend("auto")`."""
    tables = (torch.randn(80, 5), torch.randn(70, 5))
    return torch.randn(2, 20, 13, requires_grad=True), Context(torch.randn(2, 80, 70, 3), tables)


def joined(compiler: _Compiler) -> None:
    """Waits until the thread has compiled what it was asked for."""
    if (thread := compiler._thread) is not None:
        thread.join(120)


def gradient(rows: torch.Tensor, context: Context) -> torch.Tensor:
    mixed, _ = attend(rows, context)
    return torch.autograd.grad(mixed.square().sum(), rows)[0]


def test_the_first_calls_go_by_chunked_and_later_ones_by_loops(compiler: _Compiler) -> None:
    rows, context = problem()
    with use_backend("chunked"):
        expected, expected_grad = attend(rows, context)[0], gradient(rows, context)
    first, first_grad = attend(rows, context)[0], gradient(rows, context)
    assert torch.equal(first, expected)
    assert torch.equal(first_grad, expected_grad)
    joined(compiler)
    assert {key[0] for key in compiler.ready} == {"spread", "collect", "forward", "backward"}
    later, later_grad = attend(rows, context)[0], gradient(rows, context)
    assert not torch.equal(later, first)
    torch.testing.assert_close(later, first, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(later_grad, first_grad, rtol=1e-4, atol=1e-5)
    with use_backend("compiled"):
        assert torch.equal(later, attend(rows, context)[0])


def test_a_forward_by_chunked_goes_with_a_backward_by_loops(compiler: _Compiler) -> None:
    rows, context = problem()
    with use_backend("chunked"):
        expected = gradient(rows, context)
    mixed, _ = attend(rows, context)
    with waiting():
        found = torch.autograd.grad(mixed.square().sum(), rows)[0]
    assert {key[0] for key in compiler.ready} == {"spread", "collect", "backward"}
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", ["deterministic", "by name", "waiting"])
def test_who_asks_for_it_waits(compiler: _Compiler, how: str) -> None:
    rows, context = problem()
    if how == "deterministic":
        torch.use_deterministic_algorithms(True)
        try:
            found = attend(rows, context)[0]
        finally:
            torch.use_deterministic_algorithms(False)
    else:
        with use_backend("compiled") if how == "by name" else waiting():
            found = attend(rows, context)[0]
    assert compiler._thread is None
    assert {key[0] for key in compiler.ready} == {"spread", "collect", "forward"}
    assert torch.equal(found, attend(rows, context)[0])
    assert not torch.equal(found, chunked.BACKEND.attend(rows, context, 1e-5)[0])


def test_what_is_on_the_disk_is_loaded_at_once(compiler: _Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    from perceiver_pytorch.ops.backends import loops

    rows, context = problem()
    monkeypatch.setattr(loops, "is_kept", lambda loop, types: True)
    monkeypatch.setattr(compiling.loop_files, "place", lambda: Path("here"))
    attend(rows, context)
    assert compiler._thread is None
    assert {key[0] for key in compiler.ready} == {"spread", "collect", "forward"}


def test_an_error_of_the_thread_is_told_once_and_chunked_stays(
    compiler: _Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(key: object, name: str, arguments: object) -> None:
        raise OSError("no such processor")

    monkeypatch.setattr(compiler, "_compile", broken)
    rows, context = problem()
    first = attend(rows, context)[0]
    joined(compiler)
    with pytest.warns(UserWarning, match=r"compiled backend failed \(no such processor\); the chunked one is used"):
        assert torch.equal(attend(rows, context)[0], first)
    torch.testing.assert_close(attend(rows, context)[0], first, rtol=1e-5, atol=1e-6)  # a warning would be an error


def test_a_process_that_was_forked_from_a_compiling_one_does_without(compiler: _Compiler) -> None:
    rows, context = problem()
    compiler._is_busy = True
    compiler.after_fork()
    with pytest.warns(UserWarning, match="forked while another thread compiled; perceiver warm-up leaves nothing"):
        attend(rows, context)
    assert compiler._thread is None


def test_a_loop_that_several_threads_ask_for_is_compiled_once(
    compiler: _Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, context = problem()
    seen: list[tuple[object, ...]] = []
    compile_one = compiler._compile

    def counted(key: tuple[object, ...], *job: Any) -> None:
        seen.append(key)
        compile_one(key, *job)

    monkeypatch.setattr(compiler, "_compile", counted)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: attend(rows, context)[0], range(8)))
    joined(compiler)
    assert sorted(str(key[0]) for key in seen) == ["collect", "forward", "spread"]
    for result in results:
        torch.testing.assert_close(result, results[0], rtol=1e-5, atol=1e-6)


def test_what_saves_less_time_is_compiled_behind_the_rest(compiler: _Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(compiler, "_compile", lambda key, *job: seen.append(key))
    for key, behind in {"row": True, "main": False, "other row": True, "gradients": False}.items():
        with pytest.raises(NotCompiledError):
            compiling.ensure(key, "kernels.forward", (), behind)
    joined(compiler)
    assert seen == ["main", "gradients", "row", "other row"]


ENDS = """
import time
import torch
from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.backends import compiled, compiling
compiling.DELAY = 0.2
context = Context(torch.randn(1, 9, 8, 1), (torch.randn(9, 2), torch.randn(8, 2)))
compiled.BACKEND.attend(torch.randn(1, 2, 5), context, 1e-5)
while not (compiling._compiler._is_busy or compiling._compiler.ready):
    time.sleep(0.01)
print(len(compiling._compiler.ready))
"""


def test_a_process_ends_while_a_loop_is_being_compiled(tmp_path: Path) -> None:
    """Without a word, and the next process has the loop."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, env=env, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert [path.name.partition("-")[0] for path in (tmp_path / "perceiver_pytorch").iterdir()] == ["forward"]
