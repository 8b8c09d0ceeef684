"""What the backends by parts have in common."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ops.problems import Spec
from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.dense import attend_dense
from perceiver_pytorch.ops.operator import Gradients
from perceiver_pytorch.ops.structured import (
    LARGEST_SCORE,
    SUMMED_AT_ONCE,
    TINY,
    Channels,
    StructuredAttend,
    Weighting,
    by_axis,
    centred,
    combinations,
    finite,
    has_large_scores,
    mean_and_squares,
    per_sample,
    raw_gradient,
    weighted_sum,
)


class Loops(StructuredAttend):
    """The formulas word by word, over the input array; its sums are as far off as ``error`` says."""

    error = 1.0
    asked: list[object]

    def __init__(self, rows: Tensor, context: Context, eps: float, needs_constants: bool = False) -> None:
        super().__init__(rows, context, eps, needs_constants)
        type(self).asked.append(needs_constants)
        self.large = type(self).of_all
        tokens = context.dense(rows.dtype)
        self.tokens = F.layer_norm(tokens, tokens.shape[-1:], eps=eps)
        self.scores = self.rows @ self.tokens.mT
        if context.mask is not None:
            self.scores = self.scores.masked_fill(~context.mask.flatten(1).unsqueeze(1), float("-inf"))

    def peaks(self) -> Tensor:
        self.asked.append("peaks")
        return self.scores.amax(-1)

    def collect(self, shift: Tensor | None, *, only_large: bool = False) -> tuple[Tensor, Tensor]:
        self.asked.append((None if shift is None else shift.clone(), only_large))
        weights = (self.scores - (0.0 if shift is None else shift.unsqueeze(-1))).exp() * self.error
        return weights.sum(-1), weights @ self.tokens / weights.sum(-1, keepdim=True).clamp_min(TINY)

    def gradients(self, weighting: Weighting, needs_data: bool, needs_constants: bool) -> Gradients:
        self.asked.append((needs_data, needs_constants))
        attention = (self.scores - weighting.lse.unsqueeze(-1)).exp() * self.error
        if weighting.factors is not None:
            attention = attention * weighting.factors.unsqueeze(-1)
        scores = attention * (weighting.grads @ self.tokens.mT - weighting.offset.unsqueeze(-1))
        return Gradients(centred(scores @ self.tokens))


HALF = torch.tensor([[True, False, True], [False, True, False]])


@pytest.mark.parametrize("large", [False, True, HALF], ids=["no row", "every row", "some rows"])
@pytest.mark.parametrize("mask", [None, "first sample"])
def test_the_frame_gives_attention_and_its_gradient(large: bool | Tensor, mask: str | None) -> None:
    spec = Spec((3, 4), mask=mask)
    context = spec.context(2, spec.num_channels + 1)
    rows = torch.randn(2, 3, context.num_channels, dtype=torch.float64, requires_grad=True)
    mixed, lse = attend_dense(rows, context, 0.1)
    grads = torch.randn_like(mixed), torch.randn_like(lse)
    (exact,) = torch.autograd.grad((mixed, lse), rows, grads)
    loops = type("Case", (Loops,), {"of_all": large, "asked": [], "error": 1.0})

    found = loops.forward(rows, context, 0.1)
    torch.testing.assert_close(found, (mixed, lse))
    first, *asked, (shift, only_large) = loops.asked
    assert (first, only_large) == (False, False)
    assert asked == ([] if large is False else ["peaks"])
    if large is False:
        assert shift is None
    else:
        peaks = finite(loops(rows, context, 0.1).peaks())
        torch.testing.assert_close(shift, peaks if large is True else peaks * large)

    loops.asked.clear()
    gradient = loops.backward(rows, context, 0.1, mixed.detach(), lse.detach(), *grads, False, True)
    torch.testing.assert_close(gradient.rows, exact)
    assert loops.asked[0] is True
    assert loops.asked[-1] == (False, True)
    assert [again for _, again in loops.asked[1:-1]] == ([] if large is False else [True])


@pytest.mark.parametrize("large", [True, HALF], ids=["every row", "some rows"])
def test_weights_of_large_scores_are_made_to_sum_up_to_one(large: bool | Tensor) -> None:
    """Loops whose exponentials are all a tenth too large, as where a large log-sum-exp was rounded."""
    (spec, rows) = Spec((3, 4)), torch.randn(2, 3, 11, dtype=torch.float64)
    context = spec.context(2, 11)
    mixed, lse = attend_dense(rows.requires_grad_(), context, 0.1)
    grads = torch.randn_like(mixed), torch.randn_like(lse)
    (exact,) = torch.autograd.grad((mixed, lse), rows, grads)
    loops = type("Case", (Loops,), {"of_all": large, "asked": [], "error": 1.1})
    wrong = torch.full_like(mixed, 5.0)  # collected again where the scores are large
    given = wrong if large is True else torch.where(large.unsqueeze(-1), wrong, mixed)
    found = loops.backward(rows, context, 0.1, given.detach(), lse.detach(), *grads, True, False).rows
    is_large = torch.full((2, 3), True) if large is True else large
    torch.testing.assert_close(found[is_large], exact[is_large])
    torch.testing.assert_close(found[~is_large], 1.1 * exact[~is_large])


def test_channels_are_taken_apart_and_put_together_again() -> None:
    context = Context(torch.zeros(1, 4, 5, 3), (torch.zeros(4, 2), torch.zeros(5, 6)), torch.zeros(7), padding=1)
    rows = torch.arange(19.0).expand(1, 2, 19)
    expected = rows.clone()
    expected[..., 3] = 0.0  # the padding
    for inner, near_places, far_places in (([1], range(6, 12), (4, 5)), ([0], (4, 5), range(6, 12))):
        channels = Channels(context, inner)
        data, near, far = channels.split(rows)
        assert data[0, 0].tolist() == [0, 1, 2]
        assert near[0, 0].tolist() == [*near_places]
        assert far[0, 0].tolist() == [*far_places, *range(12, 19)]
        assert torch.equal(channels.merge(data, near, far), expected)
    plain = Channels(replace(context, tables=(), code=None), [0, 1])
    assert plain.sizes == [3, 1, 0, 0, 0]
    assert (plain.near, plain.far) == ([2, 3], [4])


def test_combinations_run_through_the_last_axis_first() -> None:
    tables = [torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]])]
    assert combinations(tables).tolist() == [
        [[1, 3, 4], [1, 5, 6], [1, 7, 8], [2, 3, 4], [2, 5, 6], [2, 7, 8]],
    ]
    of_samples = combinations([tables[0].expand(2, -1, -1) * torch.tensor([1.0, 10.0]).view(2, 1, 1), tables[1]])
    assert of_samples[1].tolist() == [[10, 3, 4], [10, 5, 6], [10, 7, 8], [20, 3, 4], [20, 5, 6], [20, 7, 8]]


def test_by_axis_is_the_opposite_of_combinations() -> None:
    tables = [torch.randn(1, 4, 2), torch.randn(1, 5, 3), torch.randn(1, 2, 1)]
    parts = list(by_axis(combinations(tables), [4, 5, 2], [2, 3, 1]))
    assert [others for _, others in parts] == [[2, 3], [1, 3], [1, 2]]
    for table, (part, others) in zip(tables, parts, strict=True):
        torch.testing.assert_close(part.mean(others), table)


@pytest.mark.parametrize("length", [1, 1023, 1024, 1300, 2048])
def test_a_sum_in_pieces_is_the_sum(length: int) -> None:
    weights, table = torch.randn(2, 3, length, dtype=torch.float64), torch.randn(1, length, 4, dtype=torch.float64)
    torch.testing.assert_close(weighted_sum(weights, table), weights @ table)


def test_long_sums_are_made_of_pieces_of_a_fixed_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not more than `SUMMED_AT_ONCE` coordinates each, except below twice as many, where one product does it."""
    lengths = []

    def product(weights: Tensor, table: Tensor, original: object = Tensor.__matmul__) -> Tensor:
        lengths.append(table.shape[-2])
        return original(weights, table)

    monkeypatch.setattr(Tensor, "__matmul__", product)
    for length, expected in (
        (2 * SUMMED_AT_ONCE - 1, [2 * SUMMED_AT_ONCE - 1]),
        (2 * SUMMED_AT_ONCE, [SUMMED_AT_ONCE]),
        (2 * SUMMED_AT_ONCE + 3, [SUMMED_AT_ONCE, 3]),
    ):
        lengths.clear()
        weighted_sum(torch.ones(1, 1, length), torch.ones(1, length, 1))
        assert lengths == expected
    assert SUMMED_AT_ONCE == 512


def test_scores_are_large_beyond_what_exponentials_take() -> None:
    context = Context(torch.zeros(2, 3, 4))  # a normalised token of 4 channels is no longer than 2
    for length, large in ((LARGEST_SCORE / 2, False), (LARGEST_SCORE / 2 + 0.01, True), (float("nan"), True)):
        rows = torch.zeros(2, 3, 4)
        rows[1, 2, 0] = length
        assert has_large_scores(rows, context) is large
    assert has_large_scores(torch.zeros(0, 3, 4), context) is False
    # Exponentials of such scores, and sums of them over any number of tokens that fits, are in float32's range.
    assert LARGEST_SCORE == 55.0
    sums = torch.tensor([LARGEST_SCORE, -LARGEST_SCORE]).exp()
    assert sums[0] * 1e12 < torch.finfo(torch.float32).max
    assert sums[1] * 1e12 > 0
    assert 0 < TINY < sums[1] / 1e6


def test_small_parts_do_what_their_names_say() -> None:
    mean, squares = mean_and_squares(torch.tensor([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]]))
    assert (mean.tolist(), squares.tolist()) == ([3.0, 4.0], [14.0, 0.0])
    mean, squares = mean_and_squares(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), 0)
    assert (mean.tolist(), squares.tolist()) == ([2.0, 4.0], [2.0, 8.0])
    assert [values.tolist() for values in mean_and_squares(torch.ones(2, 0))] == [[0.0, 0.0]] * 2
    assert centred(torch.tensor([[1.0, 5.0], [2.0, 2.0]])).tolist() == [[-2.0, 2.0], [0.0, 0.0]]
    assert finite(torch.tensor([float("-inf"), -3.0, 2.0])).tolist() == [0.0, -3.0, 2.0]
    assert per_sample(torch.ones(4, 2), torch.float64).shape == (1, 4, 2)
    assert per_sample(torch.ones(3, 4, 2), torch.float64).shape == (3, 4, 2)
    assert per_sample(torch.ones(4, 2), torch.float64).dtype == torch.float64


def test_the_gradient_of_raw_data_has_their_scale_shape_and_dtype() -> None:
    context = Context(torch.zeros(1, 2, 3, 2, dtype=torch.bfloat16), scale=torch.tensor([2.0, 4.0]))
    gradient = raw_gradient(torch.ones(1, 6, 2), context)
    assert gradient.shape == context.data.shape
    assert gradient.dtype == torch.bfloat16
    assert gradient[0, 1, 2].tolist() == [2.0, 4.0]
    assert (raw_gradient(torch.ones(1, 6, 2), replace(context, scale=None)) == 1).all()
