"""Sizes of tiles: measured, kept in a file, read by later processes, and without influence on what comes out."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.backends import triton, triton_tiles
from perceiver_pytorch.ops.backends.triton_tiles import CANDIDATES, Tiles

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")

CPU = torch.device("cpu")
FIRST, SECOND = Tiles(16, 32, 4), Tiles(64, 128, 8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path / "cache"))
    triton_tiles._read.cache_clear()
    yield tmp_path / "cache/triton-tiles.json"
    triton_tiles._read.cache_clear()


def times(monkeypatch: pytest.MonkeyPatch, seconds: dict[Tiles, float]) -> None:
    """In place of running kernels: so many seconds with each size, and an error with others."""
    monkeypatch.setattr(triton_tiles, "_passes", lambda *_: lambda: None)
    monkeypatch.setattr(triton_tiles, "_seconds", lambda *_: seconds[triton_tiles._tried[-1]])


def tiles_of_a_context(dtype: torch.dtype = torch.float32) -> Tiles:
    return triton._Lines(Context(torch.zeros(1, 4, 4, 3).to(dtype), (torch.zeros(4, 2), torch.zeros(4, 2)))).tiles


def test_the_fastest_is_kept_for_its_precision_and_read_by_later_processes(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    before = tiles_of_a_context()
    assert before == Tiles(triton.BLOCK_ROWS, triton.BLOCK_TOKENS, triton.OPTIONS["num_warps"])
    times(monkeypatch, {FIRST: 2.0, SECOND: 1.0})
    assert triton_tiles.tune(triton.TritonAttend, CPU, True, candidates=[FIRST, SECOND]) == {FIRST: 2.0, SECOND: 1.0}
    assert tiles_of_a_context(torch.bfloat16) == SECOND
    assert tiles_of_a_context() == before
    times(monkeypatch, {FIRST: 1.0, SECOND: 2.0})
    triton_tiles.tune(triton.TritonAttend, CPU, False, candidates=[FIRST, SECOND])
    triton_tiles._read.cache_clear()  # as in another process
    assert (tiles_of_a_context(torch.bfloat16), tiles_of_a_context()) == (SECOND, FIRST)
    assert len(json.loads(cache.read_text())) == 2


def test_sizes_that_do_not_run_are_left_out(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    times(monkeypatch, {SECOND: 1.0})
    assert triton_tiles.tune(triton.TritonAttend, CPU, False) == {SECOND: 1.0}
    times(monkeypatch, {})
    with pytest.raises(RuntimeError, match="with none of these sizes"):
        triton_tiles.tune(triton.TritonAttend, CPU, False)
    assert tiles_of_a_context() == SECOND


@pytest.mark.parametrize("text", ["", "[]", "{", '{"KEY": 3}', '{"KEY": {"rows": 7, "tokens": 32, "warps": 4}}'])
def test_a_file_that_says_nothing_is_no_error(text: str, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text(text.replace("KEY", triton_tiles.key(CPU, False)))
    assert triton_tiles.kept(CPU, False) is None


def test_candidates_differ_and_are_sizes_that_kernels_take() -> None:
    assert len(set(CANDIDATES)) == len(CANDIDATES) > 10
    with pytest.raises(ValueError, match="tokens must be one of"):
        Tiles(16, 33, 4)
