"""How weights start."""

import math

import torch
from torch import Tensor, nn

LATENT_INITS = ("normal", "truncated_normal")
LINEAR_INITS = ("uniform", "variance_scaling")

# Standard deviation of a standard normal distribution cut at ±2.
_CUT_STD = 0.87962566103423978


def init_latents(num_latents: int, latent_dim: int, init: str) -> nn.Parameter:
    """The learned latent array ``(num_latents, latent_dim)``.

    Args:
        init: ``"normal"``: N(0, 1) (release 1.4.0). ``"truncated_normal"``: standard deviation 0.02, cut at ±2 (the
            paper).
    """
    if init == "truncated_normal":
        return nn.Parameter(nn.init.trunc_normal_(torch.empty(num_latents, latent_dim), std=0.02, a=-2.0, b=2.0))
    return nn.Parameter(torch.randn(num_latents, latent_dim))


def normal(*shape: int, std: float = 1.0) -> nn.Parameter:
    """Weights of N(0, std²); drawn in place, which a model that is looked at without its weights leaves out."""
    return nn.Parameter(torch.empty(shape).normal_(std=std))


def waves(count: int, width: int, span: float, amplitude: float) -> Tensor:
    """Sines and cosines ``(count, width)`` of places from 0 to ``span``, of wavelengths from 2 to ``2 * span``.

    Places near one another have similar rows, whatever the count and the width.
    """
    places = torch.linspace(0.0, span, count)
    frequencies = math.pi * max(span, 1.0) ** -torch.linspace(0.0, 1.0, (width + 1) // 2)
    angles = places.unsqueeze(1) * frequencies
    return amplitude * torch.cat((angles.sin(), angles.cos()), dim=1)[:, :width]


def init_linears(module: nn.Module, init: str) -> None:
    """Sets all linear layers of ``module`` anew.

    Args:
        init: ``"uniform"``: leaves PyTorch's default (release 1.4.0), variance 1 / (3 fan_in). ``"variance_scaling"``:
            truncated normal of variance 1 / fan_in, biases zero (the paper's published code). Scores of a fresh
            attention then spread three times as far, so that its heads look at different places from the start.
    """
    if init == "uniform":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            std = 1 / (_CUT_STD * math.sqrt(layer.in_features))
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
