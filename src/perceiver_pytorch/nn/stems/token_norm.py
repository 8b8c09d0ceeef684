"""A norm per channel whose statistics are those of the first train batch, and stay."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.nn.processes import moments, moments_of_parts

EPS = 1e-5
LEAST = 1e-4
"""Share of the channels' mean variance that each is taken to have at least: what hardly varies in the first batch, such
as the motion in films that stand still, may vary much in later ones."""


class TokenNorm(nn.Module):
    """Brings each channel to mean 0 and deviation 1 over the real tokens of the first train batch, then only learns.

    Data-dependent initialisation (ActNorm: Kingma and Dhariwal 2018, arXiv 1807.03039). What all tokens have in common
    grows from convolution to convolution, until what sets rows apart is lost beside it; batch normalisation cures that
    by the mean of each channel. Norms within a row do not: they keep what rows have in common, and take away what sets
    a row apart from others, such as how much moves in it. With the statistics of one batch, a row's result never
    depends on the others, in training as in evaluation. docs/training.md compares them.

    Args:
        channels: of a token.

    Attributes:
        mean, scale: float ``(channels,)``, buffers: of the first batch, and its inverse deviation.
        known: bool, a buffer: whether there was one.
    """

    mean: Tensor
    scale: Tensor
    known: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("known", torch.zeros((), dtype=torch.bool))

    @property
    def reads_whole_batch(self) -> bool:
        """Whether a step's rows have to be computed together: the first ones give the statistics."""
        return self.training and not self.known

    def forward(self, data: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalised data of the same shape.

        Args:
            data: ``(batch, *axes, channels)``.
            mask: bool ``(batch, *axes)``, True where a token is real; None if all are.
        """
        if self.reads_whole_batch:
            self._look(data.detach(), mask)
        if torch.is_grad_enabled() and data.device.type == "cpu" and data.dtype == self.weight.dtype and is_eager(data):
            # The backward pass of a batch norm whose statistics stay takes half the time.
            flat, var = data.flatten(0, -2), self.scale.reciprocal().square()
            return F.batch_norm(flat, self.mean, var, self.weight, self.bias, eps=0.0).view(data.shape)
        scale = self.weight * self.scale
        return torch.addcmul((self.bias - self.mean * scale).to(data.dtype), data, scale.to(data.dtype))

    def _look(self, data: Tensor, mask: Tensor | None) -> None:
        """Takes mean and deviation of the real tokens; waits for the next batch if there is none."""
        tokens = (data.flatten(0, -2) if mask is None else data[mask]).float()
        self._take(moments(tokens))

    def learn(self, tokens: Iterable[Tensor]) -> None:
        """Takes the statistics of tokens ``(any number, channels)`` that come in pieces."""
        self._take(moments_of_parts((part.detach().float() for part in tokens), self.mean.float()))

    def _take(self, found: tuple[Tensor, Tensor] | None) -> None:
        if found is not None:
            var, mean = found
            self.mean.copy_(mean)
            self.scale.copy_(torch.rsqrt(var.clamp_min(LEAST * var.mean()) + EPS))
            self.known.fill_(True)
