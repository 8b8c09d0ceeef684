"""Attention over several contexts at once: the numbers and gradients of one after the other, and of float64."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ops.problems import Spec, pixels
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.dense import attend_dense
from perceiver_pytorch.ops.joining import join
from perceiver_pytorch.ops.together import attend_together

MASKS = {
    "none": (None, None),
    "one of both": ("random", None),
    "both": ("random", "first sample"),
    "whole samples": ("none", "first sample"),
}


def contexts(masks: Sequence[str | None], dtype: torch.dtype = torch.float64) -> list[Context]:
    found = [
        replace(spec.context(3, 13), data=spec.context(3, 13).data.to(dtype))
        for spec in (Spec(mask=masks[0]), Spec((7,), channels=1, mask=masks[1]))
    ]
    for context in found:
        if context.mask is not None:  # what is masked may hold anything
            context.data.masked_fill_(~context.mask.unsqueeze(-1), float("nan"))
        context.data.requires_grad_()
    return found


def results(parts: tuple[Tensor, Tensor], rows: Tensor, given: Sequence[Context]) -> list[Tensor]:
    mixed, lse = parts
    total = (mixed**3).sum() + mixed.sin().sum() + lse[lse.isfinite()].square().sum()
    return [mixed, lse, *torch.autograd.grad(total, (rows, *(context.data for context in given)), allow_unused=True)]


@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
def test_together_contexts_give_what_they_give_one_after_the_other(masks: tuple[str | None, str | None]) -> None:
    given = contexts(masks)
    rows = torch.randn(3, 5, 13, dtype=torch.float64, requires_grad=True)
    expected = results(join([attend_dense(rows, context, 0.1) for context in given]), rows, given)
    for found, wanted in zip(results(attend_together(rows, given, 0.1), rows, given), expected, strict=True):
        torch.testing.assert_close(found, wanted)


KINDS = {
    "of data alone": (Spec(channels=13, features=None, code=0), Spec((7,), channels=13, features=None, code=0)),
    "positions of samples": (Spec(per_sample=True), Spec((7,))),
    "scaled pixels": (Spec(dtype=torch.uint8, values=pixels, affine=True), Spec((7,), channels=1, code=0)),
    "an order of their own": (Spec(ordered=True), Spec((7,), channels=1)),
}


@pytest.mark.parametrize("learn", [False, True], ids=["constants", "learned"])
@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS)
def test_what_samples_share_is_read_as_it_is_where_all_differ(kinds: tuple[Spec, Spec], learn: bool) -> None:
    given = [spec.context(3, 13) for spec in kinds]
    rows = torch.randn(3, 5, 13, dtype=torch.float64, requires_grad=True)
    around = [part for context in given for part in (*context.tables, context.code) if part is not None and learn]
    inputs = [rows, *around, *(context.data for context in given if context.data.is_floating_point())]
    for one in inputs:
        one.requires_grad_()
    expected, lse = join([attend_dense(rows, context, 0.1) for context in given])
    found, own_lse = attend_together(rows, given, 0.1)
    torch.testing.assert_close((found, own_lse), (expected, lse))
    grads = [torch.autograd.grad(out.sin().sum(), inputs) for out in (found, expected)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_are_those_of_finite_differences() -> None:
    mask = torch.tensor([[True, False, True], [False, False, False]])
    data = torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)

    def function(rows: Tensor, data: Tensor) -> tuple[Tensor, Tensor]:
        return attend_together(rows, [Context(data), Context(data[:, 1:], mask=mask)], 0.1)

    assert torch.autograd.gradcheck(function, (rows, data))
    assert torch.autograd.gradgradcheck(function, (rows, data))


def test_errors_are_those_of_plain_float32() -> None:
    def run(way, dtype: torch.dtype) -> list[Tensor]:
        torch.manual_seed(0)
        given = [Context(torch.randn(4, 60, 40)), Context(torch.randn(4, 30, 40), mask=torch.rand(4, 30) > 0.3)]
        given = [replace(context, data=context.data.to(dtype).requires_grad_()) for context in given]
        rows = (3 * torch.randn(4, 16, 40)).to(dtype).requires_grad_()
        return results(way(rows, given), rows, given)

    def one_by_one(rows: Tensor, given: Sequence[Context]) -> tuple[Tensor, Tensor]:
        return join([attend_dense(rows, context, 1e-5) for context in given])

    exact = run(one_by_one, torch.float64)
    plain = run(one_by_one, torch.float32)
    found = run(lambda rows, given: attend_together(rows, given, 1e-5), torch.float32)
    for ours, theirs, truth in zip(found, plain, exact, strict=True):
        assert (ours - truth).abs().max() <= 2 * (theirs - truth).abs().max()


def test_only_what_is_asked_for_has_a_gradient() -> None:
    rows, data = torch.randn(2, 3, 5, requires_grad=True), torch.randn(2, 4, 5)
    mixed, _ = attend_together(rows, [Context(data)], 1e-5)
    mixed.sum().backward()
    assert rows.grad is not None
    _, lse = attend_together(rows.detach(), [Context(data.requires_grad_())], 1e-5)
    lse.sum().backward()  # nothing is asked of the mean
    expected = torch.autograd.grad(attend_dense(rows.detach(), Context(data), 1e-5)[1].sum(), data)[0]
    torch.testing.assert_close(data.grad, expected)


def test_contexts_without_tokens_answer_nothing() -> None:
    mixed, lse = attend_together(torch.randn(2, 3, 5), [Context(torch.zeros(2, 0, 5))], 1e-5)
    assert (mixed == 0).all()
    assert (lse == float("-inf")).all()


def masked(dtype: torch.dtype = torch.float32) -> Context:
    mask = torch.tensor([[True, False, True, True], [False, True, True, False]])
    return Context(torch.randn(2, 4, 5, dtype=dtype).requires_grad_(), mask=mask)


def test_autocast_around_a_backward_pass_changes_nothing() -> None:
    rows, context = torch.randn(2, 3, 5, requires_grad=True), masked()
    mixed, _ = attend_together(rows, [context], 1e-5)
    expected = torch.autograd.grad(mixed.square().sum(), (rows, context.data), retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(mixed.square().sum(), (rows, context.data))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_many_gradients_at_once() -> None:
    rows, context = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True), masked(torch.float64)
    for out in attend_together(rows, [context], 1e-5):
        given, inputs = torch.randn(4, *out.shape, dtype=torch.float64), (rows, context.data)
        found = torch.autograd.grad(out, inputs, given, is_grads_batched=True, retain_graph=True)
        for i, grad in enumerate(given):
            expected = torch.autograd.grad(out, inputs, grad, retain_graph=True)
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one[i], other)


def test_a_mask_may_change_before_the_backward_pass_and_come_from_inference() -> None:
    context = masked()
    assert context.mask is not None
    rows = torch.randn(2, 3, 5, requires_grad=True)
    with torch.inference_mode():
        mask = context.mask.clone()
    for one in (context, replace(context, mask=mask)):
        mixed, _ = attend_together(rows, [one], 1e-5)
        if one is context:
            context.mask.fill_(True)
        mixed.sum().backward()
    assert rows.grad is not None


def test_a_checkpoint_saves_again_what_the_backward_pass_reads_once() -> None:
    rows, context = torch.randn(2, 3, 5, requires_grad=True), masked()

    def mixed(rows: Tensor) -> Tensor:
        return attend_together(rows, [context], 1e-5)[0]

    expected = torch.autograd.grad(mixed(rows).square().sum(), rows)[0]
    found = torch.autograd.grad(checkpoint(mixed, rows, use_reentrant=False).square().sum(), rows)[0]
    assert torch.equal(found, expected)
