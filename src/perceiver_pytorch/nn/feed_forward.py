"""Feed-forward parts: GELU as in the paper, GEGLU as in lucidrains' perceiver-pytorch and release 1.4.0's default."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class GEGLU(nn.Module):
    """Halves the channels: the first half times the GELU of the second (Shazeer 2020)."""

    def forward(self, x: Float[Tensor, "*shape twice"]) -> Float[Tensor, "*shape once"]:
        value, gate = x.chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Linear, GEGLU, dropout, linear; ``mult`` times as wide inside.

    Args:
        dim: channels in and out.
        mult: widening factor.
        dropout: probability.
    """

    def __init__(self, dim: int, mult: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, dim * mult * 2), GEGLU(), nn.Dropout(dropout), nn.Linear(dim * mult, dim)
        )

    def forward(self, x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
        return self.net(x)


class FeedForwardGELU(nn.Module):
    """Linear, GELU, dropout, linear: the paper's. Arguments as in `FeedForward`."""

    def __init__(self, dim: int, mult: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, dim * mult), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim * mult, dim))

    def forward(self, x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
        return self.net(x)


FEED_FORWARD: dict[str, type[FeedForward] | type[FeedForwardGELU]] = {"geglu": FeedForward, "gelu": FeedForwardGELU}
"""Feed-forward part by the name of its activation."""
