"""A head that reads the mean and the maximum of its tokens."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.nn.heads.base import Head
from perceiver_pytorch.nn.heads.in_pieces import MeanAndMax
from perceiver_pytorch.nn.randomness import Dropout
from perceiver_pytorch.ops.second_order import are_many, gradients


class PooledHead(Head):
    """Mean and maximum over the real tokens, layer norm, and a perceptron with one hidden layer.

    Args:
        channels: of a token.
        size: of the answer.
        hidden: channels of the hidden layer.
        dropout: of the hidden layer.

    Raises:
        ValueError, TypeError: for sizes that are no positive numbers, or a dropout outside of 0 to 1.
    """

    name: ClassVar[str] = "pooled"

    def __init__(self, channels: int, size: int, hidden: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.channels = _checks.positive_int("channels", channels)
        self.size, self.hidden = _checks.positive_int("size", size), _checks.positive_int("hidden", hidden)
        self.dropout = _checks.probability("dropout", dropout)
        self.norm = nn.LayerNorm(2 * channels)
        self.layers = nn.Sequential(
            nn.Linear(2 * channels, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, size)
        )

    @classmethod
    def suited(cls, channels: Sequence[int], lengths: Sequence[int | None], size: int) -> "PooledHead":
        (number,) = channels
        return cls(number, size)

    def forward(
        self,
        tokens: Sequence[Shaped[Tensor, "batch *axes channels"] | MeanAndMax],
        masks: Sequence[Bool[Tensor, "batch *axes"] | None],
    ) -> Float[Tensor, "batch size"]:
        (data,), (mask,) = tokens, masks
        return self.layers(self.norm(torch.cat(mean_and_max(data, mask), dim=-1)))

    def to_config(self) -> dict[str, Any]:
        return {
            "channels": self.channels,
            "size": self.size,
            "hidden": self.hidden,
            "dropout": self.dropout,
        }


def mean_and_max(
    data: Shaped[Tensor, "batch *axes channels"] | MeanAndMax, mask: Bool[Tensor, "batch *axes"] | None
) -> tuple[Float[Tensor, "batch channels"], Float[Tensor, "batch channels"]]:
    """Of every row's real tokens; zeros for a row without any."""
    if isinstance(data, MeanAndMax):
        return data.mean, data.greatest
    data = data.flatten(1, -2)
    data = data if data.is_floating_point() else data.float()
    there = None if mask is None else mask.flatten(1).unsqueeze(-1)
    if data.shape[1] and is_eager(data, there):
        mean, greatest = _MeanAndMax.apply(data, there)
        return mean, greatest
    return _plain_mean_and_max(data, there)


def _plain_mean_and_max(data: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same of ``(batch, tokens, channels)``, by operations that autograd follows."""
    if there is None:
        return data.mean(1), data.amax(1)
    total = data.masked_fill(~there, 0.0).sum(1)
    greatest = data.masked_fill(~there, -torch.inf).amax(1)
    return total / there.sum(1).clamp_min(1), greatest.masked_fill(~there.any(1), 0.0)


class _MeanAndMax(torch.autograd.Function):
    """Goes back over all tokens about half as often as autograd would."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor]:
        mean, greatest = _plain_mean_and_max(data, there)
        ctx.save_for_backward(data, there, greatest)
        return mean, greatest

    @staticmethod
    def backward(ctx: Any, to_mean: Tensor, to_greatest: Tensor) -> tuple[Tensor | None, None]:
        data, there, greatest = ctx.saved_tensors
        if torch.is_grad_enabled() or are_many(to_mean, to_greatest):
            (found,) = gradients(partial(_plain_mean_and_max, there=there), (data,), (True,), (to_mean, to_greatest))
            return found, None
        given = (data == greatest.unsqueeze(1)).to(data.dtype)
        real = None if there is None else there.to(data.dtype)
        given = given if real is None else given.mul_(real)
        to_most = (to_greatest / given.sum(1).clamp_min(1)).unsqueeze(1)  # equal ones share it, as in `Tensor.amax`
        to_each = (to_mean / (data.shape[1] if real is None else real.sum(1).clamp_min(1))).unsqueeze(1)
        given = given.mul_(to_most)
        return (given.add_(to_each) if real is None else given.addcmul_(real, to_each)), None
