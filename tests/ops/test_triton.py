"""The Triton backend against the dense computation: on a GPU where there is one, else in Triton's interpreter.

Triton decides when it is imported whether it compiles or interprets. A process that imported it to compile, before any
test here ran, leaves these tests to a process of their own.
"""

import functools
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from ops.problems import Spec, pixels
from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.backends import chunked, reference, triton
from perceiver_pytorch.ops.backends.triton_tiles import Tiles, trying
from perceiver_pytorch.ops.operator import Gradients

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
EPS = 1e-5
CHILD = "PERCEIVER_TESTS_INTERPRET_TRITON"  # set in a process that was started for the tests of this file
Attend = Callable[[Tensor, Context, float], tuple[Tensor, Tensor]]


@functools.cache
def process_of_its_own(marks: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", marks, __file__]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, CHILD: "1"})


@pytest.fixture(autouse=True)
def interpreter(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    """Without a GPU kernels are interpreted: while a test here runs, and not for the tests of other files."""
    monkeypatch.setattr(triton, "SHORT", 16)  # so that small problems have several lines
    if DEVICE.type == "cuda":
        return
    language = sys.modules.get("triton.language")
    if language is not None and type(language.sum).__name__ != "InterpretedFunction":
        assert CHILD not in os.environ, "triton.language was imported before TRITON_INTERPRET was set"
        result = process_of_its_own(pytestconfig.option.markexpr)
        assert result.returncode == 0, result.stdout
        pytest.skip("passed in a process of its own")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(triton, "PROGRAMS", 8)  # they run one after the other


SIZES = {
    "small blocks": {"BLOCK_ROWS": 16, "BLOCK_TOKENS": 16},
    "long lines": {"SHORT": 64, "BLOCK_TOKENS": 32},
    "sums of two": {"PROGRAMS": 1, "SUMMED_AT_ONCE": 2, "SHORT": 4},
}


@pytest.fixture(params=SIZES)
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for size, value in SIZES[request.param].items():
        monkeypatch.setattr(triton, size, value)


@dataclass(frozen=True)
class Problem:
    """Rows that attend to a context, and the gradients of what comes out."""

    rows: Tensor
    context: Context
    grad_mixed: Tensor
    grad_lse: Tensor

    @classmethod
    def of(
        cls,
        spec: Spec,
        *,
        num_rows: int = 5,
        batch: int = 2,
        padding: int = 2,
        score_scale: float = 1.0,
        rows: torch.dtype = torch.float32,
    ) -> "Problem":
        context = spec.context(batch, spec.num_channels + padding, torch.float32)
        shape = (batch, num_rows, context.num_channels)
        values = torch.randn(shape) * score_scale / context.num_channels**0.5
        return cls(values.to(rows), context, torch.randn(shape), torch.randn(shape[:2])).moved(DEVICE)

    def moved(self, to: torch.device | torch.dtype) -> "Problem":
        """On another device, or its rows and float32 tensors in another dtype."""

        def move(tensor: Tensor | None) -> Tensor | None:
            if tensor is None or (isinstance(to, torch.dtype) and tensor.dtype != torch.float32):
                return tensor
            return tensor.detach().to(to)

        context = self.context
        tensors = {key: move(getattr(context, key)) for key in ("data", "code", "mask", "scale", "offset")}
        context = replace(context, tables=tuple(move(table) for table in context.tables), **tensors)
        return Problem(self.rows.detach().to(to), context, move(self.grad_mixed), move(self.grad_lse))

    def inputs(self) -> dict[str, Tensor]:
        """Tensors that may need a gradient, by name."""
        tensors = {"rows": self.rows, "data": self.context.data, "code": self.context.code}
        tensors |= {f"table {axis}": table for axis, table in enumerate(self.context.tables)}
        return {key: t for key, t in tensors.items() if t is not None and t.is_floating_point()}

    def results(self, attend: Attend, of: tuple[str, ...] | None = None) -> dict[str, Tensor]:
        """Outputs, and gradients of all inputs or of those named."""
        inputs = {key: t for key, t in self.inputs().items() if of is None or key in of}
        for tensor in inputs.values():
            tensor.requires_grad_()
        mixed, lse = attend(self.rows, self.context, EPS)
        attended = lse.detach() > float("-inf")
        outputs = [mixed, lse.masked_fill(~attended, 0.0)]
        grads = [self.grad_mixed, self.grad_lse * attended]
        found = torch.autograd.grad(outputs, list(inputs.values()), grads)
        for tensor in inputs.values():
            tensor.requires_grad_(False)
        return {"mixed": mixed.detach(), "lse": outputs[1].detach(), **dict(zip(inputs, found, strict=True))}


IMAGE, SERIES, VIDEO = Spec((2, 37)), Spec((7,), channels=1), Spec((2, 2, 20), channels=2)

PROBLEMS = {
    "one axis": (SERIES, {}),
    "one long axis, many features": (Spec((90,), channels=2, features=21), {}),
    "two axes": (IMAGE, {"num_rows": 40}),
    "three axes": (VIDEO, {"batch": 1}),
    "short axes": (Spec((2, 3, 2, 2), channels=1, features=2), {}),
    "one row, one sample": (SERIES, {"num_rows": 1, "batch": 1}),
    "one token": (Spec((1,), channels=5), {}),
    "many channels": (Spec((20,), channels=40), {}),
    "mask": (replace(IMAGE, mask="random"), {}),
    "a sample without tokens": (replace(IMAGE, mask="first sample"), {}),
    "no tokens": (replace(SERIES, mask="none"), {}),
    "per-sample tables": (replace(IMAGE, per_sample=True, mask="random"), {}),
    "per-sample tables, one axis": (replace(SERIES, per_sample=True), {}),
    "uint8 scaled": (replace(IMAGE, dtype=torch.uint8, values=pixels, affine=True, mask="random"), {}),
    "float scaled": (replace(IMAGE, affine=True), {}),
    "float16": (replace(SERIES, dtype=torch.float16), {}),
    "bfloat16": (replace(SERIES, dtype=torch.bfloat16, mask="random"), {}),
    "bfloat16 rows": (IMAGE, {"rows": torch.bfloat16}),
    "bfloat16 rows and data": (replace(SERIES, dtype=torch.bfloat16, mask="random"), {"rows": torch.bfloat16}),
    "float16 rows, pixels": (replace(IMAGE, dtype=torch.uint8, values=pixels, affine=True), {"rows": torch.float16}),
    "no tables": (replace(IMAGE, features=None), {}),
    "tables without features": (replace(SERIES, features=0), {}),
    "no code": (replace(SERIES, code=0), {}),
    "no padding": (SERIES, {"padding": 0}),
    "data alone": (Spec((3, 20), channels=6, features=None, code=0), {"padding": 0}),
    "large means": (replace(IMAGE, values=lambda data: data + 1e4), {}),
    "large means, data alone": (
        Spec((40,), channels=8, features=None, code=0, values=lambda data: data + 1e4),
        {"padding": 0},
    ),
    "constant tokens": (Spec((6,), channels=4, features=None, code=0, values=torch.zeros_like), {"padding": 0}),
    "scores of 100": (IMAGE, {"score_scale": 1e2}),
    "scores of 10 000": (replace(IMAGE, mask="first sample"), {"score_scale": 1e4}),
}


def problem(name: str) -> Problem:
    spec, options = PROBLEMS[name]
    return Problem.of(spec, **options)


def largest(tensor: Tensor) -> float:
    return tensor.abs().max().item() if tensor.numel() else 0.0


LIKE_OTHERS = (
    *("per-sample tables, one axis", "float scaled", "bfloat16 rows", "tables without features", "no code"),
    *("no padding", "large means", "scores of 100"),
)
"""Problems that go the way of others here. The interpreter is slow."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly if name in LIKE_OTHERS else ()) for name in PROBLEMS]
)
def test_equals_the_dense_computation_in_float64(name: str) -> None:
    check(problem(name))


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("name", [pytest.param("one long axis, many features", marks=pytest.mark.nightly), "mask"])
def test_sizes_of_blocks_do_not_matter(name: str) -> None:
    check(problem(name))


@pytest.mark.parametrize("tiles", [Tiles(16, 16, 4), Tiles(64, 128, 8)], ids=str)
def test_measured_sizes_give_the_same(tiles: Tiles) -> None:
    with trying(tiles):
        check(problem("mask"))


def check(p: Problem) -> None:
    """Errors are at most 1e-6 of the largest entry, for gradients 1e-5 of it and 1e-6 of the largest gradient's, or
    twice those of the dense computation in float32.
    """
    assert triton.BACKEND.unsupported(p.rows, p.context) is None
    exact = p.moved(torch.float64).results(reference.BACKEND.attend)
    ours, plain = p.results(triton.BACKEND.attend), p.results(reference.BACKEND.attend)
    # Scores are rounded in proportion to their size, and the rounding shows in the weights.
    scale = max(1.0, largest(exact["lse"]) / 10)
    most = max(largest(value) for key, value in exact.items() if key not in ("mixed", "lse"))
    for key, value in exact.items():
        got = ours[key]
        assert got.shape == value.shape
        assert got.dtype == plain[key].dtype
        assert torch.isfinite(got).all(), key
        allowed = largest(value) * 1e-6 * scale if key in ("mixed", "lse") else largest(value) * 1e-5 + most * 1e-6
        if got.dtype in (torch.float16, torch.bfloat16):
            allowed = largest(value) * torch.finfo(got.dtype).eps
        allowed = max(allowed, 2 * largest(plain[key] - value))
        assert largest(got - value) <= allowed, f"{key}: {largest(got - value):.1e}, allowed {allowed:.1e}"


def test_masked_tokens_may_hold_anything() -> None:
    p = problem("mask")
    expected = p.results(triton.BACKEND.attend)
    holes = ~p.context.mask.unsqueeze(-1)
    for junk in (float("nan"), float("inf")):
        dirty = replace(p, context=replace(p.context, data=p.context.data.masked_fill(holes, junk)))
        for key, got in dirty.results(triton.BACKEND.attend).items():
            assert torch.equal(got, expected[key]), key


def test_a_sample_without_tokens_gives_zeros_and_no_gradient() -> None:
    p = problem("a sample without tokens")
    mixed, lse = triton.BACKEND.attend(p.rows, p.context, EPS)
    assert (mixed[0] == 0).all()
    assert (lse[0] == float("-inf")).all()
    found = p.results(triton.BACKEND.attend)
    assert (found["rows"][0] == 0).all()
    assert (found["data"][0] == 0).all()


def test_tensors_need_not_be_contiguous() -> None:
    p = problem("mask")
    expected = p.results(triton.BACKEND.attend)

    def turned(tensor: Tensor) -> Tensor:
        """The same values, with the last two dimensions the other way round in memory."""
        return tensor.mT.contiguous().mT

    context = p.context
    tables = tuple(turned(table) for table in context.tables)
    strided = replace(context, data=turned(context.data), tables=tables, mask=turned(context.mask))
    lse = p.grad_lse.T.contiguous().T
    rows, grad = (t.transpose(0, 1).contiguous().transpose(0, 1) for t in (p.rows, p.grad_mixed))
    for key, got in Problem(rows, strided, grad, lse).results(triton.BACKEND.attend).items():
        torch.testing.assert_close(got, expected[key], rtol=1e-5, atol=1e-5, msg=lambda m, k=key: k + m)
    check(replace(p, context=replace(context, data=context.data[:1].expand(2, -1, -1, -1))))
    short = problem("short axes")  # all of which are counted as one
    data = short.context.data.transpose(1, 2).contiguous().transpose(1, 2)
    check(replace(short, context=replace(short.context, data=data)))


NEEDED = [("rows",), ("table 1",)]
MORE_NEEDED = [("data",), ("code",), ("rows", "data")]


@pytest.mark.parametrize(
    "names", [*NEEDED, *(pytest.param(names, marks=pytest.mark.nightly) for names in MORE_NEEDED)], ids=str
)
def test_gradients_of_what_needs_none_are_not_computed(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem("mask")
    expected = p.results(triton.BACKEND.attend)
    asked = []
    original = triton.TritonAttend._token_gradients

    def token_gradients(*arguments: object) -> Gradients:
        asked.append(arguments[-2:])
        return original(*arguments)

    monkeypatch.setattr(triton.TritonAttend, "_token_gradients", token_gradients)
    for key, got in p.results(triton.BACKEND.attend, names).items():
        assert torch.equal(got, expected[key]), key
    if names == ("rows",):
        assert not asked
    else:
        assert asked == [("data" in names, "code" in names or "table 1" in names)]


def test_runs_give_the_same_bits() -> None:
    p = problem("one long axis, many features")
    first, second = p.results(triton.BACKEND.attend), p.results(triton.BACKEND.attend)
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_sums_over_many_tokens_lose_no_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that are all positive, as pixels are: a running sum of so many rounds the same way again and again.

    The measure is the same mathematics in PyTorch, which sums up in pieces.
    """
    monkeypatch.setattr(triton, "PROGRAMS", 1)
    axes = (260, 130) if DEVICE.type == "cuda" else (70, 64)
    tables = tuple(torch.rand(length, 5) for length in axes)
    context = Context(torch.rand(1, *axes, 3), tables, torch.tensor([0.0, 1.0]))
    shape = (1, 6, context.num_channels)
    p = Problem(torch.randn(shape), context, torch.rand(shape), torch.rand(shape[:2])).moved(DEVICE)
    of = ("rows",)
    exact = p.moved(torch.float64).results(reference.BACKEND.attend, of)
    ours, measure = p.results(triton.BACKEND.attend, of), p.results(chunked.BACKEND.attend, of)
    for key, value in exact.items():
        allowed = 2 * (measure[key] - value).norm() + 2 * torch.finfo(torch.float32).eps * value.norm()
        assert (ours[key] - value).norm() <= allowed, key


def operator_arguments(p: Problem) -> tuple[object, ...]:
    context = p.context
    constants = (context.code, context.mask, context.scale, context.offset, context.padding)
    return p.rows, context.data, list(context.tables), *constants, EPS


@pytest.mark.parametrize(
    "name",
    [
        "uint8 scaled",
        *(pytest.param(n, marks=pytest.mark.nightly) for n in ("per-sample tables, one axis", "bfloat16 rows")),
    ],
)
def test_the_operators_keep_torchs_rules(name: str) -> None:
    p = problem(name)
    for tensor in p.inputs().values():
        tensor.requires_grad_()
    arguments = operator_arguments(p)
    utilities = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.perceiver_pytorch.attend_triton.default, arguments, test_utils=utilities)
    with torch.no_grad():
        outputs = torch.ops.perceiver_pytorch.attend_triton(*arguments)
    for tensor in p.inputs().values():
        tensor.requires_grad_(False)
    for needs in ((True, False), (False, True)):
        torch.library.opcheck(
            torch.ops.perceiver_pytorch.attend_triton_backward.default,
            (p.grad_mixed, p.grad_lse, *outputs, *arguments, needs[0] and name != "uint8 scaled", needs[1]),
            test_utils=("test_schema", "test_faketensor"),
        )


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.usefixtures("fresh_compiler")
def test_is_one_operator_to_the_compiler() -> None:
    p = problem("mask")
    expected = p.results(triton.BACKEND.attend, ("rows",))

    def attend(rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
        if triton.BACKEND.unsupported(rows, context) is not None:
            raise ValueError("not supported")
        return triton.BACKEND.attend(rows, context, eps)

    compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")
    for key, got in p.results(compiled, ("rows",)).items():
        assert torch.equal(got, expected[key]), key


def test_says_what_it_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem("one axis")

    def reason(p: Problem) -> str | None:
        return triton.BACKEND.unsupported(p.rows, p.context)

    def with_data(data: Tensor) -> Problem:
        return replace(p, context=replace(p.context, data=data, padding=20))

    assert reason(p) is None
    assert "float64" in reason(p.moved(torch.float64))
    assert "int64" in reason(with_data(p.context.data.long()))
    assert "65" in reason(with_data(p.context.data.expand(-1, -1, 65)))
    assert "nothing" in triton.BACKEND.unsupported(p.rows, Context(p.context.data[:, :0]))
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    assert "CUDA" in reason(p.moved(torch.device("cpu")))
    monkeypatch.setattr(triton, "_INSTALLED", False)
    assert "pip install triton" in reason(p)


def test_triton_is_imported_on_first_use() -> None:
    code = "import sys, perceiver_pytorch.ops.backends.triton; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
