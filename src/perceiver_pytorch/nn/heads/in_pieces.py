"""Mean and maximum of tokens that come in pieces, of which one at a time is in memory, in the backward pass too."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from perceiver_pytorch.ops.precision import full_precision, in_full
from perceiver_pytorch.ops.streamed import Gradients

Pieces = Callable[[], Iterator[tuple[Tensor, Tensor | None]]]
"""Gives tokens ``(batch, *axes, channels)`` and their mask, piece by piece, anew with every call."""


@dataclass(frozen=True, eq=False)
class MeanAndMax:
    """What heads read of tokens that are not in memory: mean and maximum of every row's real tokens, zeros of none."""

    mean: Float[Tensor, "batch channels"]
    greatest: Float[Tensor, "batch channels"]

    @classmethod
    def of_pieces(cls, pieces: Pieces, parameters: Sequence[Tensor]) -> "MeanAndMax":
        """Of all pieces together, which are made without autocast, as they are for layers, and summed up in float32.

        Args:
            pieces: gives them, at least one.
            parameters: what they are made with; gradients go there.
        """
        return cls(*_Pooled.apply(pieces, *parameters))

    def with_row(self, row: int, other: "MeanAndMax") -> "MeanAndMax":
        """The same with one row of another, which has no other."""
        pairs = (self.mean, other.mean), (self.greatest, other.greatest)
        return MeanAndMax(*(torch.cat([own[:row], one, own[row + 1 :]]) for own, one in pairs))


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pieces: Pieces, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        total = count = greatest = ties = dtype = None
        with _as_for_layers(parameters):
            for data, mask in pieces():
                values, there = _flat(data, mask)
                most = values.masked_fill(~there, -torch.inf).amax(1)
                if total is None or count is None or greatest is None or ties is None:
                    dtype = data.dtype if data.is_floating_point() else most.dtype
                    total, greatest = torch.zeros_like(most), torch.full_like(most, -torch.inf)
                    count, ties = torch.zeros_like(most), torch.zeros_like(most)
                total, count = total + values.masked_fill(~there, 0.0).sum(1), count + there.sum(1)
                new = torch.maximum(greatest, most)
                again = ((values == new.unsqueeze(1)) & there).sum(1)
                ties, greatest = torch.where(greatest == new, ties, 0) + again, new
        assert total is not None and count is not None and greatest is not None and ties is not None  # noqa: PT018
        ctx.save_for_backward(*parameters, count, greatest, ties)
        ctx.pieces = pieces
        return (total / count.clamp_min(1)).to(dtype), greatest.masked_fill(count == 0, 0.0).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_mean: Tensor, to_greatest: Tensor) -> tuple[Tensor | None, ...]:
        *parameters, count, greatest, ties = ctx.saved_tensors
        gradients = Gradients(parameters, ctx.needs_input_grad[1:])
        to_each = (to_mean / count.clamp_min(1)).unsqueeze(1)
        to_most = (to_greatest / ties.clamp_min(1)).unsqueeze(1)  # equal ones share it, as in `Tensor.amax`
        with torch.enable_grad(), _as_for_layers(parameters):
            for data, mask in ctx.pieces():
                values, there = _flat(data, mask)
                given = to_each + torch.where(values.detach() == greatest.unsqueeze(1), to_most, 0.0)
                gradients.add([values], [given.masked_fill(~there, 0.0)])
        return None, *gradients.found


def _as_for_layers(parameters: Sequence[Tensor]) -> AbstractContextManager[object]:
    """Switches autocast off, in both passes: the backward pass has to find the very same values again."""
    return full_precision(parameters[0].device) if parameters else nullcontext()


def _flat(data: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Tokens ``(batch, count, channels)`` in float32 or more, and which are real, ``(batch, count, 1)``."""
    values = in_full(data.flatten(1, -2))
    if mask is None:
        return values, torch.ones((), dtype=torch.bool, device=data.device).expand(*values.shape[:2], 1)
    return values, mask.flatten(1).unsqueeze(-1)
