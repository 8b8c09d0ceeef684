"""Mean and maximum in pieces are those of the whole."""

import pytest
import torch
from torch import Tensor

from perceiver_pytorch.nn.heads.in_pieces import MeanAndMax
from perceiver_pytorch.nn.heads.pooled import mean_and_max


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("sizes", [[9], [4, 5], [1, 3, 5]])
def test_pieces_are_the_whole(sizes: list[int], is_masked: bool) -> None:
    """With equal maxima in several pieces, and a row without any token."""
    data = torch.randint(-2, 3, (3, 9, 2, 4)).double()
    weight = torch.randn(4, 4, dtype=torch.float64).abs().requires_grad_()
    mask = torch.rand(3, 9, 2) < 0.6 if is_masked else None
    if mask is not None:
        mask[1] = False

    def tokens(part: Tensor) -> Tensor:
        return (part * weight[0]).relu()  # relu: ties at 0

    def pieces():  # type: ignore[no-untyped-def]
        masks = [None] * len(sizes) if mask is None else mask.split(sizes, 1)
        for part, seen in zip(data.split(sizes, 1), masks, strict=True):
            yield tokens(part), seen

    expected = mean_and_max(tokens(data), mask)
    found = MeanAndMax.of_pieces(pieces, [weight])
    torch.testing.assert_close((found.mean, found.greatest), expected)
    to = [torch.randn(3, 4, dtype=torch.float64) for _ in range(2)]
    gradients = [torch.autograd.grad(each, [weight], to) for each in (expected, (found.mean, found.greatest))]
    torch.testing.assert_close(gradients[1], gradients[0])


def test_autocast_changes_nothing() -> None:
    """The backward pass, which has none, finds the greatest values again."""
    data, weight = torch.randn(2, 6, 3), torch.randn(3, 3, requires_grad=True)

    def pieces():  # type: ignore[no-untyped-def]
        return ((part @ weight, None) for part in data.split(2, 1))

    expected = MeanAndMax.of_pieces(pieces, [weight])
    (gradient,) = torch.autograd.grad(expected.greatest.sum(), weight)
    with torch.autocast("cpu", torch.bfloat16):
        found = MeanAndMax.of_pieces(pieces, [weight])
    assert torch.equal(found.greatest, expected.greatest)
    assert torch.equal(torch.autograd.grad(found.greatest.sum(), weight)[0], gradient)


def test_half_precision_is_summed_up_in_full() -> None:
    """More tokens than float16 can count, and more than it can add."""
    ones = torch.ones(1, 7000, 1, dtype=torch.float16)
    found = MeanAndMax.of_pieces(lambda: ((ones, None) for _ in range(10)), [])
    assert found.mean.dtype == found.greatest.dtype == torch.float16
    assert found.mean.item() == found.greatest.item() == 1
