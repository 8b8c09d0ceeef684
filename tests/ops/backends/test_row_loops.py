"""Rows before and behind the compiled backend's loops, against the tokens themselves in float64; and by both ways."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ops.problems import Spec
from perceiver_pytorch._waiting import waiting
from perceiver_pytorch.ops import Context, threads
from perceiver_pytorch.ops.backends import compiled, compiling, grid
from perceiver_pytorch.ops.backends.instead import NotCompiledError
from perceiver_pytorch.ops.backends.rows import RowParts, Sums

pytest.importorskip("numba")

WAYS = {"loops": 1 << 22, "products": 0}
SPECS = {
    "image": Spec((20, 37)),
    "film": Spec((3, 40, 37)),
    "long last axis": Spec((2, 3000)),
    "samples with tables of their own": Spec((20, 37), per_sample=True),
    "one axis, features as channels": Spec((300,)),
    "one axis, by position": Spec((300,), features=30),
    "data alone": Spec(features=None, code=0),
    "no code": Spec((20, 37), code=0),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(threads, "SMALL", WAYS[request.param])
    return request.param


def problem(spec: Spec, batch: int = 2) -> tuple[Context, "compiled._Fixed"]:
    torch.manual_seed(0)
    context = spec.context(batch, spec.num_channels + 3, torch.float32)
    return context, compiled._Fixed.of(context, 5)


def without_data(context: Context) -> Tensor:
    """(batch, axes..., C) in float64: all that a token has but data."""
    return replace(context, data=torch.zeros_like(context.data), scale=None, offset=None).dense().double()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_scores_are_those_of_centred_rows(spec: Spec, way: str) -> None:
    context, fixed = problem(spec)
    rows = torch.randn(2, 5, context.num_channels) + 3
    with waiting():
        spread = fixed.rows.spread(rows, 1.5)
    exact = rows.double() - rows.double().mean(-1, keepdim=True)
    torch.testing.assert_close(spread.rows.double(), exact, rtol=0, atol=1e-6)
    assert spread.norm == pytest.approx(exact.norm(dim=-1).amax().item(), rel=1e-5)
    data, inner, outer = (torch.from_numpy(score).double() for score in spread.scores)
    num_data, g = context.data.shape[-1], fixed.grid
    torch.testing.assert_close(data[..., :num_data], 1.5 * exact[..., :num_data], rtol=0, atol=1e-5)
    features = fixed.near[:, : g.length].double().mT
    found = inner[..., : g.length] if fixed.by_position else data[..., num_data:] @ features
    begin, lines = 0, torch.zeros(2, 5, *[1] * len(g.outer), dtype=torch.float64)
    for i, length in enumerate(g.outer):
        shape = [length if i == k else 1 for k in range(len(g.outer))]
        lines = lines + outer[..., begin : begin + length].unflatten(-1, shape)
        begin += length
    if not g.outer:
        lines = outer[..., 0]
    found = lines.reshape(2, 5, -1, 1) + found.unsqueeze(2)
    tokens = without_data(context).view(2, *context.axes, -1).permute(0, *(1 + axis for axis in g.order), -1)
    expected = torch.einsum("bnc,bmc->bnm", 1.5 * exact, tokens.flatten(1, -2))
    torch.testing.assert_close(found.flatten(2), expected, rtol=1e-5, atol=1e-5)


def filled(fixed: "compiled._Fixed", batch: int = 2, num_rows: int = 5) -> Sums:
    """Sums of some weights, as if the loops had found them."""
    torch.manual_seed(1)
    sums = fixed.zeros(batch, num_rows)
    for values in (sums.data, sums.inner, sums.outer):
        values.uniform_()
    return sums


@pytest.mark.parametrize("divided", [True, False])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_what_rows_collect_is_put_together(
    spec: Spec, divided: bool, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "PART_PAIRS", 64)
    context, fixed = problem(spec)
    sums = filled(fixed)
    data, inner, outer = (values.double().sum(1) for values in (sums.data, sums.inner, sums.outer))
    with waiting():
        total, mixed = fixed.rows.collect(sums, divided)
    num_data = context.data.shape[-1]
    near = inner @ fixed.near.double() if fixed.by_position else data[..., num_data:-1]
    expected = fixed.channels.merge(data[..., :num_data], near, outer @ fixed.far.double())
    expected = expected - expected.mean(-1, keepdim=True)
    if divided:
        expected = expected / data[..., -1:]
    torch.testing.assert_close(total, data[..., -1])
    scale = expected.abs().amax().item()
    torch.testing.assert_close(mixed.double(), expected, rtol=1e-5, atol=2e-6 * scale)


def test_rows_without_a_token_collect_nothing_and_nan_stays(way: str) -> None:
    _, fixed = problem(SPECS["image"])
    sums = fixed.zeros(2, 5)
    sums.data[0, 0, 1] = float("nan")
    with waiting():
        total, mixed = fixed.rows.collect(sums, divided=True)
    assert total[0, 1].isnan()
    assert mixed[0, 1].isnan().all()
    others = torch.ones(2, 5, dtype=torch.bool)
    others[0, 1] = False
    assert not total[others].any()
    assert not mixed[others].any()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_rows_that_are_not_finite_may_have_large_scores(number: float, way: str) -> None:
    context, fixed = problem(SPECS["image"])
    rows = torch.zeros(2, 5, context.num_channels)
    rows[1, 2, 0] = number
    with waiting():
        assert not fixed.rows.spread(rows).norm <= 1e30


def test_rows_of_any_strides(way: str) -> None:
    context, fixed = problem(SPECS["film"])
    rows = torch.randn(context.num_channels, 5, 2)
    with waiting():
        found = fixed.rows.spread(rows.permute(2, 1, 0))
        expected = fixed.rows.spread(rows.permute(2, 1, 0).contiguous())
    torch.testing.assert_close(found.rows, expected.rows, rtol=1e-6, atol=1e-6)
    for got, value in zip(found.scores, expected.scores, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-5)


def test_many_sums_in_float32_keep_their_digits() -> None:
    """One axis of many positions, all weights the same, and features far from zero."""
    context = Context(torch.zeros(1, 60_000, 1), (torch.rand(60_000, 30) + 100,), padding=30)
    fixed = compiled._Fixed.of(context, 2)
    assert fixed.by_position
    sums = fixed.zeros(1, 2)
    sums.inner[..., :60_000] = 0.1
    with waiting():
        _, mixed = fixed.rows.collect(sums)
    near = sums.inner.double().sum(1) @ fixed.near.double()
    expected = fixed.channels.merge(torch.zeros(1, 2, 1), near, torch.zeros(1, 2, 0))
    expected = expected - expected.mean(-1, keepdim=True)
    torch.testing.assert_close(mixed.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("num_threads", [2, 3])
def test_the_number_of_threads_does_not_change_a_bit(num_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perceiver_pytorch.ops.backends.rows.SHARE", 1)
    context, fixed = problem(SPECS["film"])
    rows = torch.randn(2, 5, context.num_channels)

    def results() -> list[Tensor]:
        with waiting():
            spread, collected = fixed.rows.spread(rows), fixed.rows.collect(filled(fixed))
        return [spread.rows, *map(torch.from_numpy, spread.scores), *collected]

    expected = results()
    try:
        torch.set_num_threads(num_threads)
        found = results()
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(got, value) for got, value in zip(found, expected, strict=True))


@pytest.mark.parametrize("missing", ["spread", "collect"])
def test_both_loops_are_used_or_none(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ensure(key: tuple[str], name: str, arguments: object, behind: bool) -> None:
        assert behind
        asked.append(name)
        if key == (missing,):
            raise NotCompiledError(name)

    def refused(*arguments: object, **others: object) -> None:
        raise AssertionError("a loop was called")

    monkeypatch.setattr(compiling, "ensure", ensure)
    monkeypatch.setattr(threads, "run", refused)
    context, fixed = problem(SPECS["image"])
    fixed.rows.spread(torch.randn(2, 5, context.num_channels))
    fixed.rows.collect(filled(fixed))
    assert asked == ["row_loops.spread", "row_loops.collect"] * 2


def test_size_decides_which_way_rows_go(monkeypatch: pytest.MonkeyPatch) -> None:
    context, fixed = problem(SPECS["image"])
    rows, ways = torch.randn(2, 5, context.num_channels), []
    run, products = RowParts._run, RowParts._spread_by_products
    monkeypatch.setattr(RowParts, "_run", lambda self, *given: (ways.append("loops"), run(self, *given))[1])
    monkeypatch.setattr(
        RowParts, "_spread_by_products", lambda self, *given: (ways.append("products"), products(self, *given))[1]
    )
    work = fixed.rows._work * 10
    for small in (work, work - 1):
        monkeypatch.setattr(threads, "SMALL", small)
        with waiting():
            fixed.rows.spread(rows)
    assert ways == ["loops", "products"]


def test_work_is_counted_where_features_are() -> None:
    """Features times positions: of the inner axis in whole vectors, of each outer axis its own, the code's at one."""
    _, fixed = problem(Spec((3, 40, 130), features=4, code=2))
    lengths = list(itertools.accumulate([3, 40]))
    assert fixed.rows._work == 4 * (fixed.grid.padded + lengths[-1]) + 2 * 3
