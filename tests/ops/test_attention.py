"""Attention against its formula: values, gradients, and gradients of gradients."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch.ops import attention as module
from perceiver_pytorch.ops.attention import attention

SIZE = (2, 2, 5, 4)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scaled": {"scale": 0.3},
    "mask": {"mask": torch.rand(2, 1, 5, 5) > 0.4},
    "added": {"mask": torch.randn(5, 5, dtype=torch.float64)},
    "causal": {"is_causal": True},
}
KINDS["mask"]["mask"][..., 0] = True


def formula(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, is_causal: bool = False, scale: float = 0.5):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * scale
    if is_causal:
        scores = scores + torch.full(scores.shape[-2:], -torch.inf, dtype=scores.dtype).triu(1)
    if mask is not None:
        scores = scores + (torch.where(mask, 0.0, -torch.inf) if mask.dtype == torch.bool else mask)
    return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own use of it
def test_values_and_all_derivatives(kind: str) -> None:
    torch.manual_seed(0)
    given = [torch.randn(SIZE, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def run(*tensors: Tensor) -> Tensor:
        return attention(*tensors, **KINDS[kind])

    torch.testing.assert_close(run(*given), formula(*given, **KINDS[kind]))
    assert torch.autograd.gradcheck(run, given)
    assert torch.autograd.gradgradcheck(run, given)
    with torch.no_grad():
        _, found = torch.func.jvp(run, tuple(given), tuple(given))
        _, expected = torch.func.jvp(lambda *t: formula(*t, **KINDS[kind]), tuple(given), tuple(given))
        stacked = [torch.stack([t, 2 * t]) for t in given]
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(
            torch.func.vmap(run)(*stacked), torch.stack([run(*given), run(*(2 * t for t in given))])
        )


def test_some_of_the_gradients_twice() -> None:
    query, key, value = (torch.randn(SIZE, dtype=torch.float64) for _ in range(3))
    key.requires_grad_()
    (grad,) = torch.autograd.grad(attention(query, key, value).square().sum(), key, create_graph=True)
    (twice,) = torch.autograd.grad(grad.square().sum(), key)
    (by_formula,) = torch.autograd.grad(formula(query, key, value).square().sum(), key, create_graph=True)
    torch.testing.assert_close(twice, torch.autograd.grad(by_formula.square().sum(), key)[0])
    assert query.grad is None


def test_nothing_is_kept_without_gradients() -> None:
    query = torch.randn(SIZE, requires_grad=True)
    with torch.no_grad():
        assert attention(query, query, query).grad_fn is None


BFLOAT16 = [kind for kind in KINDS if kind != "added"]


@pytest.mark.parametrize("most", [0, 1 << 16], ids=["kernel", "formula"])
@pytest.mark.parametrize("piece", [1, 1 << 21], ids=["row by row", "at once"])
@pytest.mark.parametrize("kind", BFLOAT16)
def test_gradients_in_bfloat16(kind: str, piece: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_most_scores", lambda: most)
    monkeypatch.setattr(module, "PIECE", piece)
    torch.manual_seed(0)
    given = [torch.randn(SIZE).bfloat16().requires_grad_() for _ in range(3)]
    wide = [x.detach().double().requires_grad_() for x in given]
    grad = torch.randn(SIZE).bfloat16()
    out, expected = attention(*given, **KINDS[kind]), formula(*wide, **KINDS[kind])
    torch.testing.assert_close(out.double(), expected, rtol=0.02, atol=0.02)
    found = torch.autograd.grad(out, given, grad)
    for each, right in zip(found, torch.autograd.grad(expected, wide, grad.double()), strict=True):
        assert each.dtype == torch.bfloat16
        torch.testing.assert_close(each.double(), right, rtol=0.03, atol=0.05)


@pytest.mark.parametrize("wanted", range(3))
def test_one_gradient_in_bfloat16_row_by_row(wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_most_scores", lambda: 1 << 16)
    monkeypatch.setattr(module, "PIECE", 1)
    given = [torch.randn(SIZE).bfloat16() for _ in range(3)]
    every = [x.clone().requires_grad_() for x in given]
    given[wanted].requires_grad_()
    attention(*given).sum().backward()
    attention(*every).sum().backward()
    torch.testing.assert_close(given[wanted].grad, every[wanted].grad)


def test_batches_that_are_repeated_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_most_scores", lambda: 1 << 16)
    monkeypatch.setattr(module, "PIECE", 1)
    whole, one = torch.randn(SIZE).bfloat16().requires_grad_(), torch.randn(1, *SIZE[1:]).bfloat16().requires_grad_()
    for query, key in ((whole, one), (one, whole)):
        out = attention(query, key, key)
        found = torch.autograd.grad(out.square().sum(), (query, key))
        assert [grad.shape for grad in found] == [query.shape, key.shape]


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("lengths", [(7, 3), (3, 7), (4, 0)])
def test_unlike_lengths_and_widths_in_bfloat16(
    lengths: tuple[int, int], is_causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_most_scores", lambda: 1 << 16)
    (queries, tokens), (width, value_width) = lengths, (8, 8 if not lengths[1] else 5)
    sizes = (queries, width), (tokens, width), (tokens, value_width)
    # Heads lie apart, as those of projections do.
    given = [torch.randn(2, n, 3, d).bfloat16().transpose(1, 2).requires_grad_() for n, d in sizes]
    wide = [x.detach().double().requires_grad_() for x in given]
    grad = torch.randn(2, 3, queries, value_width).bfloat16()
    out = attention(*given, is_causal=is_causal, scale=0.5)
    expected = formula(*wide, is_causal=is_causal)
    found = torch.autograd.grad(out, given, grad)
    for each, right in zip(found, torch.autograd.grad(expected, wide, grad.double()), strict=True):
        torch.testing.assert_close(each.double(), right, rtol=0.03, atol=0.05)


def test_what_is_hidden_may_be_infinite_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_most_scores", lambda: 1 << 16)
    query, key, value = (torch.ones(1, 1, count, 1).bfloat16().requires_grad_() for count in (2, 3, 3))
    with torch.no_grad():
        key[0, 0, -1], query[:] = torch.finfo(torch.bfloat16).max, 2  # its score is infinite, and no query sees it
    (found,) = torch.autograd.grad(attention(query, key, value, is_causal=True).sum(), value)
    assert found.flatten().tolist() == [1.5, 0.5, 0]


def test_a_head_of_keys_for_all_of_the_queries_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_most_scores", lambda: 1 << 16)
    query, key = torch.randn(2, 4, 3, 8).bfloat16(), torch.randn(2, 1, 5, 8).bfloat16().requires_grad_()
    (found,) = torch.autograd.grad(attention(query, key, key).sum(), key)
    assert found.shape == key.shape


def test_leaves_that_are_views_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_most_scores", lambda: 1 << 16)
    monkeypatch.setattr(module, "PIECE", 1)
    views = [each.requires_grad_() for each in torch.randn(3, *SIZE).bfloat16().unbind()]
    attention(*views).sum().backward()
    assert all(bool(each.grad.isfinite().all()) for each in views)


def test_the_formula_takes_what_the_kernel_is_slow_for(monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[bool] = []
    kernel = F.scaled_dot_product_attention

    def recorded(*given: Tensor, **options: Any) -> Tensor:
        followed.append(torch.is_grad_enabled())
        return kernel(*given, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", recorded)
    for dtype, most in ((torch.float32, 25), (torch.bfloat16, 25), (torch.bfloat16, 24)):
        monkeypatch.setattr(module, "_most_scores", lambda most=most: most)
        query = torch.randn(SIZE).to(dtype).requires_grad_()
        attention(query, query, query)
    assert followed == [True, False, True]
