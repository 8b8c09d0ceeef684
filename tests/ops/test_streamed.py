"""Contexts in pieces: results and gradients of all pieces at once."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from perceiver_pytorch.ops import Context, cross_attend
from perceiver_pytorch.ops.streamed import StreamedContext, in_memory

HEADS, CHANNELS = 2, 5


def streamed(data: Tensor, code: Tensor, mask: Tensor | None, sizes: list[int]) -> StreamedContext:
    def pieces() -> Iterator[Context]:
        masks = [None] * len(sizes) if mask is None else mask.split(sizes, 1)
        for part, seen in zip(data.split(sizes, 1), masks, strict=True):
            yield Context(part, code=code, mask=seen)

    return StreamedContext(pieces, CHANNELS, data[:, :0], (code,))


def weights() -> dict[str, Tensor]:
    shapes = {"key_weight": (6, CHANNELS), "value_weight": (8, CHANNELS), "norm_weight": (CHANNELS,)}
    return {name: torch.randn(shape, dtype=torch.float64).requires_grad_() for name, shape in shapes.items()}


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("sizes", [[7], [3, 4], [1, 5, 1]])
def test_pieces_are_the_whole(sizes: list[int], is_masked: bool) -> None:
    data = torch.randn(2, 7, 3, dtype=torch.float64)
    code = torch.randn(2, dtype=torch.float64).requires_grad_()
    mask = torch.rand(2, 7) < 0.5 if is_masked else None
    if mask is not None:
        mask[0, :4], mask[1] = False, False
    other = Context(torch.randn(2, 4, CHANNELS, dtype=torch.float64))
    queries = torch.randn(2, 3, 6, dtype=torch.float64).requires_grad_()
    given = weights()
    found = []
    for context in (Context(data, code=code, mask=mask), streamed(data, code, mask, sizes)):
        for contexts in ([context], [context, other]):
            out = cross_attend(queries, contexts, **given, norm_bias=None, heads=HEADS)
            out.square().sum().backward()
            leaves = (queries, code, *given.values())
            found.append((out.detach(), [leaf.grad for leaf in leaves]))
            for leaf in leaves:
                leaf.grad = None
    alone, with_other, streamed_alone, streamed_with_other = found
    torch.testing.assert_close(streamed_alone, alone)
    torch.testing.assert_close(streamed_with_other, with_other)


def test_no_piece_is_an_error() -> None:
    empty = StreamedContext(lambda: iter(()), CHANNELS, torch.zeros(2, 0, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="at least one piece"):
        cross_attend(torch.zeros(2, 3, 6, dtype=torch.float64), [empty], **weights(), norm_bias=None, heads=HEADS)


def test_all_tokens_at_once_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="StreamedInput is read by cross-attends alone"):
        in_memory([StreamedContext(lambda: iter(()), CHANNELS, torch.zeros(2, 0, 3))])
