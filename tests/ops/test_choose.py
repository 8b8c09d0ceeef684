"""The plan of a cross-attend: which way each context goes, and the ways that others add."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from ops.problems import Problem, Spec
from perceiver_pytorch.ops import Context, attend, backend_names, choose, cost, cross_attend, projected, use_backend
from perceiver_pytorch.ops.backend import Backend, Rows
from perceiver_pytorch.ops.backends import BACKENDS, chunked, compiled, reference
from perceiver_pytorch.ops.cost import Count


@pytest.fixture
def problem() -> Problem:
    return Problem.of(Spec(), Spec((7,)), heads=2)


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ways are tried in the order of the list, whatever they cost."""
    monkeypatch.setattr(cost, "ranking", lambda ways, *arguments, **options: tuple(ways))


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the ways that are used, in order."""
    names: list[str] = []

    def attend(backend: Backend, *arguments: object, original: object = Backend.attend) -> object:
        names.append(backend.name)
        return original(backend, *arguments)

    def attend_to_all(backend: Backend, *arguments: object, original: object = Backend.attend_to_all) -> object:
        names.append(backend.name)
        return original(backend, *arguments)

    def keys_and_values(*arguments: object, original: object = projected.keys_and_values) -> object:
        names.append("projected")
        return original(*arguments)

    monkeypatch.setattr(Backend, "attend", attend)
    monkeypatch.setattr(Backend, "attend_to_all", attend_to_all)
    monkeypatch.setattr(projected, "keys_and_values", keys_and_values)
    return names


@pytest.mark.usefixtures("in_order")
def test_the_first_backend_that_takes_it_is_used_unless_another_is_asked_for(problem: Problem, used: list[str]) -> None:
    cross_attend(**problem.arguments())
    assert set(used) == {"chunked"}  # the first that computes in float64
    used.clear()
    cross_attend(**problem.to(torch.float32).arguments())
    assert set(used) == {"compiled"}
    for name in ("compiled", "chunked", "reference", "projected"):
        used.clear()
        with use_backend(name):
            cross_attend(**problem.to(torch.float32).arguments())
        assert set(used) == {name}


@pytest.mark.usefixtures("in_order")
def test_selections_nest_and_end_with_their_block(problem: Problem, used: list[str]) -> None:
    with use_backend("reference"):
        with use_backend("auto"):
            cross_attend(**problem.arguments())
        with pytest.raises(RuntimeError), use_backend("chunked"):
            raise RuntimeError
        used.clear()
        cross_attend(**problem.arguments())
        assert set(used) == {"reference"}
    used.clear()
    cross_attend(**problem.arguments())
    assert set(used) == {"chunked"}


@pytest.mark.usefixtures("in_order")
def test_a_backend_that_refuses_is_passed_over_or_named(
    problem: Problem, used: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend_names()  # all are registered
    refusing = replace(chunked.BACKEND, unsupported=lambda rows, context: "not on a Monday")
    monkeypatch.setitem(choose._registered, "chunked", refusing)
    cross_attend(**problem.arguments())
    assert set(used) == {"reference"}
    with use_backend("chunked"), pytest.raises(ValueError, match=r"no backend takes this.*chunked: not on a Monday"):
        cross_attend(**problem.arguments())


def test_unknown_backend_is_refused() -> None:
    with (
        pytest.raises(
            ValueError,
            match="backend must be 'auto' or one of triton, compiled, chunked, reference, projected, got 'cuda'",
        ),
        use_backend("cuda"),
    ):
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the reference backend is asked with, and what ways are ranked for; none but it is used."""
    noted: list[object] = []

    def note(rows: Rows, context: Context) -> None:
        noted.append(rows)

    def rank(ways: dict[str, object], context: Context, rows: int, inner: int, *, training: bool) -> tuple[str, ...]:
        noted.append((rows, inner, training, "projected" in ways))
        return ("reference",)

    backend_names()
    monkeypatch.setitem(choose._registered, "reference", replace(reference.BACKEND, unsupported=note))
    monkeypatch.setattr(cost, "ranking", rank)
    return noted


def test_ways_are_ranked_once_for_all_layers_of_a_kind(asked: list[object]) -> None:
    """By rows (latents times heads), channels of keys, and whether gradients follow."""
    p = Problem.of(Spec((2, 3)), batch=5, latents=3, heads=2, dim_head=4, value_dim_head=7)
    channels = p.contexts[0].num_channels
    rows = Rows((5, 6, channels), torch.float64, torch.device("cpu"))
    for _ in range(2):
        cross_attend(**p.arguments())
    assert asked == [(6, 8, True, True), rows, rows]
    asked.clear()
    with torch.no_grad():
        cross_attend(**p.arguments())
        attend(torch.zeros(5, 6, channels), p.contexts[0])
    assert asked == [(6, 8, False, True), rows, (6, 0, False, False), rows._replace(dtype=torch.float32)]
    asked.clear()
    for latents, heads in ((4, 2), (4, 4)):
        wider = replace(p, queries=torch.zeros(5, latents, 8, dtype=torch.float64), heads=heads)
        wider.weights["value_weight"] = wider.weights["value_weight"][:8]
        cross_attend(**wider.arguments())
    assert [entry for entry in asked if not isinstance(entry, Rows)] == [(8, 8, True, True), (16, 8, True, True)]


def test_nothing_is_ranked_where_costs_are_not_known(asked: list[object]) -> None:
    for rows, tokens in (
        (Rows((1, 4, 18), torch.float32, torch.device("cuda")), context((5,), 2)),
        (Rows((1, 4, 18), torch.float32, torch.device("cpu")), context((5,), 0)),
    ):
        assert choose._in_order(rows, tokens, 4) == choose._names()
    assert asked == []


def test_a_wide_array_alone_is_read_by_keys_and_values(asked: list[object]) -> None:
    """Latents that a decoder reads: known by widths alone, without a ranking."""
    wide = Spec((9,), channels=70, features=None, code=0)

    def way(*specs: Spec, key: int, value: int) -> list[bool]:
        p = Problem.of(*specs, heads=2, dim_head=key, value_dim_head=value)
        weights = (p.weights[name].unflatten(0, (2, -1)) for name in ("key_weight", "value_weight"))
        query = p.queries.unflatten(-1, (2, -1)).transpose(1, 2)
        return [found is None for found in choose.plan(query, p.contexts, *weights)]

    assert way(wide, key=70, value=70) == [True]  # keys and values are four times as wide as the array
    assert asked == []
    assert way(wide, key=70, value=71) == way(wide, key=71, value=70) == [False]
    assert way(wide, wide, key=4, value=4) == [False, False]
    assert projected.is_wide(Context(torch.zeros(1, 2, 65)), 260)
    for other in (
        Context(torch.zeros(1, 2, 64)),
        Context(torch.zeros(1, 1, 2, 65)),
        Context(torch.zeros(1, 2, 65), code=torch.zeros(1)),
        Context(torch.zeros(1, 2, 65), (torch.zeros(2, 1),)),
    ):
        assert not projected.is_wide(other, 1)
    assert not projected.is_wide(Context(torch.zeros(1, 2, 65)), 261)


def test_an_empty_batch_is_read_by_keys_and_values(used: list[str]) -> None:
    with use_backend("reference"):
        cross_attend(**Problem.of(Spec(), Spec((7,)), batch=0).arguments())
    assert set(used) == {"projected"}


def context(axes: tuple[int, ...], channels: int, features: int = 13) -> Context:
    tables = tuple(torch.zeros(length, features) for length in axes)
    return Context(torch.zeros(1, *axes, channels), tables, torch.zeros(3))


SHAPES = {
    "video": (context((8, 130, 130), 3), 12, "compiled"),
    "image, many rows": (context((224, 224), 3), 256, "compiled"),
    "sound": (context((44_100,), 1), 12, "compiled"),
    "a few tokens": (context((64,), 3), 12, "dense"),
    "text embeddings": (context((512,), 768), 256, "projected"),
    "many channels, more than may be formed": (context((300, 300), 500), 64, "chunked"),
}
WAYS = {backend.name: backend.counts for backend in BACKENDS} | {"projected": projected.counts}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("tokens", "rows", "expected"), SHAPES.values(), ids=SHAPES)
def test_choice_fits_the_shape(tokens: Context, rows: int, expected: str, training: bool) -> None:
    ways = dict(WAYS)
    if tokens.data.shape[-1] > compiled.MAX_CHANNELS:
        del ways["compiled"]
    best, *_ = cost.ranking(ways, tokens, rows, 64, training=training)
    assert best in (("reference", "projected") if expected == "dense" else (expected,))


def test_every_context_is_read_in_its_own_way(used: list[str]) -> None:
    """A large context by compiled loops, one of many channels by keys and values: as one softmax."""
    p = Problem.of(Spec((60, 80)), Spec((20,), channels=300, features=2), latents=40, dim_head=16, dtype=torch.float32)
    inputs = p.requires_grad()
    output = cross_attend(**p.arguments())
    assert used == ["projected", "compiled"]
    found = torch.autograd.grad(output.square().sum(), list(inputs.values()))
    with use_backend("reference"):
        expected = cross_attend(**p.arguments())
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)
    exact = torch.autograd.grad(expected.square().sum(), list(inputs.values()))
    for got, value in zip(found, exact, strict=True):
        torch.testing.assert_close(got, value, rtol=1e-3, atol=1e-5 * value.abs().max().item())


def test_rows_are_never_read_by_keys(used: list[str]) -> None:
    tokens = context((64,), 300)
    for name in ("auto", "projected"):
        with use_backend(name):
            attend(torch.zeros(1, 4, tokens.num_channels), tokens)
    assert used == ["reference", "reference"]


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What other packages register; looked for anew in the test."""
    found: list[object] = []
    monkeypatch.setattr(choose, "_registered", {})
    monkeypatch.setattr(choose, "plugins", lambda group: found if group == "perceiver.backends" else [])
    return found


def test_backends_of_other_packages_are_found_and_chosen_by_their_cost(
    problem: Problem, used: list[str], others: list[object]
) -> None:
    reference = next(backend for backend in BACKENDS if backend.name == "reference")
    others.append(replace(reference, name="cheap", counts=lambda context, rows, inner: (Count(1, 1e-3, 1e-3),)))
    others.append(replace(reference, name="dear", counts=lambda context, rows, inner: (Count(1, 1e9, 1e9),)))
    assert backend_names() == ("cheap", "dear", "triton", "compiled", "chunked", "reference", "projected")
    cross_attend(**problem.arguments())
    assert set(used) == {"cheap"}
    used.clear()
    with use_backend("dear"):
        cross_attend(**problem.arguments())
    assert set(used) == {"dear"}


def test_a_backend_is_registered_within_a_block_alone(problem: Problem, used: list[str]) -> None:
    before = backend_names()
    with choose.registered(replace(BACKENDS[-1], name="mine")):
        assert backend_names() == ("mine", *before)
        with use_backend("mine"):
            cross_attend(**problem.arguments())
    assert set(used) == {"mine"}
    assert backend_names() == before
    with pytest.raises(ValueError, match="taken"), choose.registered(BACKENDS[0]):
        pass
    assert backend_names() == before


def test_names_that_are_taken_and_what_is_no_backend_are_refused(others: list[object]) -> None:
    for name in ("auto", "projected", "chunked"):
        others[:] = [replace(BACKENDS[-1], name=name)]
        with pytest.raises(ValueError, match=f"got '{name}', which is taken"):
            backend_names()
    others[:] = [chunked]
    with pytest.raises(TypeError, match="must be a Backend, got <module"):
        backend_names()


def test_the_compiler_is_not_imported_for_it() -> None:
    """It would take 100 MB, and half a second."""
    code = "import sys, perceiver_pytorch.ops; assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_forward_and_a_backward_pass_import_no_algebra() -> None:
    """PyTorch has SymPy for compiling: half a second, and 36 MB."""
    code = """
import sys, torch
from perceiver_pytorch.ops import Context, attend, use_backend
for axes in ((5,), (4, 6), (3, 2, 2)):
    rows = torch.randn(1, 3, 3 + 3 * len(axes), requires_grad=True)
    for backend in ("auto", "chunked"):
        with use_backend(backend):
            mixed, _ = attend(rows, Context(torch.randn(1, *axes, 3), tuple(torch.randn(n, 3) for n in axes)))
        mixed.sum().backward()
assert "sympy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
