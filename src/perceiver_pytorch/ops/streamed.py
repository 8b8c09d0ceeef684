"""Tokens that come in pieces and never are in memory together: each cross-attend reads them anew, exactly.

Pieces are joined as they come (`joining`). The backward pass reads them once more: with the whole mean ``m`` and
log-sum-exp ``l``, and ``m_i``, ``l_i`` of piece i, whose share is ``s_i = exp(l_i - l)``, a gradient ``g`` of ``m`` and
``h`` of ``l`` gives

    ∂m_i = s_i g        ∂l_i = s_i ((m_i - m) · g + h)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.joining import Part, join, shares_of
from perceiver_pytorch.ops.precision import full_precision


@dataclass(frozen=True, eq=False)
class StreamedContext:
    """Tokens of one modality in pieces.

    Args:
        pieces: gives the pieces, anew with every call, and the same ones each time.
        num_channels: channels of a token.
        data: ``(batch, 0, channels)``: the batch, device and data channels that all pieces have.
        parameters: what pieces are made with, such as weights of a stem: they get gradients.
        row: the one row of the batch whose tokens they are, in pieces of a batch of 1; None: all rows have theirs.
    """

    pieces: Callable[[], Iterator[Context]]
    num_channels: int
    data: Tensor
    parameters: tuple[Tensor, ...] = ()
    row: int | None = None


AnyContext = Context | StreamedContext
"""What latents attend to of one modality."""


def in_memory(contexts: Sequence[AnyContext]) -> list[Context]:
    """The contexts, all tokens of which may be had at once.

    Raises:
        NotImplementedError: if one is a stream.
    """
    held = [context for context in contexts if isinstance(context, Context)]
    if len(held) < len(contexts):
        raise NotImplementedError(
            "a StreamedInput is read by cross-attends alone: not where keys and values have adapters, hooks or shards, "
            "not where tokens are dropped, and not by an inverted cross-attend"
        )
    return held


Attend = Callable[[Tensor, Sequence[Context], Tensor, Tensor, Tensor | None, float], Part]


def attend_streamed(
    attend: Attend,
    query: Tensor,
    context: StreamedContext,
    key: Tensor,
    value: Tensor,
    scale: Tensor | None,
    eps: float,
) -> Part:
    """What ``attend(query, pieces, key, value, scale, eps)`` gives for all pieces together, of which one at a time is
    in memory, in the backward pass too.

    Raises:
        ValueError: if there is no piece.
    """
    row, batch = context.row, len(query)
    own = query if row is None else query[row : row + 1]
    mean, lse = _Streamed.apply(attend, context, eps, own, key, value, scale, *context.parameters)
    if row is None:
        return mean, lse
    return _among_rows(mean, row, batch, 0.0), _among_rows(lse, row, batch, float("-inf"))


def _among_rows(found: Tensor, row: int, batch: int, fill: float) -> Tensor:
    """``(batch, …)`` of what one row has, ``(1, …)``."""
    before, behind = (found.new_full((count, *found.shape[1:]), fill) for count in (row, batch - row - 1))
    return torch.cat([before, found, behind])


class _Streamed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attend: Attend, context: StreamedContext, eps: float, *tensors: Tensor) -> Part:
        query, key, value, scale = tensors[:4]
        joined: Part | None = None
        for piece in context.pieces():
            part = attend(query, [piece], key, value, scale, eps)
            joined = part if joined is None else join([joined, part])
        if joined is None:
            raise ValueError("a StreamedInput must have at least one piece, got none")
        ctx.save_for_backward(*tensors, *joined)
        ctx.constants = attend, context, eps
        return joined

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mean: Tensor, grad_lse: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, mean, lse = ctx.saved_tensors
        attend, context, eps = ctx.constants
        needs = ctx.needs_input_grad[3:]
        own: list[Any] = [
            t if t is None else t.detach().requires_grad_(need) for t, need in zip(tensors[:4], needs, strict=False)
        ]
        query, key, value, scale = own
        total = Gradients([*own, *tensors[4:]], needs)
        with torch.enable_grad(), full_precision(mean.device):
            for piece in context.pieces():
                part_mean, part_lse = attend(query, [piece], key, value, scale, eps)
                with torch.no_grad():
                    share = shares_of(part_lse, lse)
                    to_lse = share * (((part_mean - mean) * grad_mean).sum(-1) + grad_lse)
                    to_mean = share.unsqueeze(-1) * grad_mean
                total.add([part_mean, part_lse], [to_mean, to_lse])
        return None, None, None, *total.found


class Gradients:
    """Sums of gradients over pieces.

    Args:
        leaves: with respect to which they are taken.
        needs: for which of them.

    Attributes:
        found: per leaf the sum; None where none is needed, or none came.
    """

    def __init__(self, leaves: Sequence[Tensor | None], needs: Sequence[bool]) -> None:
        self.places = [place for place, need in enumerate(needs) if need]
        self.leaves = [leaf for leaf, need in zip(leaves, needs, strict=True) if leaf is not None and need]
        self.found: list[Tensor | None] = [None] * len(leaves)

    def add(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Adds what ``gradients`` of a piece's outputs make of those of the leaves."""
        more = torch.autograd.grad(outputs, self.leaves, gradients, allow_unused=True)
        for place, gradient in zip(self.places, more, strict=True):
            if gradient is not None:
                before = self.found[place]
                self.found[place] = gradient if before is None else before + gradient
