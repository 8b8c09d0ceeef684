"""Fourier position features (Perceiver, section 3.2)."""

import math
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from perceiver_pytorch._execution import is_eager

KEPT_LENGTH = 1 << 16
"""Longest table that is kept: a sound's, at 44 kHz, takes as long to make as a layer takes to read it."""


def frequencies(
    max_freq: float, num_bands: int, base: float = 2, scale: str = "log", *, like: Tensor | None = None
) -> Float[Tensor, " bands"]:
    """Frequencies of the bands, in half-cycles per unit of a coordinate in [-1, 1].

    Args:
        max_freq: sampling rate to resolve; the highest band is ``max_freq / 2`` (the Nyquist frequency).
        num_bands: number of bands.
        base: base of the logarithmic spacing.
        scale: ``"log"``: from ``base`` to ``max_freq / 2``, logarithmic (release 1.4.0; bands are identical where
            ``max_freq / 2 == base``). ``"linear"``: from 1 to ``max_freq / 2``, equally spaced (the paper).
        like: tensor whose dtype and device are used; default: torch's defaults.
    """
    dtype, device = (None, None) if like is None else (like.dtype, like.device)
    if scale == "linear":
        return torch.linspace(1.0, max_freq / 2, num_bands, dtype=dtype, device=device)
    last = math.log(max_freq / 2) / math.log(base)
    return torch.logspace(1.0, last, num_bands, base=base, dtype=dtype, device=device)


def fourier_encode(
    x: Float[Tensor, "*shape"], max_freq: float, num_bands: int = 4, base: float = 2, scale: str = "log"
) -> Float[Tensor, "*shape features"]:
    """Features ``[sin(π f x) for every band f, cos(π f x) for every band, x]`` of coordinates in [-1, 1].

    Args:
        x: coordinates of any shape, float.
        max_freq, num_bands, base, scale: see `frequencies`.

    Returns:
        ``(*x.shape, 2 * num_bands + 1)`` in the dtype of ``x``.
    """
    x = x.unsqueeze(-1)
    # Scaled first by the frequency and then by π, as release 1.4.0 does: another order rounds differently.
    angles = x * frequencies(max_freq, num_bands, base, scale, like=x) * math.pi
    return torch.cat((angles.sin(), angles.cos(), x), dim=-1)


def position_table(
    length: int,
    max_freq: float,
    num_bands: int,
    base: float = 2,
    scale: str = "log",
    device: torch.device | None = None,
) -> Float[Tensor, "length features"]:
    """Fourier features of ``length`` equally spaced coordinates from -1 to 1, ``(length, 2 * num_bands + 1)``.

    Computed in torch's default dtype whatever the dtype of the data, as in release 1.4.0. A table is kept for the next
    call: not to be changed in place.
    """
    device = torch.empty(0).device if device is None else device  # also within ``with torch.device``, in PyTorch 2.6
    arguments = length, max_freq, num_bands, base, scale, device, torch.get_default_dtype()
    if not is_eager() or length > KEPT_LENGTH:  # what a fake or transformed call makes is of no use to the next
        return _table(*arguments)
    return _kept_table(*arguments)


def _table(
    length: int,
    max_freq: float,
    num_bands: int,
    base: float,
    scale: str,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    return fourier_encode(evenly_spaced(length, device, dtype), max_freq, num_bands, base, scale)


def evenly_spaced(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``torch.linspace(-1, 1, length)``, which would make a graph's symbolic length a constant."""
    if not torch.compiler.is_compiling():
        return torch.linspace(-1.0, 1.0, steps=length, device=device, dtype=dtype)
    # The same bits in float32: PyTorch starts from either end, and rounds a product and a sum once.
    exact = dtype if device.type == "mps" else torch.float64
    step = (2.0 / torch.full((), max(length - 1, 1), device=device, dtype=dtype)).to(exact)
    place = torch.arange(length, device=device)
    return torch.where(place < max(length // 2, 1), step * place - 1.0, 1.0 - step * (length - 1 - place)).to(dtype)


@lru_cache(maxsize=16)
def _kept_table(*arguments: Any) -> Tensor:
    with torch.inference_mode(False):  # else a table made for inference would be of no use in training
        return _table(*arguments)
