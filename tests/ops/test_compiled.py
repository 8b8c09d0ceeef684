"""What is particular to the compiled backend: dtypes and strides that are read as they are, parts, threads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ops.errors import gradients
from ops.problems import Problem, Spec, pixels
from ops.test_backends import specs
from perceiver_pytorch.ops import Context, attend, cross_attend, threads, use_backend
from perceiver_pytorch.ops.backends import compiled, grid, loop_files, reference

pytest.importorskip("numba")
from perceiver_pytorch.ops.backends import loops


def results(context: Context, rows: Tensor) -> list[Tensor]:
    """Both results of `attend`, and the gradients of rows and data."""
    data = context.data.detach()
    if data.is_floating_point():
        data = data.clone(memory_format=torch.preserve_format).requires_grad_()
    rows = rows.detach().requires_grad_()
    mixed, lse = compiled.BACKEND.attend(rows, replace(context, data=data), 1e-5)
    (mixed.square().sum() + lse.sum()).backward()
    return [mixed.detach(), lse.detach(), rows.grad, *([] if data.grad is None else [data.grad])]


def video(dtype: torch.dtype = torch.float32, batch: int = 2) -> tuple[Context, Tensor]:
    spec = Spec((3, 20, 37), features=5, mask="random", dtype=dtype, values=pixels)
    context = spec.context(batch, spec.num_channels + 2, torch.float32)
    return replace(context, data=context.data.to(dtype)), torch.randn(batch, 4, context.num_channels)


def test_the_default_dtype_plays_no_part() -> None:
    context, rows = video()
    expected = results(context, rows)
    torch.set_default_dtype(torch.float64)
    try:
        found = results(context, rows)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not compiled.failures()


SPECS = {"image": Spec(), "series, mask": Spec((70,), mask="first sample"), "data alone": Spec(features=None, code=0)}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("learned", [True, False], ids=["learned constants", "fixed constants"])
def test_the_operators_keep_torchs_rules(spec: Spec, learned: bool) -> None:
    p = Problem.of(spec, dtype=torch.float32)
    if learned:
        p.requires_grad()
    (context,) = p.contexts
    rows = torch.randn(2, 3, context.num_channels, requires_grad=True)
    constants = (context.code, context.mask, context.scale, context.offset, context.padding)
    arguments = (rows, context.data.float(), list(context.tables), *constants, 1e-5)
    torch.library.opcheck(torch.ops.perceiver_pytorch.attend_compiled.default, arguments, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("num_threads", [2, 3])
@pytest.mark.parametrize("openmp", [True, False], ids=["openmp", "pool"])
def test_the_number_of_threads_does_not_change_a_bit(
    num_threads: int, openmp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "PART_PAIRS", 64)
    if not openmp:
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    context, rows = video()
    expected = results(context, rows)
    try:
        torch.set_num_threads(num_threads)
        found = results(context, rows)
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(got, value) for got, value in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float16, torch.bool], ids=str)
def test_data_are_read_as_they_are(dtype: torch.dtype) -> None:
    context, rows = video(dtype)
    found = results(context, rows)
    expected = results(replace(context, data=context.data.float()), rows)
    for got, value in zip(found, expected, strict=False):
        tolerance = torch.finfo(got.dtype).eps
        torch.testing.assert_close(got.float(), value, rtol=tolerance, atol=tolerance * value.abs().max().item())


@pytest.mark.parametrize("special", [0.0, -0.0, 6e-8, 6.1e-5, 65504.0, float("inf"), float("nan")])
def test_every_kind_of_half_precision_number_is_read(special: float) -> None:
    """Smallest, largest and odd ones, where a line is read by vectors and behind them."""
    for length in (1, 16, 19):
        data = torch.ones(1, 2, length, 3, dtype=torch.float16)
        data[0, :, -1, 0] = special
        context = Context(data, (torch.randn(2, 3), torch.randn(length, 3)))
        rows = torch.randn(1, 2, 9)
        got, expected = (way.BACKEND.attend(rows, context, 1e-5)[0] for way in (compiled, reference))
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("order", [(0, 4, 1, 2, 3), (1, 0, 2, 3, 4), (4, 3, 2, 1, 0)])
def test_any_strides_give_the_same(order: tuple[int, ...]) -> None:
    """Channels first, as convolutions leave them, for one."""
    context, rows = video()
    back = [order.index(i) for i in range(5)]
    strided = context.data.permute(order).contiguous().permute(back)
    assert torch.equal(strided, context.data)
    found = results(replace(context, data=strided), rows)
    for got, value in zip(found, results(context, rows), strict=True):
        torch.testing.assert_close(got, value, rtol=1e-5, atol=1e-6 * value.abs().max().item())


@pytest.mark.parametrize("axes", [(5000,), (2, 4500), (4500, 2), (3, 5, 7, 2), (1, 1, 300), (260, 3)], ids=str)
def test_lines_and_segments_of_every_length(axes: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    tables = tuple(torch.randn(length, 3) for length in axes)
    context = Context(torch.randn(2, *axes, 3), tables, torch.randn(2), 1, torch.rand(2, *axes) > 0.3)
    rows = torch.randn(2, 3, context.num_channels)
    mixed, lse = compiled.BACKEND.attend(rows, context, 1e-5)
    double = Context(context.data.double(), tuple(t.double() for t in tables), context.code.double(), 1, context.mask)
    expected, expected_lse = reference.BACKEND.attend(rows.double(), double, 1e-5)
    torch.testing.assert_close(mixed.double(), expected, rtol=1e-5, atol=1e-6 * expected.abs().max().item())
    torch.testing.assert_close(lse.double(), expected_lse, rtol=1e-6, atol=1e-6)


def test_without_numba_the_chunked_backend_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_INSTALLED", False)
    context, rows = video()
    with use_backend("compiled"), pytest.raises(ValueError, match=r"it needs numba \(pip install .*\[fast\]"):
        attend(rows, context)
    expected = compiled.BACKEND.attend(rows, context, 1e-5)[0]
    torch.testing.assert_close(attend(rows, context)[0], expected, rtol=1e-5, atol=1e-6)


def test_what_failed_before_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_failures", ["no llvmlite"])
    context, rows = video()
    with use_backend("compiled"), pytest.raises(ValueError, match="compiled: it failed before: no llvmlite"):
        attend(rows, context)


def loop(number: int = 1) -> Any:
    """A small loop as a process has it that has just begun, with what the disk has of it."""

    def plus(x):  # type: ignore[no-untyped-def]
        return x + number

    return loops.loop(plus)


def hits(function: Any) -> int:
    """How often what the disk has was used."""
    return sum(function.stats.cache_hits.values())


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which compiled loops are kept."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path / "perceiver_pytorch"


def test_loops_are_compiled_where_what_was_kept_is_damaged(kept: Path) -> None:
    assert (loop()(2), loop()(2.5)) == (3, 3.5)
    again = loop()
    assert (again(2), hits(again)) == (3, 1)
    for file, content in zip(sorted(kept.iterdir()), (b"damaged", None), strict=True):
        file.write_bytes(content or file.read_bytes()[:-1] + b"?")
    for expected in (0, 2):
        again = loop()
        assert (again(2), again(2.5), hits(again)) == (3, 3.5, expected)


def test_another_version_or_processor_finds_nothing_of_this_one(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = loop()
    assert first(2) == 3
    monkeypatch.setattr(loops, "_STAMP", (*loops._STAMP[:1], "0.0.0", *loops._STAMP[2:]))
    newer = loop()
    assert (newer(2), hits(newer), len(list(kept.iterdir()))) == (3, 0, 2)
    codegen = type(first.targetctx.codegen())
    monkeypatch.setattr(codegen, "magic_tuple", lambda self: ("x86_64", "another", "+avx2"))
    elsewhere = loop()
    assert (elsewhere(2), hits(elsewhere), len(list(kept.iterdir()))) == (3, 0, 3)


def test_loops_need_no_place_to_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_files, "folders", lambda: iter(()))
    assert (loop()(2), loop()(3)) == (3, 4)


def test_loops_of_unknown_sources_are_not_kept(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a frozen application without the package's metadata, whose next version has the same name."""

    def without_sources(*_: object) -> bytes:
        raise FileNotFoundError

    def without_metadata(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(loops.pkgutil, "get_data", without_sources)
    assert loops._sources() == [loops.metadata.version("perceiver-multi-modality-pytorch")]
    monkeypatch.setattr(loops.metadata, "version", without_metadata)
    monkeypatch.setattr(loops, "_STAMP", (loops._sources(), *loops._STAMP[1:]))
    first = loop()
    assert (first(2), loops.is_kept(first, loops.signature(first, [2])), kept.exists()) == (3, False, False)


MANY = """
import sys
import numpy as np
from perceiver_pytorch.ops.backends import loops

@loops.loop
def plus(x):
    return x + 1

kinds = [np.int8, np.int16, np.int32, np.int64, np.float32, np.float64, np.uint8, np.uint16][:: int(sys.argv[1])]
print(*[float(plus(kind(2))) for kind in kinds], sum(plus.stats.cache_hits.values()))
"""


def test_two_processes_may_compile_at_once(kept: Path, tmp_path: Path) -> None:
    """The same loops, in opposite orders; a third one finds all of them."""
    (tmp_path / "loop.py").write_text(MANY)

    def start(order: int) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, str(tmp_path / "loop.py"), str(order)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    for process in (start(1), start(-1)):
        out, error = process.communicate(timeout=120)
        assert (process.returncode, error) == (0, "")
        assert out.split()[:-1] == ["3.0"] * 8
    out, error = start(1).communicate(timeout=120)
    assert (out.split(), error) == (["3.0"] * 8 + ["8"], "")
    assert len(list(kept.iterdir())) == 8


def test_layers_share_what_a_context_is_turned_into() -> None:
    context, rows = video()
    with use_backend("compiled"):
        attend(rows, context)
        kept = dict(context.derived)
        attend(rows + 1, context)
    assert kept
    assert all(context.derived[key] is value for key, value in kept.items())


def few_features(spec: Spec) -> int | None:
    return 3 if spec.features and len(spec.axes) == 1 else spec.features


SHAPES = st.lists(specs(), min_size=1, max_size=2), st.integers(1, 3), st.integers(1, 40), st.integers(0, 1000)


@given(*SHAPES)
@settings(deadline=None, max_examples=25)
def test_equals_float64_for_any_shape(drawn: list[Spec], batch: int, latents: int, seed: int) -> None:
    # Numbers of channels that are compiled already; features of one axis are some of them.
    assert_equals_float64([replace(s, channels=3, features=few_features(s)) for s in drawn], batch, latents, seed)


@pytest.mark.nightly
@given(*SHAPES)
@settings(deadline=None, max_examples=25)
def test_equals_float64_for_any_number_of_channels(drawn: list[Spec], batch: int, latents: int, seed: int) -> None:
    assert_equals_float64([replace(spec, channels=max(1, spec.channels)) for spec in drawn], batch, latents, seed)


def assert_equals_float64(drawn: list[Spec], batch: int, latents: int, seed: int) -> None:
    single = Problem.of(*drawn, batch=batch, latents=latents, seed=seed, dtype=torch.float32)
    double = single.to(torch.float64)
    found = {}
    for name, p in (("compiled", single), ("reference", double)):
        inputs = p.requires_grad()
        with use_backend(name):
            output = cross_attend(**p.arguments())
        found[name] = {"output": output.detach()} | gradients(output, inputs)
    largest = max(value.abs().max().item() for value in found["reference"].values() if value.numel())
    for key, expected in found["reference"].items():
        torch.testing.assert_close(found["compiled"][key].double(), expected, rtol=1e-3, atol=1e-5 * max(1.0, largest))


@pytest.mark.parametrize("axes", [(40,), (3, 20)])
def test_what_is_kept_of_a_table_follows_its_changes(axes: tuple[int, ...]) -> None:
    tables = tuple(torch.randn(length, 3) for length in axes)
    data, rows = torch.randn(2, *axes, 3), torch.randn(2, 5, 3 + 3 * len(axes))
    for _ in range(2):
        context = Context(data, tables)
        torch.testing.assert_close(
            compiled.BACKEND.attend(rows, context, 1e-5), reference.BACKEND.attend(rows, context, 1e-5)
        )
        tables[-1].mul_(-2.0)


def test_tables_are_kept_for_every_length_and_read_by_several_threads_at_once() -> None:
    table = torch.randn(40, 4)
    short, long = (compiled._Along.of([table], padded) for padded in (48, 64))
    assert compiled._Along.of([table], 48) is short
    assert compiled._Along.of([table], 64) is long

    def read(padded: int) -> bool:
        table.mul_(1.0)  # another version
        return compiled._Along.of([table], padded).features.shape[1] == padded

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, [48, 64] * 200))
