"""Few and narrow latents through many small parts in one compiled loop, see `ops.backends.latent_loops`.

PyTorch takes some twenty operations for a block of self-attention and feed-forward. On 12 latents of 64 channels these
take five times as long as their multiplications.
"""

import sys
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from perceiver_pytorch._execution import is_eager
from perceiver_pytorch._waiting import must_wait
from perceiver_pytorch.ops import latent_gradients, latent_steps, threads
from perceiver_pytorch.ops.backends import compiled
from perceiver_pytorch.ops.latent_steps import LatentPart, planned
from perceiver_pytorch.ops.linear import needs_gradients

FEWEST = 8
"""Latents below which gradients are left to PyTorch: most of a vector would be empty (AVX-512's has room for 16)."""

TRAINED = 1 << 21
"""Multiply-adds of the largest product of a part up to which loops train as well. Backward they compute every part once
more: a model with one row of 12 x 64 latents gains a twelfth of its step, with two a fiftieth (docs/performance.md)."""

_MORE_THAN_A_VECTOR = 17


def may_take(x: Tensor) -> bool:
    """Whether latents may go through compiled loops, whatever the parts."""
    if not compiled.is_installed() or not is_eager(x) or x.dim() != 3 or not x.numel():
        return False
    if not torch.is_grad_enabled() and (latent_steps.failures or ("numba" not in sys.modules and not must_wait())):
        return False  # to import it takes as long as hundreds of layers: it is left to what gains more by it
    return x.dtype == torch.float32 and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def through(
    x: Float[Tensor, "batch latents dim"], parts: Sequence[LatentPart], *, keep: int | None = None
) -> Float[Tensor, "batch latents dim"] | None:
    """``x = x + part(x)`` for each part; None where this is not the place to compute it.

    Args:
        x: the latents.
        parts: at least one.
        keep: the number of parts after which latents are kept, to be added once more at the end.
    """
    if not may_take(x) or not all(_fits(part, x.shape[-1]) for part in parts):
        return None
    plan, tensors = planned(parts, keep)
    follows = needs_gradients(x, *tensors)
    if not _are_taken(x, tensors, TRAINED if follows else threads.SMALL):
        return None
    if not follows:
        return latent_steps.forward(x, plan, tensors)
    if x.shape[1] < FEWEST or any(t.is_inference() for t in tensors) or not latent_steps.can_import():
        return None
    return latent_gradients.through(x, plan, tensors)


def compile_loops() -> None:
    """Compiles what all numbers of latents need, or loads it from the disk."""
    weight = torch.zeros(4, 4, requires_grad=True)
    part = LatentPart("gelu", None, None, 1.0, weight, None, weight, None)
    for num_latents in (FEWEST, _MORE_THAN_A_VECTOR):
        out = through(torch.zeros(1, num_latents, 4), [part])
        if out is not None:
            out.sum().backward()


def failures() -> list[str]:
    """Why loops could not be compiled in this process."""
    return [*latent_steps.failures]


def _are_taken(x: Tensor, tensors: Sequence[Tensor], most: int) -> bool:
    """Whether weights are as the loop reads them, and the largest product has no more than ``most`` multiply-adds."""
    if x.shape[:-1].numel() * max(tensor.numel() for tensor in tensors) > most or not is_eager(*tensors):
        return False
    return latent_steps.can_be_read(tensors)


def _fits(part: LatentPart, dim: int) -> bool:
    """Whether shapes go together; what does not is left to PyTorch's error."""
    width = part.last.shape[-1]
    inner = 2 * width if part.kind == "geglu" else width
    expected = (dim,), (dim,), (inner, dim), (inner,), (2 * width, dim), (dim, width), (dim,)
    pairs = zip(part.tensors, expected, strict=True)
    return width % part.heads == 0 and all(tensor is None or tensor.shape == shape for tensor, shape in pairs)
