"""Rotary positions (Su et al. 2021, arXiv 2104.09864): keys and queries turn by their position."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def rotary_table(
    positions: Int[Tensor, "*shape"], channels: int, base: float = 10_000.0
) -> Float[Tensor, "*shape half two"]:
    """Cosine and sine of the angle by which each pair of channels turns at each position.

    Args:
        positions: any integers.
        channels: how many channels turn, an even number; pair i turns by ``position * base ** (-2 i / channels)``.
        base: the longest wavelength is 2 pi times nearly this.

    Returns:
        float32. Angles are computed in float64 where the device has it: at position 100,000 float32 would be off by
        0.004 radians.
    """
    exact = torch.float32 if positions.device.type == "mps" else torch.float64
    pairs = torch.arange(0, channels, 2, device=positions.device, dtype=exact)
    angles = positions.to(exact).unsqueeze(-1) * base ** (-pairs / channels)
    return torch.stack((angles.cos(), angles.sin()), dim=-1).float()


def rotate(
    x: Float[Tensor, "batch heads tokens channels"], table: Float[Tensor, "*batch_tokens half two"]
) -> Float[Tensor, "batch heads tokens channels"]:
    """Turns the first ``2 * half`` channels of ``x``, pair by pair; the others stay, so that they ignore positions.

    The product of a turned query and a turned key depends on the difference of their positions alone.

    Args:
        x: queries or keys.
        table: of `rotary_table`, for positions ``(tokens,)`` or ``(batch, tokens)``.
    """
    half = table.shape[-2]
    turned, rest = x.split((2 * half, x.shape[-1] - 2 * half), dim=-1)
    even, odd = turned.unflatten(-1, (half, 2)).unbind(-1)
    if table.dim() == 4:
        table = table.unsqueeze(1)  # the same for every head
    cos, sin = table.to(x.dtype if x.dtype == torch.float64 else torch.float32).unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)
    return torch.cat((turned.to(x.dtype), rest), dim=-1)
