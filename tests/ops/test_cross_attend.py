"""Cross-attend against keys and values of the whole input array, small and exact; and the calls that it refuses."""

import importlib
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ops.problems import Problem, Spec, dense_attention, dense_tokens
from perceiver_pytorch.ops import attend, cross_attend, use_backend
from perceiver_pytorch.ops.backends.chunked import BACKEND as CHUNKED
from perceiver_pytorch.ops.choose import registered

IMAGE, SERIES, WIDE = Spec(), Spec((7,), channels=1), Spec((5,), channels=70, features=None, code=0)
PROBLEMS = {
    "one context, heads": ((IMAGE,), {"heads": 3}),
    "two contexts, wider values": ((IMAGE, SERIES), {"heads": 2, "value_dim_head": 7}),
    "masks, a sample without tokens": (
        (replace(IMAGE, mask="first sample"), replace(SERIES, mask="first sample")),
        {"heads": 2, "value_bias": True},
    ),
    "one mask, a sample without tokens": ((replace(IMAGE, mask="first sample"),), {"value_bias": True}),
    "a context without tokens": ((replace(IMAGE, mask="none"), SERIES), {"value_bias": True}),
    "an order of channels, scaled": ((replace(IMAGE, ordered=True, affine=True),), {"heads": 2}),
    "a wide array": ((WIDE,), {"heads": 2, "value_dim_head": 3, "value_bias": True}),
}


def results(attention: object, p: Problem, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    output = attention(**p.arguments())
    found = torch.autograd.grad((output**3).sum(), list(inputs.values()), allow_unused=True)
    grads = {n: torch.zeros_like(t) if g is None else g for (n, t), g in zip(inputs.items(), found, strict=True)}
    return {"output": output} | grads


@pytest.mark.parametrize("backend", ["auto", "reference", "chunked", "projected"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_equals_keys_and_values_of_the_whole_array(name: str, backend: str) -> None:
    specs, options = PROBLEMS[name]
    p = Problem.of(*specs, **options)
    inputs = p.requires_grad()
    expected = results(dense_attention, p, inputs)
    with use_backend(backend):
        found = results(cross_attend, p, inputs)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-9, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("backend", ["reference", "chunked", "projected"])
@pytest.mark.parametrize("given", [(), ("norm_weight",), ("norm_bias",), ("value_bias",), ("norm_bias", "value_bias")])
def test_weights_that_may_be_left_out(given: tuple[str, ...], backend: str) -> None:
    for contexts in ((IMAGE,), (IMAGE, replace(SERIES, mask="first sample"))):
        p = Problem.of(*contexts, heads=2, value_bias=True)
        for name in {"norm_weight", "norm_bias", "value_bias"} - {*given}:
            p.weights[name] = None
        expected = dense_attention(**p.arguments(), eps=0.3)
        with use_backend(backend):
            torch.testing.assert_close(cross_attend(**p.arguments(), eps=0.3), expected)


def test_some_contexts_go_by_rows_and_some_by_keys() -> None:
    p = Problem.of(Spec((60, 80)), Spec((20,), channels=300, features=2, mask="first sample"), latents=40, heads=2)
    p.requires_grad()
    expected = dense_attention(**p.arguments())
    torch.testing.assert_close(cross_attend(**p.arguments()), expected)


def test_heads_and_epsilon_have_defaults() -> None:
    p = Problem.of(replace(IMAGE, values=lambda data: data * 1e-2, features=None, code=0))
    arguments = {name: value for name, value in p.arguments().items() if name != "heads"}
    torch.testing.assert_close(cross_attend(**arguments), dense_attention(**arguments, eps=1e-5), rtol=1e-9, atol=0)
    rows = torch.randn(2, 4, 3, dtype=torch.float64)
    tokens = F.layer_norm(dense_tokens(p.contexts[0], torch.float64), (3,), eps=1e-5)
    mixed, lse = attend(rows, p.contexts[0])
    torch.testing.assert_close(mixed, (rows @ tokens.mT).softmax(-1) @ tokens, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(lse, (rows @ tokens.mT).logsumexp(-1), rtol=1e-9, atol=0)


@pytest.mark.parametrize("backend", ["reference", "chunked", "compiled"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_rows_of_half_precision_are_computed_with_in_float32(dtype: torch.dtype, backend: str) -> None:
    context = replace(IMAGE, mask="random").context(2, IMAGE.num_channels, torch.float32)
    rows = torch.randn(2, 4, context.num_channels).to(dtype).requires_grad_()
    full = rows.detach().float().requires_grad_()
    with use_backend(backend):
        found, expected = attend(rows, context), attend(full, context)
    for got, value in zip(found, expected, strict=True):
        assert got.dtype == torch.float32
        assert torch.equal(got, value)
    (grad,), (full_grad,) = (
        torch.autograd.grad(mixed.square().sum() + lse.sum(), [of])
        for (mixed, lse), of in ((found, rows), (expected, full))
    )
    assert torch.equal(grad, full_grad.to(dtype))


def test_queries_of_half_precision_become_rows_of_half_precision_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does, tried on the CPU: each context is read by such rows, and rounding them costs little."""
    p = Problem.of(replace(IMAGE, mask="random"), SERIES, heads=2)
    half = replace(
        p, queries=p.queries.bfloat16(), weights={name: weight.float() for name, weight in p.weights.items()}
    )
    expected = cross_attend(**half.arguments()).float()
    module = importlib.import_module("perceiver_pytorch.ops.cross_attend")  # the name in the package is the function
    monkeypatch.setattr(module, "rows_of", lambda dtype, device: dtype)
    seen = []
    monkeypatch.setattr(
        module,
        "_attend",
        lambda backend, rows, *rest: seen.append(rows.dtype) or backend.attend(rows, *rest),
    )
    with use_backend("chunked"):
        assert torch.equal(cross_attend(**half.arguments()).float(), expected)  # it gains nothing by such rows
    with registered(replace(CHUNKED, name="by_tensor_cores", reads_half=True)), use_backend("by_tensor_cores"):
        found = cross_attend(**half.arguments())
    assert seen == [torch.float32] * 2 + [torch.bfloat16] * 2
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02 * expected.abs().max().item())


def test_rows_attend_to_channels_in_their_own_order() -> None:
    (context,) = Problem.of(replace(IMAGE, ordered=True)).contexts
    rows = torch.randn(2, 4, context.num_channels, dtype=torch.float64)
    tokens = F.layer_norm(dense_tokens(context, torch.float64), (context.num_channels,))
    torch.testing.assert_close(attend(rows, context)[0], (rows @ tokens.mT).softmax(-1) @ tokens)


def test_it_computes_in_the_widest_dtype_and_answers_in_that_of_the_queries() -> None:
    exact = Problem.of(IMAGE, SERIES, heads=2)
    expected = cross_attend(**exact.arguments())
    for queries, weights in ((torch.float32, torch.float64), (torch.float64, torch.float32)):
        mixed = replace(
            exact, queries=exact.queries.to(queries), weights={n: w.to(weights) for n, w in exact.weights.items()}
        )
        got = cross_attend(**mixed.arguments())
        assert got.dtype == queries
        torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)
    single = exact.to(torch.float32)
    half = replace(
        single, queries=single.queries.bfloat16(), weights={n: w.bfloat16() for n, w in single.weights.items()}
    )
    got = cross_attend(**half.arguments())
    assert got.dtype == torch.bfloat16
    rounded = replace(single, queries=half.queries.float(), weights={n: w.float() for n, w in half.weights.items()})
    assert torch.equal(got, cross_attend(**rounded.arguments()).bfloat16())
    plain = cross_attend(**single.arguments())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cross_attend(**single.arguments()), plain)


@pytest.fixture
def problem() -> Problem:
    return Problem.of(Spec(), Spec((7,)), heads=2)


@pytest.mark.usefixtures("user_view")
def test_arguments_that_do_not_fit_are_refused(problem: Problem) -> None:
    arguments = problem.arguments()
    with pytest.raises(ValueError, match="at least one context"):
        cross_attend(**{**arguments, "contexts": []})
    wider = [problem.contexts[0], replace(problem.contexts[1], padding=problem.contexts[1].padding + 1)]
    with pytest.raises(ValueError, match="2 and the weights' 11 channels, got 2 and 12 in context 1"):
        cross_attend(**{**arguments, "contexts": wider})
    with pytest.raises(ValueError, match="heads must divide the 8 channels of the queries, got 3"):
        cross_attend(**{**arguments, "heads": 3})
    with pytest.raises(ValueError, match="heads must divide the 7 channels of the values, got 2"):
        cross_attend(**{**arguments, "value_weight": problem.weights["value_weight"][:7]})
    with pytest.raises(ValueError, match=r"queries must be \(batch, latents, 8\), got \(2, 3, 4\)"):
        cross_attend(**{**arguments, "queries": problem.queries[..., :4]})
    with pytest.raises(ValueError, match=r"queries' batch size 1 and .* got 2 and 11 in context 0"):
        cross_attend(**{**arguments, "queries": problem.queries[:1]})
    for rows in (torch.zeros(2, 3, 5), torch.zeros(1, 3, 11)):
        with pytest.raises(ValueError, match=r"rows must be \(batch=2, rows, channels=11\), got \("):
            attend(rows, problem.contexts[0])
