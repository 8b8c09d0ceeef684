"""Every backend against attention with explicit keys and values: outputs, gradients, precision, odd inputs."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ops.errors import Errors, gradients
from ops.problems import HARD, IMAGE, PROBLEMS, SERIES, VIDEO, Problem, Spec, dense_attention
from ops.test_cost import costs
from perceiver_pytorch.ops import Context, attend, backend_names, cross_attend, use_backend
from perceiver_pytorch.ops.backend import Rows
from perceiver_pytorch.ops.backends import chunked, compiled, grid
from test_contracts import compare

SINGLE = ("compiled", "triton")  # they compute in float32
REFUSED = {
    "compiled": ("int64", "no data channels", "a wide array", "a wide array, a sample without tokens"),
}
HERE = [name for name in backend_names() if name != "triton"]  # see test_triton.py

dtype_of_problems = torch.float64


def problem(name: str, **changes: object) -> Problem:
    specs, options = PROBLEMS[name]
    p = Problem.of(*specs, **{**options, **changes})
    return p if "dtype" in changes else p.to(dtype_of_problems)


@pytest.fixture
def select(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Selects a backend, and the dtype of problems with it."""
    with contextlib.ExitStack() as stack:

        def to(name: str) -> None:
            monkeypatch.setattr(sys.modules[__name__], "dtype_of_problems", float32_or_wider(name))
            stack.enter_context(use_backend(name))

        yield to


def float32_or_wider(name: str) -> torch.dtype:
    return torch.float32 if name in SINGLE else torch.float64


@pytest.fixture(params=HERE)
def backend(request: pytest.FixtureRequest, select: Callable[[str], None]) -> str:
    select(request.param)
    return request.param


@pytest.fixture(params=[name for name in HERE if name not in SINGLE])
def double_backend(request: pytest.FixtureRequest, select: Callable[[str], None]) -> str:
    select(request.param)
    return request.param


DOUBLE_TILES = [("chunked", 1 << 18), ("chunked", 20), ("chunked", 1), ("reference", 0)]


def set_tiles(name: str, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "chunked":
        monkeypatch.setattr(chunked, "TILE_PAIRS", pairs)
    if name == "compiled":
        monkeypatch.setattr(grid, "TILE_BYTES", 16 * pairs * 20)  # 20: bytes of a token of three channels
        monkeypatch.setattr(grid, "SEGMENT", 16 * pairs)
        monkeypatch.setattr(grid, "SHORT", 16 * pairs)
        monkeypatch.setattr(grid, "PART_PAIRS", pairs)


@pytest.fixture(params=DOUBLE_TILES, ids=str)
def double_tiles(
    request: pytest.FixtureRequest, select: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every backend that takes float64, the chunked one with several sizes of its tiles, down to single tokens."""
    select(request.param[0])
    set_tiles(*request.param, monkeypatch)


@pytest.fixture(params=[*DOUBLE_TILES, ("compiled", 64), ("compiled", 1)], ids=str)
def tiles(request: pytest.FixtureRequest, select: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every backend with several sizes of its tiles."""
    select(request.param[0])
    set_tiles(*request.param, monkeypatch)


@pytest.mark.usefixtures("double_tiles")
@pytest.mark.parametrize("name", PROBLEMS)
def test_equals_explicit_keys_and_values(name: str) -> None:
    p = problem(name)
    inputs = p.requires_grad()
    got, expected = cross_attend(**p.arguments()), dense_attention(**p.arguments())
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    got_gradients, expected_gradients = gradients(got, inputs), gradients(expected, inputs)
    for key, value in expected_gradients.items():
        half = value.dtype in (torch.float16, torch.bfloat16)  # the gradient of such data has its dtype
        tolerance = torch.finfo(value.dtype).eps * 4 if half else 1e-9
        assert got_gradients[key].dtype == value.dtype
        torch.testing.assert_close(
            got_gradients[key], value, rtol=tolerance, atol=tolerance, msg=lambda m, k=key: k + m
        )


@pytest.mark.usefixtures("double_backend")
@pytest.mark.parametrize("without", ["norm_weight", "norm_bias", "both"])
def test_norm_weights_may_be_left_out(without: str) -> None:
    p = problem("several contexts")
    for name in ("norm_weight", "norm_bias"):
        if without in (name, "both"):
            p.weights[name] = None
    torch.testing.assert_close(cross_attend(**p.arguments()), dense_attention(**p.arguments()), rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("double_backend")
@pytest.mark.parametrize("eps", [1e-12, 1e-5, 1.0])
def test_epsilon_is_that_of_the_norm(eps: float) -> None:
    p = problem("several contexts")
    got, expected = cross_attend(**p.arguments(), eps=eps), dense_attention(**p.arguments(), eps=eps)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [*PROBLEMS, *HARD])
def test_float32_errs_at_most_twice_as_much_as_dense_float32(name: str, backend: str) -> None:
    specs, options = (PROBLEMS | HARD)[name]
    if name in REFUSED.get(backend, ()):
        with pytest.raises(ValueError, match=f"no backend takes this cross-attend: {backend}: "):
            cross_attend(**problem(name).arguments())
        return
    errors = Errors.of(specs, options)
    for key, (error, allowed) in errors.allowed(options.get("score_scale", 1.0)).items():
        largest = errors.largest
        assert error <= allowed, f"{key}: {error / largest:.1e} of the largest, allowed {allowed / largest:.1e}"


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("axes", [(260, 130), (33_333,)], ids=str)
def test_sums_over_many_tokens_lose_no_digits(axes: tuple[int, ...]) -> None:
    """Values that are all positive, as pixels are: a running sum of so many rounds the same way again and again."""

    def answer(rows: Tensor, context: Context, attention: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        rows = rows.clone().requires_grad_()
        mixed = attention(rows, context)
        (gradient,) = torch.autograd.grad(mixed.square().sum(), rows)
        return mixed.detach(), gradient

    def dense(rows: Tensor, context: Context) -> Tensor:
        tokens = F.layer_norm(context.dense(rows.dtype), rows.shape[-1:])
        return (rows @ tokens.mT).softmax(-1) @ tokens

    features = 3 if len(axes) == 1 else 5  # as many channels as there are loops for
    tables = tuple(torch.rand(length, features) for length in axes)
    context = Context(torch.rand(1, *axes, 3), tables, torch.tensor([0.0, 1.0]))
    rows = torch.randn(1, 6, context.num_channels)
    ours = answer(rows, context, lambda rows, context: attend(rows, context)[0])
    plain, exact = answer(rows, context, dense), answer(rows.double(), context, dense)
    for got, other, value in zip(ours, plain, exact, strict=True):
        allowed = 2 * (other - value).square().sum().sqrt() + 2 * torch.finfo(torch.float32).eps * value.norm()
        assert (got - value).square().sum().sqrt() <= allowed


@pytest.mark.usefixtures("tiles")
def test_masked_tokens_may_hold_anything() -> None:
    clean = problem("mask")
    (context,) = clean.contexts
    holes = ~context.mask.unsqueeze(-1)
    for junk in (float("nan"), float("inf"), -1e30):
        dirty = replace(clean, contexts=[replace(context, data=context.data.masked_fill(holes, junk))])
        inputs, dirty_inputs = clean.requires_grad(), dirty.requires_grad()
        got, expected = cross_attend(**dirty.arguments()), cross_attend(**clean.arguments())
        assert torch.equal(got, expected)
        expected_gradients = gradients(expected, inputs)
        for name, gradient in gradients(got, dirty_inputs).items():
            assert torch.equal(gradient, expected_gradients[name]), name


@pytest.mark.usefixtures("tiles")
def test_masked_data_has_no_gradient() -> None:
    p = problem("mask")
    inputs = p.requires_grad()
    gradient = gradients(cross_attend(**p.arguments()), inputs)["data 0"]
    assert (gradient[~p.contexts[0].mask] == 0).all()
    assert (gradient[p.contexts[0].mask] != 0).any(-1).all()


@pytest.mark.usefixtures("tiles")
def test_a_sample_without_tokens_gives_zeros_and_no_gradient() -> None:
    p = problem("a sample without tokens")
    inputs = p.requires_grad()
    output = cross_attend(**p.arguments())
    assert (output[0] == 0).all()
    assert (output[1] != 0).all()
    found = gradients(output, inputs)
    assert all(torch.isfinite(gradient).all() for gradient in found.values())
    assert (found["queries"][0] == 0).all()
    assert (found["data 0"][0] == 0).all()


@pytest.mark.usefixtures("backend")
def test_no_sample_with_a_token_gives_zeros() -> None:
    p = Problem.of(replace(IMAGE, mask="none"), replace(SERIES, mask="none")).to(dtype_of_problems)
    inputs = p.requires_grad()
    output = cross_attend(**p.arguments())
    assert (output == 0).all()
    assert all((gradient == 0).all() for gradient in gradients(output, inputs).values())


@pytest.mark.usefixtures("tiles")
def test_scores_of_ten_thousand_are_finite() -> None:
    for dtype in {torch.float32, dtype_of_problems}:
        p = problem("several contexts", score_scale=1e4).to(dtype)
        inputs = p.requires_grad()
        output = cross_attend(**p.arguments())
        assert torch.isfinite(output).all()
        assert all(torch.isfinite(gradient).all() for gradient in gradients(output, inputs).values())


@pytest.mark.usefixtures("double_tiles")
def test_gradients_agree_with_finite_differences() -> None:
    p = Problem.of(replace(VIDEO, mask="random", per_sample=True), replace(SERIES, affine=True), heads=2, latents=2)
    names, tensors = zip(*p.requires_grad().items(), strict=True)

    def output(*values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        contexts = [
            replace(
                context,
                data=given[f"data {i}"],
                tables=tuple(given[f"table {i}, {axis}"] for axis in range(len(context.tables))),
                code=given[f"code {i}"],
            )
            for i, context in enumerate(p.contexts)
        ]
        weights = {name: given[name] for name in p.weights}
        return cross_attend(given["queries"], contexts, heads=p.heads, **weights)

    assert torch.autograd.gradcheck(output, tensors, fast_mode=True)


@pytest.mark.usefixtures("double_tiles")
def test_each_result_of_attend_has_its_own_gradient() -> None:
    """The log-sum-exp is differentiated too: contexts are joined by it."""
    p = Problem.of(replace(IMAGE, axes=(2, 3), mask="random"))
    (context,) = p.contexts
    rows = torch.randn(2, 2, context.num_channels, dtype=torch.float64, requires_grad=True)
    tensors = (rows, context.data.requires_grad_(), *(t.requires_grad_() for t in context.tables))
    code = context.code.requires_grad_()

    def both(rows: Tensor, data: Tensor, *constants: Tensor) -> tuple[Tensor, Tensor]:
        return attend(rows, replace(context, data=data, tables=constants[:-1], code=constants[-1]))

    assert torch.autograd.gradcheck(both, (*tensors, code), fast_mode=True)


@pytest.mark.usefixtures("double_backend")
def test_attend_returns_mean_token_and_log_sum_exp() -> None:
    p = problem("a sample without tokens")
    (context,) = p.contexts
    rows = torch.randn(2, 4, context.num_channels, dtype=torch.float64)
    mixed, lse = attend(rows, context)
    assert mixed.shape == rows.shape
    assert lse.shape == rows.shape[:2]
    assert (lse[0] == float("-inf")).all()
    assert (mixed[0] == 0).all()
    tokens = torch.nn.functional.layer_norm(context.dense()[1], (context.num_channels,))[context.mask[1].flatten()]
    scores = rows[1] @ tokens.T
    torch.testing.assert_close(lse[1], scores.logsumexp(-1))
    torch.testing.assert_close(mixed[1], scores.softmax(-1) @ tokens)


@pytest.mark.usefixtures("backend")
def test_half_precision_queries_are_computed_in_float32() -> None:
    p = problem("several contexts", dtype=torch.float32)
    exact = cross_attend(**p.arguments())
    for dtype in (torch.float16, torch.bfloat16):
        half = replace(p, queries=p.queries.to(dtype), weights={n: w.to(dtype) for n, w in p.weights.items()})
        got = cross_attend(**half.arguments())
        assert got.dtype == dtype
        rounded = replace(
            p, queries=half.queries.float(), weights={name: w.float() for name, w in half.weights.items()}
        )
        assert torch.equal(got, cross_attend(**rounded.arguments()).to(dtype))
        torch.testing.assert_close(got.float(), exact, rtol=0.1, atol=0.1)


@pytest.mark.usefixtures("backend")
def test_autocast_does_not_round_the_scores() -> None:
    p = problem("several contexts", dtype=torch.float32)
    expected = cross_attend(**p.arguments())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cross_attend(**p.arguments()), expected)


@pytest.mark.usefixtures("tiles")
def test_order_of_contexts_does_not_matter() -> None:
    p = problem("several contexts")
    turned = replace(p, contexts=p.contexts[::-1])
    torch.testing.assert_close(cross_attend(**p.arguments()), cross_attend(**turned.arguments()))


@pytest.mark.usefixtures("backend")
def test_inputs_are_left_as_they_are() -> None:
    p = problem("several contexts")
    before = {name: tensor.clone() for name, tensor in p.requires_grad().items()}
    cross_attend(**p.arguments()).sum().backward()
    after = p.requires_grad()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.usefixtures("backend")
def test_tensors_need_not_be_contiguous() -> None:
    p = problem("mask")
    (context,) = p.contexts
    strided = replace(
        context,
        data=context.data.transpose(1, 2).contiguous().transpose(1, 2),
        tables=tuple(table.T.contiguous().T for table in context.tables),
        mask=context.mask.transpose(0, 1).contiguous().transpose(0, 1),
    )
    expanded = replace(context, data=context.data[:1].expand(2, -1, -1, -1))
    for changed in (strided, expanded):
        q = replace(p, contexts=[changed])
        torch.testing.assert_close(cross_attend(**q.arguments()), dense_attention(**q.arguments()))


BOXES = {
    # batch and axes, rows: boxes, the last one; samples, lines by the outer axes, by the inner one, tokens of a line
    ((2, 7), 3): (1, ((0, 2), (0, 7)), (2, 1, 1, 7), (2, 1, 1, 7)),
    ((2, 1300), 3): (2, ((0, 2), (1024, 1300)), (2, 1, 2, 512), (2, 1, 1, 276)),
    ((2, 40, 31), 12): (2, ((0, 2), (32, 40), (0, 31)), (2, 1, 2, 496), (2, 1, 1, 248)),
    ((2, 40, 32), 12): (1, ((0, 2), (0, 40), (0, 32)), (2, 40, 1, 32), (2, 40, 1, 32)),
    ((1, 500, 700), 12): (10, ((0, 1), (496, 500), (512, 700)), (1, 124, 1, 512), (1, 4, 1, 188)),
    ((3, 5, 4, 6), 7): (1, ((0, 3), (0, 5), (0, 4), (0, 6)), (3, 1, 1, 120), (3, 1, 1, 120)),
    ((1, 100_000), 64): (8, ((0, 1), (99_840, 100_000)), (1, 1, 32, 512), (1, 1, 1, 160)),
    ((1, 300, 300), 4096): (600, ((0, 1), (299, 300), (256, 300)), (1, 1, 1, 256), (1, 1, 1, 44)),
}


@pytest.mark.parametrize(("shape", "rows"), BOXES, ids=str)
def test_boxes_of_some_shapes(shape: tuple[int, ...], rows: int) -> None:
    tokens = chunked._Tokens(Context(torch.zeros(*shape, 1)), torch.float32, 1e-5)
    boxes = list(tokens.boxes(rows))
    last = tuple((part.start, part.stop) for part in boxes[-1])
    assert (len(boxes), last, tokens.shape(boxes[0]), tokens.shape(boxes[-1])) == BOXES[shape, rows]


def test_what_the_compiled_loops_refuse() -> None:
    def reason(
        channels: int = 3, tokens: int = 5, rows: int = 4, dtype: torch.dtype = torch.float32, device: str = "cpu"
    ) -> str | None:
        data = torch.zeros(1, tokens, channels, dtype=dtype if dtype != torch.float64 else torch.float32)
        single = torch.float64 if dtype == torch.float64 else torch.float32
        return compiled.BACKEND.unsupported(Rows((1, rows, channels), single, torch.device(device)), Context(data))

    pytest.importorskip("numba")
    for channels in (1, 64):
        assert reason(channels) is None
    assert reason(0) == "it takes 1 to 64 raw channels, not 0"
    assert reason(65) == "it takes 1 to 64 raw channels, not 65"
    assert reason(device="cuda") == "it runs on the CPU only"
    assert reason(dtype=torch.float64) == "it computes in float32, not torch.float64"
    assert reason(dtype=torch.int64) == "it does not read torch.int64"
    assert reason(tokens=0) == reason(rows=0) == "there is nothing to attend to"
    for dtype in (torch.uint8, torch.bool, torch.bfloat16, torch.float16):
        assert reason(dtype=dtype) is None


def test_what_surrounds_compiled_loops_runs_in_one_thread_if_it_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its largest product is of rows and the features of an axis; there is none where features are channels."""
    given: list[int] = []

    def note(work: int) -> contextlib.nullcontext[None]:
        given.append(work)
        return contextlib.nullcontext()

    monkeypatch.setattr(compiled.threads, "single_threaded", note)
    run = compiled._single_threaded(lambda rows, context, *others: (rows, context, *others))
    rows = torch.zeros(2, 3, 11)
    image, series = (Context(torch.zeros(2, *axes, 3)) for axes in ((4, 7), (7,)))
    assert run(rows, image, 5) == (rows, image, 5)
    run(rows, series)
    assert given == [2 * 3 * 11 * 7, 0]


def test_features_of_the_inner_axis_are_kept_until_their_table_changes() -> None:
    table = torch.arange(10.0).view(5, 2)
    short, long = (compiled._Along.of([table], padded) for padded in (16, 32))
    for made, padded in ((short, 16), (long, 32)):
        assert compiled._Along.of([table], padded) is made
        assert made.features.shape == (1, padded, 2)
        assert torch.equal(made.features[0, :5], table)
        assert (made.features[:, 5:] == 0).all()
        assert torch.equal(made.by_feature, made.features.mT)
        assert made.statistics[0, :, :5].tolist() == [[0.5, 2.5, 4.5, 6.5, 8.5], [0.5] * 5]
    assert compiled._ALONG[table][1] == {16: short, 32: long}
    table += 1
    again = compiled._Along.of([table], 16)
    assert torch.equal(again.features[0, :5], table)
    assert compiled._ALONG[table][1] == {16: again}  # what was made of the table before is gone
    both = compiled._Along.of([table, table[:2]], 16)
    assert both.features.shape == (1, 16, 4)
    assert both.features[0, 1].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert compiled._Along.of([table, table[:2]], 16) is not both
    with torch.inference_mode():
        fleeting = torch.ones(5, 2)
    assert compiled._Along.of([fleeting], 16) is not compiled._Along.of([fleeting], 16)


def test_costs_are_what_they_were() -> None:
    """The choice of a backend rests on them; see `ops.cost` for how they were measured."""
    compare("costs.txt", costs())


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    axes = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    return Spec(
        axes=axes,
        channels=draw(st.integers(0, 4)),
        features=draw(st.none() | st.integers(0, 3)),
        code=draw(st.integers(0, 3)),
        mask=draw(st.sampled_from([None, "random", "first sample", "none"])),
        per_sample=draw(st.booleans()),
        affine=draw(st.booleans()),
    )


@given(
    st.lists(specs(), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from([1, 7, 64, 1 << 18]),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=60)
def test_chunked_equals_reference_for_any_shape(
    drawn: list[Spec], batch: int, latents: int, heads: int, extra_padding: int, tile: int, seed: int
) -> None:
    if max(spec.num_channels for spec in drawn) + extra_padding == 0:
        extra_padding = 1
    p = Problem.of(*drawn, batch=batch, latents=latents, heads=heads, extra_padding=extra_padding, seed=seed)
    inputs = p.requires_grad()
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunked, "TILE_PAIRS", tile)
        for name in ("reference", "chunked"):
            with use_backend(name):
                output = cross_attend(**p.arguments())
                found[name] = {"output": output} | gradients(output, inputs)
    for key, expected in found["reference"].items():
        torch.testing.assert_close(found["chunked"][key], expected, rtol=1e-8, atol=1e-8)
