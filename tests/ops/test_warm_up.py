"""Loops that are compiled beforehand."""

from pathlib import Path

import pytest
import torch

from perceiver_pytorch.ops import Context, latent_steps, latents, warm_up
from perceiver_pytorch.ops.backends import compiled, compiling, loop_files
from perceiver_pytorch.ops.backends.compiling import _Compiler

pytest.importorskip("numba")

FILMS = (torch.float32, 3, (4, 4))


@pytest.fixture(autouse=True)
def one_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose loops other tests need, too."""
    monkeypatch.setattr(warm_up, "COMMON", (FILMS,))


def test_later_calls_of_common_inputs_compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_compiler", _Compiler())
    seen: list[tuple[int, int]] = []
    folder = warm_up.warm_up(lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert folder is not None
    assert next(folder.glob("forward-*.loop"))
    assert next(folder.glob("weights-*.loop"))
    monkeypatch.setattr(_Compiler, "prepare", lambda *arguments: pytest.fail("it was compiled"))
    film = Context(torch.randn(2, 3, 20, 37, 3), tuple(torch.randn(length, 5) for length in (3, 20, 37)))
    rows = torch.randn(2, 4, film.num_channels, requires_grad=True)
    mixed, lse = compiled.BACKEND.attend(rows, film, 1e-5)
    (mixed.sum() + lse.sum()).backward()
    latents.compile_loops()


def test_where_no_folder_takes_loops_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_files, "folders", lambda: iter([Path("/dev/null/loops")]))
    monkeypatch.setattr(latents, "compile_loops", lambda: None)  # which would take some more seconds
    assert warm_up.warm_up() is None


def test_where_nothing_can_be_compiled_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(compiled, "_INSTALLED", False)
        with pytest.raises(ValueError, match=r"nothing to compile: it needs numba \(pip install .*\[fast\]"):
            warm_up.warm_up()
    monkeypatch.setattr(compiling, "_compiler", _Compiler())
    compiling._compiler.failure = "no such processor"
    try:
        with pytest.raises(ValueError, match="cannot be compiled here: no such processor"):
            warm_up.warm_up()
    finally:
        compiled._failures.clear()
        latent_steps.failures.clear()
