"""Whether a model trains faster in bfloat16 than in float32, on a CPU."""

from torch import nn

from perceiver_pytorch.ops.linear import bfloat16_products
from perceiver_pytorch.training.cores import latent_multiply_adds

LARGE = 1 << 23
"""Multiply-adds of a row's latents with the model's weights, at least. With fewer, casts take the time that products
gain (docs/performance.md)."""


def gains_by_bfloat16(model: nn.Module) -> bool:
    """A large one does, where the processor multiplies bfloat16 by instructions of its own."""
    return latent_multiply_adds(model) >= LARGE and bfloat16_products()
