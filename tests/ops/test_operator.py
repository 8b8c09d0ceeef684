"""What two functions of a backend become: an operator with gradients of what is asked for, and of nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from ops.problems import Problem, Spec
from perceiver_pytorch.ops.backends.chunked import ChunkedAttend
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.dense import attend_dense
from perceiver_pytorch.ops.operator import Gradients, define

asked_for: list[tuple[bool, bool]] = []
"""``needs_data, needs_constants`` of every backward pass, in order."""
autocast: list[bool] = []
"""Whether autocast was on in each call of either function."""


def forward(rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
    autocast.append(torch.is_autocast_enabled("cpu"))
    return ChunkedAttend.forward(rows, context, eps)


def backward(rows: Tensor, *arguments: Any) -> Gradients:
    autocast.append(torch.is_autocast_enabled("cpu"))
    asked_for.append(arguments[-2:])
    return ChunkedAttend.backward(rows, *arguments)


attend = define("checked", forward, backward)
OPERATOR = torch.ops.perceiver_pytorch.attend_checked
SPECS = {
    "code and tables": Spec(mask="random", affine=True),
    "no tables": Spec(features=None),
    "no code": Spec((2, 3, 4), code=0),
    "tables of samples": Spec(per_sample=True),
    "pixels": Spec(dtype=torch.uint8, values=lambda data: data.abs() * 50),
}


def as_operator(rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
    """The way through PyTorch's dispatcher, as a compiled graph calls it."""
    constants = (context.code, context.mask, context.scale, context.offset, context.padding)
    return OPERATOR(rows, context.data, list(context.tables), *constants, eps)


def inputs(spec: Spec, *names: str) -> tuple[Tensor, Context, list[Tensor]]:
    """Rows, a context, and the tensors of these names, for which gradients are to be asked."""
    (context,) = Problem.of(spec, extra_padding=2).contexts
    rows = torch.randn(2, 3, context.num_channels, dtype=torch.float64)
    parts = {"rows": rows, "data": context.data, "code": context.code, "tables": context.tables}
    wanted = [t for name in names for t in (parts[name] if name == "tables" else (parts[name],)) if t is not None]
    wanted = [t.requires_grad_() for t in wanted if t.is_floating_point()]
    return rows, context, wanted


@pytest.fixture(autouse=True)
def nothing_noted() -> None:
    asked_for.clear()
    autocast.clear()


@pytest.mark.parametrize("way", [attend, as_operator], ids=["autograd function", "operator"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_values_and_gradients_are_those_of_the_two_functions(spec: Spec, way: object) -> None:
    rows, context, wanted = inputs(spec, "rows", "data", "code", "tables")
    found, expected = way(rows, context, 0.1), attend_dense(rows, context, 0.1)
    weights = [torch.randn_like(output) for output in expected]
    for got, value in zip(found, expected, strict=True):
        torch.testing.assert_close(got, value)
    grads, exact = (torch.autograd.grad(outputs, wanted, weights) for outputs in (found, expected))
    for got, value in zip(grads, exact, strict=True):
        torch.testing.assert_close(got, value)
    constants = context.code is not None or bool(context.tables)
    assert asked_for == [(context.data.is_floating_point(), constants)]


@pytest.mark.parametrize("way", [attend, as_operator], ids=["autograd function", "operator"])
@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (("rows",), (False, False)),
        (("data",), (True, False)),
        (("code",), (False, True)),
        (("tables",), (False, True)),
        (("rows", "data", "tables"), (True, True)),
    ],
    ids=str,
)
def test_only_what_wants_a_gradient_is_asked_for(names: Sequence[str], asked: tuple[bool, bool], way: object) -> None:
    for spec in (Spec(), Spec(features=None)):
        rows, context, wanted = inputs(spec, *names)
        if not wanted:
            continue
        asked_for.clear()
        outputs = way(rows, context, 1e-5)
        (outputs[0].square().sum() + outputs[1].sum()).backward()
        assert asked_for == [asked if context.tables or names != ("rows", "data", "tables") else (True, False)]
        everything = [rows, context.data, context.code, *context.tables]
        assert [t.grad is not None for t in everything] == [any(t is w for w in wanted) for t in everything]


def test_one_table_of_several_has_a_gradient_alone() -> None:
    rows, context, _ = inputs(Spec((2, 3, 4)))
    context.tables[1].requires_grad_()
    for way in (attend, as_operator):
        context.tables[1].grad = None
        way(rows, context, 1e-5)[0].square().sum().backward()
        assert [table.grad is not None for table in context.tables] == [False, True, False]
        assert context.code.grad is None


def test_gradients_have_the_dtypes_of_what_they_are_of() -> None:
    rows, context, _ = inputs(Spec())
    context = replace(context, code=context.code.float(), tables=tuple(t.float() for t in context.tables))
    wanted = [rows, context.data, context.code, *context.tables]
    for tensor in wanted:
        tensor.requires_grad_()
    grads = torch.autograd.grad(as_operator(rows, context, 1e-5)[0].sum(), wanted)
    assert [grad.dtype for grad in grads] == [tensor.dtype for tensor in wanted]


def test_autocast_is_off_in_both_functions() -> None:
    for way in (attend, as_operator):
        rows, context, _ = inputs(Spec(), "rows")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed, _ = way(rows, context, 1e-5)
            mixed.sum().backward()
        assert mixed.dtype == torch.float64
    assert autocast == [False] * 4


def test_what_was_worked_out_of_a_context_is_there_in_the_backward_pass() -> None:
    seen = []

    def look(rows: Tensor, context: Context, *arguments: object) -> Gradients:
        seen.append(dict(context.derived))
        return Gradients(rows)

    def keep(rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
        context.derived["kept"] = 7
        return forward(rows, context, eps)

    rows, context, _ = inputs(Spec(), "rows")
    define("keeps", keep, look)(rows, context, 1e-5)[0].sum().backward()
    assert seen == [{"kept": 7}]


@pytest.mark.parametrize("name", ["code and tables", "no tables", "no code"])
@pytest.mark.parametrize("constants", [True, False], ids=["constants", "no constants"])
@pytest.mark.parametrize("data", [True, False], ids=["data", "no data"])
def test_shapes_are_known_without_a_call(name: str, data: bool, constants: bool) -> None:
    spec = SPECS[name]
    rows, context, _ = inputs(spec)
    rest = (context.code, context.mask, context.scale, context.offset, context.padding, 1e-5)
    mixed, lse = OPERATOR(rows, context.data, list(context.tables), *rest)
    given = (mixed, lse, mixed, lse, rows, context.data, list(context.tables), *rest, data, constants)
    grads = torch.ops.perceiver_pytorch.attend_checked_backward(*given)
    with FakeTensorMode() as mode:

        def fake(value: object) -> object:
            if isinstance(value, list):
                return [fake(one) for one in value]
            return mode.from_tensor(value) if isinstance(value, Tensor) else value

        outputs = attend(fake(rows), _fake_context(context, fake), 1e-5)
        fakes = torch.ops.perceiver_pytorch.attend_checked_backward(*(fake(value) for value in given))
    assert [t.shape for t in outputs] == [mixed.shape, lse.shape] == [rows.shape, rows.shape[:2]]
    assert [t.shape for t in fakes] == [t.shape for t in grads]
    code = 0 if context.code is None or not constants else len(context.code)
    assert [t.shape for t in grads] == [
        rows.shape,
        context.data.shape if data else (0,),
        (code,),
        *(table.shape if constants else (0,) for table in context.tables),
    ]
    assert len(asked_for) == 1


def _fake_context(context: Context, fake: object) -> Context:
    parts = (context.data, list(context.tables), context.code, context.padding, context.mask)
    data, tables, *rest = (fake(part) for part in parts)
    return Context(data, tuple(tables), *rest, fake(context.scale), fake(context.offset))


def test_strided_rows_have_contiguous_results_in_a_graph() -> None:
    with FakeTensorMode():
        rows, data = torch.empty(2, 5, 3).mT, torch.empty(2, 7, 5)
        mixed, lse = attend(rows, Context(data), 1e-5)
        grads = torch.ops.perceiver_pytorch.attend_checked_backward(
            mixed, lse, mixed, lse, rows, data, [], None, None, None, None, 0, 1e-5, True, False
        )
    assert mixed.shape == (2, 3, 5)
    assert all(t.is_contiguous() for t in (mixed, lse, *grads))


def test_gradients_of_gradients_go_by_the_dense_array_with_the_same_epsilon() -> None:
    rows, context, wanted = inputs(Spec(mask="random", affine=True), "rows", "data", "code", "tables")
    twice = []
    for way in (attend, attend_dense):
        mixed, lse = way(rows, context, 0.1)
        grads = torch.autograd.grad(mixed.square().sum() + lse.sin().sum(), wanted, create_graph=True)
        twice.append(torch.autograd.grad(sum(g.square().sum() for g in grads), wanted))
    for got, value in zip(*twice, strict=True):
        torch.testing.assert_close(got, value)
    assert asked_for == [(True, True)]  # once, for what the sum of squares does to the first pass


def test_only_what_wants_a_gradient_has_gradients_of_gradients() -> None:
    rows, context, _ = inputs(Spec(), "rows")
    mixed, _ = attend(rows, context, 1e-5)
    (grad,) = torch.autograd.grad(mixed.square().sum(), rows, create_graph=True)
    grad.square().sum().backward()
    assert rows.grad is not None
    assert context.data.grad is None
    assert not context.code.requires_grad


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch.func imports it
def test_transformations_see_the_dense_formula() -> None:
    rows, context, _ = inputs(Spec(mask="random"))
    tangents = torch.func.jvp(lambda r: attend(r, context, 0.1), (rows,), (rows,))[1]
    expected = torch.func.jvp(lambda r: attend_dense(r, context, 0.1), (rows,), (rows,))[1]
    for got, value in zip(tangents, expected, strict=True):
        torch.testing.assert_close(got, value)
    assert autocast == []  # neither function was called


def test_what_was_not_asked_for_is_none_for_every_table() -> None:
    rows, table = torch.zeros(1), torch.ones(2)
    assert Gradients(rows).each(2) == [rows, None, None, None, None]
    assert Gradients(rows, tables=[table]).each(1) == [rows, None, None, table]
