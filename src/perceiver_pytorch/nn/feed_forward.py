"""Feed-forward parts: GELU as in the paper, GEGLU as in lucidrains' perceiver-pytorch and release 1.4.0's default."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from perceiver_pytorch.nn.linear import Linear
from perceiver_pytorch.nn.plain import is_plain
from perceiver_pytorch.nn.randomness import Dropout
from perceiver_pytorch.ops.linear import as_autocast, needs_gradients, product, product_times, takes


class GEGLU(nn.Module):
    """Halves the channels: the first half times the GELU of the second (Shazeer 2020)."""

    def forward(self, x: Float[Tensor, "*shape twice"]) -> Float[Tensor, "*shape once"]:
        value, gate = x.chunk(2, dim=-1)
        return value * F.gelu(gate)


class WidenedNet(nn.Sequential):
    """Linear, activation, dropout, linear: a feed-forward's parts, under the numbers of release 1.4.0.

    Where no gradient is asked for, the activation is computed within the first product, as long as the parts are the
    original ones and nobody listens to them.
    """

    def forward(self, x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
        return self[-1](self.widened(x))

    def widened(self, x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape wide"]:
        """What the last linear layer reads."""
        widen, activation, dropout, _ = self
        if not self._fuses(x):
            return dropout(activation(widen(x)))
        assert isinstance(widen, Linear)
        x, weight, bias = as_autocast(x, widen.weight, widen.bias)
        if isinstance(activation, nn.GELU):
            return product(x, weight, bias, "gelu")
        (value_weight, gate_weight), (value_bias, gate_bias) = weight.chunk(2), bias.chunk(2)
        return product_times(product(x, gate_weight, gate_bias, "gelu"), x, value_weight, value_bias)

    def _fuses(self, x: Tensor) -> bool:
        widen, activation, dropout, _ = self
        if type(widen) is not Linear or (self.training and getattr(dropout, "p", True)):
            return False
        given = (x, widen.weight, widen.bias)
        if not takes(*given) or needs_gradients(*given):
            return False
        return is_plain(widen) and is_plain(activation, GEGLU, nn.GELU) and is_plain(dropout, Dropout)


class FeedForward(nn.Module):
    """Linear, GEGLU, dropout, linear; ``mult`` times as wide inside.

    Args:
        dim: channels in and out.
        mult: widening factor.
        dropout: probability.
    """

    def __init__(self, dim: int, mult: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = WidenedNet(Linear(dim, dim * mult * 2), GEGLU(), Dropout(dropout), Linear(dim * mult, dim))

    def forward(self, x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
        return self.net(x)


class FeedForwardGELU(nn.Module):
    """Linear, GELU, dropout, linear: the paper's. Arguments as in `FeedForward`."""

    def __init__(self, dim: int, mult: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = WidenedNet(Linear(dim, dim * mult), nn.GELU(), Dropout(dropout), Linear(dim * mult, dim))

    def forward(self, x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
        return self.net(x)


FEED_FORWARD: dict[str, type[FeedForward] | type[FeedForwardGELU]] = {"geglu": FeedForward, "gelu": FeedForwardGELU}
"""Feed-forward part by the name of its activation."""
