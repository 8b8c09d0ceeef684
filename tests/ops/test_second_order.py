"""Gradients of gradients, and all that `torch.func` makes of a cross-attend, by every backend and at every size.

Held against attention with explicit keys and values in float64.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from ops.problems import Problem, Spec, dense_attention, pixels
from perceiver_pytorch.ops import backend_names, cross_attend, use_backend
from perceiver_pytorch.ops.second_order import gradients

PROBLEMS = {
    "an image": ((Spec(),), {}),
    "masks, two contexts, heads": ((Spec(mask="first sample"), Spec((7,), channels=1, mask="random")), {"heads": 2}),
    "tables of samples, scaled pixels": ((Spec(per_sample=True, dtype=torch.uint8, values=pixels, affine=True),), {}),
    "channels in an order of their own": ((Spec(ordered=True),), {}),
    "large scores": ((Spec(),), {"score_scale": 60.0}),
    "many tokens": ((Spec((9, 40)),), {}),
}

Function = Callable[[dict[str, Tensor]], Tensor]


def functions(problem: Problem, attention: Callable[..., Tensor]) -> tuple[Function, dict[str, Tensor]]:
    """A scalar of the attention as a function of all that may be learned, and where to start from."""
    start = {"queries": problem.queries, **problem.weights}
    for i, context in enumerate(problem.contexts):
        start |= {f"{i} code": context.code, f"{i} table": context.tables[-1]}
        if context.data.is_floating_point():
            start[f"{i} data"] = context.data

    def function(values: dict[str, Tensor]) -> Tensor:
        contexts = [
            replace(
                context,
                data=values.get(f"{i} data", context.data),
                code=values[f"{i} code"],
                tables=(*context.tables[:-1], values[f"{i} table"]),
            )
            for i, context in enumerate(problem.contexts)
        ]
        weights = {name: values[name] for name in problem.weights}
        out = attention(values["queries"], contexts, **weights, heads=problem.heads)
        return (out**3).mean() + out.sin().sum()

    return function, start


def twice_backward(function: Function, start: dict[str, Tensor]) -> dict[str, Tensor]:
    values = {name: value.clone().requires_grad_() for name, value in start.items()}
    grads = torch.autograd.grad(function(values), list(values.values()), create_graph=True)
    penalty = sum((g - 0.1).square().sum() for g in grads)
    assert isinstance(penalty, Tensor)
    return dict(zip(values, torch.autograd.grad(penalty, list(values.values())), strict=True))


def forward_over_reverse(function: Function, start: dict[str, Tensor]) -> dict[str, Tensor]:
    return torch.func.jvp(torch.func.grad(function), (start,), (start,))[1]


def dual(function: Function, start: dict[str, Tensor]) -> Tensor:
    with forward_ad.dual_level():
        values = {name: forward_ad.make_dual(value, value) for name, value in start.items()}
        tangent = forward_ad.unpack_dual(function(values)).tangent
    assert tangent is not None
    return tangent


def of_several(function: Function, start: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients for three queries at once."""
    queries = torch.stack([start["queries"], -start["queries"], 0.5 * start["queries"]])
    rest = {name: value for name, value in start.items() if name != "queries"}

    def one(query: Tensor) -> dict[str, Tensor]:
        return torch.func.grad(function)({"queries": query, **rest})

    return torch.func.vmap(one)(queries)


WAYS = {
    "grad": lambda function, start: torch.func.grad(function)(start),
    "jacrev": lambda function, start: torch.func.jacrev(function)(start),
    "jvp": lambda function, start: torch.func.jvp(function, (start,), (start,))[1],
    "dual": dual,
    "vmap of grad": of_several,
    "backward twice": twice_backward,
    "jvp of grad": forward_over_reverse,
}


@pytest.mark.parametrize("backend", ["auto", *(name for name in backend_names() if name != "triton")])
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own use of it
def test_every_backend_gives_what_the_dense_array_gives(way: str, name: str, backend: str) -> None:
    specs, options = PROBLEMS[name]
    problem = Problem.of(*specs, **options)
    expected = WAYS[way](*functions(problem, dense_attention))
    dtype = torch.float32 if backend == "compiled" else torch.float64
    with use_backend(backend):
        found = WAYS[way](*functions(problem.to(dtype), cross_attend))
    tolerance = 1e-8 if dtype == torch.float64 else 2e-3
    for part in expected if isinstance(expected, dict) else [None]:
        a, b = (found, expected) if part is None else (found[part], expected[part])
        scale = float(b.abs().max())
        torch.testing.assert_close(
            a.double(), b, rtol=tolerance, atol=tolerance * scale, msg=lambda m, p=part: f"{p}: {m}"
        )


def test_an_input_made_of_another_is_not_counted_twice() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    y = x * x
    by_x, by_y = gradients(lambda a, b: a * b, [x, y], [True, True], [torch.ones(())])
    assert (by_x.item(), by_y.item()) == (9.0, 3.0)
    assert torch.autograd.grad(by_x, x)[0] == 6.0


def test_what_wants_no_gradient_and_what_is_not_there_have_none() -> None:
    x, y = torch.ones(2, requires_grad=True), torch.ones(2)
    found = gradients(lambda a, b, c: a * b, [x, y, None], [True, False, False], [torch.ones(2)])
    assert found[0] is not None
    assert found[1:] == [None, None]
