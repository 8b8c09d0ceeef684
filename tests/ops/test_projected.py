"""Keys and values of one context among several, and of one alone, against the textbook's formula."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ops.problems import Spec, dense_tokens
from ops.test_cost import costs
from perceiver_pytorch.ops import Context, projected
from perceiver_pytorch.ops.projected import attend_one_context, attend_projected, keys_and_values, masked_attention
from test_contracts import compare

SPECS = {
    "no mask": Spec(),
    "mask": Spec(mask="random"),
    "a sample without tokens": Spec(mask="first sample"),
    "no tokens": Spec(mask="none"),
}


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def formula(query: Tensor, context: Context, key: Tensor, value: Tensor, norm: Tensor | None) -> tuple[Tensor, Tensor]:
    """Head by head; a softmax over no token at all is zero."""
    tokens = F.layer_norm(dense_tokens(context, query.dtype), (context.num_channels,), norm, eps=0.1).unsqueeze(1)
    scores = query @ (tokens @ key.mT).mT
    seen = torch.ones_like(scores, dtype=torch.bool)
    if context.mask is not None:
        seen = seen & context.mask.flatten(1)[:, None, None]
    weights = torch.where(seen, (scores - scores.amax(-1, keepdim=True)).exp(), 0.0)
    total = weights.sum(-1, keepdim=True)
    some = torch.where(total > 0, total, 1.0)
    lse = torch.where(total[..., 0] > 0, scores.amax(-1) + some[..., 0].log(), float("-inf"))
    return weights / some @ (tokens @ value.mT), lse


@pytest.mark.parametrize("norm", [True, False], ids=["norm", "no norm"])
@pytest.mark.parametrize("value_dim", [4, 7])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_values_and_log_sum_exps(spec: Spec, value_dim: int, norm: bool) -> None:
    context = spec.context(2, 13)
    if context.mask is not None:  # what masked tokens hold is of no influence
        holes = ~context.mask.unsqueeze(-1)
        context = replace(context, data=context.data.masked_fill(holes, float("nan")))
    given = [normal(2, 3, 5, 4), normal(3, 4, 13), normal(3, value_dim, 13), *([normal(13)] if norm else [])]
    query, key, value, *weight = given
    weight = weight[0] if norm else None
    expected, lse = formula(query, context, key, value, weight)
    arguments = query, context, key, value, weight, 0.1
    found, found_lse = attend_projected(*arguments)
    torch.testing.assert_close(found_lse, lse)

    def gradients(output: Tensor) -> tuple[Tensor, ...]:
        grads = torch.autograd.grad((output**3).sum(), given, retain_graph=True, allow_unused=True)
        return tuple(torch.zeros_like(t) if g is None else g for t, g in zip(given, grads, strict=True))

    for output in (found, attend_one_context(*arguments)):
        torch.testing.assert_close(output, expected)
        torch.testing.assert_close(gradients(output), gradients(expected))
    some = lse.isfinite()
    torch.testing.assert_close(gradients(found_lse[some]), gradients(lse[some]))


def test_keys_and_values_are_of_the_weights_given() -> None:
    context = Spec(mask="random").context(2, 11)
    key, value = normal(3, 4, 11), normal(3, 7, 11)
    keys, values = keys_and_values(context, key, value, None, 0.1, torch.float64)
    tokens = F.layer_norm(dense_tokens(context, torch.float64), (11,), eps=0.1)
    torch.testing.assert_close(keys, torch.einsum("bmc,hdc->bhmd", tokens, key))
    torch.testing.assert_close(values, torch.einsum("bmc,hdc->bhmd", tokens, value))
    single = (weight.float() for weight in (key, value))
    assert keys_and_values(context, *single, None, 0.1, torch.float32)[0].dtype == torch.float32


@pytest.mark.parametrize("mask", [None, torch.tensor([[True, False, True], [False] * 3])], ids=["all", "some"])
@pytest.mark.parametrize("value_dim", [4, 7])
def test_scores_are_scaled_as_asked(mask: Tensor | None, value_dim: int) -> None:
    query, key, value = normal(2, 1, 5, 4), normal(2, 1, 3, 4), normal(2, 1, 3, value_dim)
    found = masked_attention(query, key, value, mask, 0.3)
    scores = query @ key.mT * 0.3
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
    torch.testing.assert_close(found, scores.softmax(-1).nan_to_num() @ value)


def test_other_widths_of_values_are_as_exact_under_autocast() -> None:
    given = [normal(2, 64, 2, width).transpose(1, 2).float().bfloat16() for width in (8, 8, 24)]
    cotangent = normal(2, 2, 64, 24)

    def run(function, dtype):  # type: ignore[no-untyped-def]
        parts = [part.to(dtype).requires_grad_() for part in given]
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = function(*parts)
        return out, *torch.autograd.grad(out, parts, cotangent.to(dtype))

    def plain(query, key, value):  # type: ignore[no-untyped-def]
        return (query @ key.mT * 0.3).softmax(-1) @ value

    found = run(lambda *parts: masked_attention(*parts, None, 0.3), torch.bfloat16)
    for result, usual, exact in zip(found, run(plain, torch.bfloat16), run(plain, torch.float64), strict=True):
        assert result.dtype == torch.bfloat16
        assert (result - exact).abs().max() <= 2 * (usual - exact).abs().max()


def test_its_counts_are_of_dense_tokens_and_of_the_channels_of_keys() -> None:
    context = Context(torch.zeros(2, 5, 3), (torch.zeros(5, 6),), padding=1)
    calls, pairs, tokens, products = (count.number for count in projected.counts(context, 4, 7))
    assert (calls, pairs, tokens, products) == (1, 2 * 5 * 4, 2 * 5 * 10, 2 * 5 * 10 * 7)
    compare("costs.txt", costs())
