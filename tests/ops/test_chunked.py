"""What is particular to the chunked backend: a registered operator, tiles, and memory."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ops.problems import Problem, Spec
from perceiver_pytorch.ops import Context, attend, cross_attend, use_backend
from perceiver_pytorch.ops.backends import chunked

SPECS = {
    "image": Spec(),
    "mask": Spec(mask="first sample"),
    "per-sample tables, scaled": Spec((2, 3, 2), per_sample=True, affine=True),
    "uint8": Spec(dtype=torch.uint8, values=lambda data: data.abs() * 50),
    "float16": Spec(dtype=torch.float16),
    "no tables, no code": Spec(features=None, code=0),
    "tables alone": Spec(channels=0, code=0),
}


def operator_arguments(context: Context) -> tuple[object, ...]:
    rows = torch.randn(2, 3, context.num_channels, dtype=torch.float64, requires_grad=True)
    constants = (context.code, context.mask, context.scale, context.offset, context.padding)
    return rows, context.data, list(context.tables), *constants, 1e-5


@pytest.mark.parametrize("constants_learned", [True, False], ids=["learned constants", "fixed constants"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_operators_keep_torchs_rules(spec: Spec, constants_learned: bool) -> None:
    p = Problem.of(spec)
    if constants_learned:
        p.requires_grad()
    rows, data, tables, *rest = operator_arguments(p.contexts[0])
    torch.library.opcheck(torch.ops.perceiver_pytorch.attend_chunked.default, (rows, data, tables, *rest))

    mixed, lse = torch.ops.perceiver_pytorch.attend_chunked(rows, data, tables, *rest)
    with torch.no_grad():
        arguments = (torch.randn_like(mixed), torch.randn_like(lse), mixed, lse, rows, data, tables, *rest)
    detached = [
        [t.detach() for t in a] if isinstance(a, list) else a.detach() if isinstance(a, Tensor) else a
        for a in arguments
    ]
    for needs_data in (True, False):
        torch.library.opcheck(
            torch.ops.perceiver_pytorch.attend_chunked_backward.default,
            (*detached, needs_data and data.is_floating_point(), constants_learned),
            test_utils=("test_schema", "test_faketensor"),
        )


@pytest.mark.parametrize("pairs", [1, 5, 24, 100, 1 << 18])
@pytest.mark.parametrize("shape", [(1, 7), (3, 7), (1, 1300), (2, 4, 5), (2, 40, 30), (2, 3, 4, 2), (5, 1, 1, 3)])
def test_boxes_cover_every_token_once(shape: tuple[int, ...], pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "TILE_PAIRS", pairs)
    num_rows = 2
    visits = torch.zeros(shape)
    tokens = chunked._Tokens(Context(torch.zeros(*shape, 3)), torch.float32, 1e-5)
    for box in tokens.boxes(num_rows):
        assert visits[box].numel() * num_rows <= max(pairs, num_rows * tokens.rest)
        assert math.prod(tokens.shape(box)) == visits[box].numel()
        assert tokens.shape(box)[-1] <= chunked.LINE_TOKENS
        visits[box] += 1
    assert (visits == 1).all()


def test_tiles_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    p = Problem.of(Spec((6, 7), mask="random"), heads=2)
    inputs = p.requires_grad()
    found = []
    for pairs in (1 << 18, 200, 13, 1):
        monkeypatch.setattr(chunked, "TILE_PAIRS", pairs)
        output = cross_attend(**p.arguments())
        found.append([output, *torch.autograd.grad(output.square().sum(), list(inputs.values()))])
    for tiled in found[1:]:
        for got, expected in zip(tiled, found[0], strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


def large_problem(dtype: torch.dtype = torch.float32) -> Problem:
    """20 480 tokens of 3 raw channels and 30 in all, 4 latents."""
    p = Problem.of(Spec((128, 80), features=13, code=1), dtype=torch.float32, batch=2, latents=4)
    (context,) = p.contexts
    pixels = (context.data * 50).to(dtype) if dtype == torch.uint8 else context.data
    p = replace(p, contexts=[replace(context, data=pixels)])
    p.queries.requires_grad_()
    for weight in p.weights.values():
        weight.requires_grad_()
    return p


@pytest.mark.parametrize("name", ["chunked", "compiled"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=str)
def test_nothing_of_the_size_of_the_tokens_is_kept_for_backward(dtype: torch.dtype, name: str) -> None:
    p = large_problem(dtype)
    context = p.contexts[0]
    given = {t.untyped_storage().data_ptr() for t in (context.data, context.code, *context.tables)}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in given:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with use_backend(name), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = cross_attend(**p.arguments())
    tokens = context.num_tokens * 2
    assert sum(kept.values()) < tokens  # bytes: less than one per token, let alone one per channel of each
    output.sum().backward()
    assert p.queries.grad is not None


class LargestTensor(TorchDispatchMode):
    """Watches every operation for the largest tensor that comes out of one."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self.elements = max(self.elements, value.numel())
        return result


def test_nothing_of_the_size_of_the_input_array_is_formed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "TILE_PAIRS", 1 << 12)
    p = large_problem()
    (context,) = p.contexts
    rows = torch.randn(2, 4, context.num_channels)
    with LargestTensor() as forward:
        mixed, lse = chunked.BACKEND.forward(rows, context, 1e-5)
    gradients = torch.randn_like(mixed), torch.randn_like(lse)
    with LargestTensor() as backward:
        chunked.BACKEND.backward(rows, context, 1e-5, mixed, lse, *gradients, False, True)
    # What an operation sees of the data without copying it counts too, hence the data's own size; and nothing beyond.
    assert forward.elements <= context.data.numel()
    assert backward.elements <= context.data.numel()
    assert context.data.numel() * 10 == math.prod((2, context.num_tokens, context.num_channels))


def test_gradients_of_what_needs_none_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = chunked._TokenGradients.__init__

    def ask(self: object, tokens: object, needs_data: bool, needs_constants: bool) -> None:
        asked.append((needs_data, needs_constants))
        original(self, tokens, needs_data, needs_constants)

    monkeypatch.setattr(chunked._TokenGradients, "__init__", ask)
    for names in ((), ("data",), ("code",), ("tables",), ("data", "tables")):
        (context,) = Problem.of(Spec()).contexts
        for name in names:
            for tensor in context.tables if name == "tables" else (getattr(context, name),):
                tensor.requires_grad_()
        rows = torch.randn(2, 3, context.num_channels, dtype=torch.float64, requires_grad=True)
        with use_backend("chunked"):
            attend(rows, context)[0].sum().backward()
        assert asked == ([("data" in names, "code" in names or "tables" in names)] if names else [])
        asked.clear()
        if names == ("tables",):
            assert context.code.grad is None


def test_only_one_of_several_tables_may_be_learned() -> None:
    (context,) = Problem.of(Spec((2, 3, 4))).contexts
    context.tables[1].requires_grad_()
    rows = torch.randn(2, 3, context.num_channels, dtype=torch.float64)
    with use_backend("chunked"):
        attend(rows, context)[0].square().sum().backward()
    assert context.tables[1].grad.shape == context.tables[1].shape
    assert context.tables[0].grad is None


def test_no_tokens_and_no_samples_are_answered() -> None:
    for shape in ((2, 0, 3), (0, 4, 3), (2, 3, 0, 3)):
        mixed, lse = attend(torch.randn(shape[0], 2, 3), Context(torch.zeros(shape)))
        assert (mixed == 0).all()
        assert (lse == float("-inf")).all()
