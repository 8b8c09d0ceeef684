"""Few and narrow latents through many small parts in one compiled loop, see `ops.backends.latent_loops`.

PyTorch takes some twenty operations for a block of self-attention and feed-forward. On 12 latents of 64 channels these
take five times as long as their multiplications.
"""

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from perceiver_pytorch._execution import is_eager
from perceiver_pytorch._waiting import must_wait
from perceiver_pytorch.ops import threads
from perceiver_pytorch.ops.backends import compiled, compiling
from perceiver_pytorch.ops.backends.instead import NotCompiledError

Kind = Literal["attention", "geglu", "gelu"]

_failures: list[str] = []

_MORE_THAN_A_VECTOR = 17


@dataclass(frozen=True, eq=False)
class LatentPart:
    """A part that reads normalised latents, and whose result is added to them.

    Args:
        kind: self-attention, or a feed-forward part by its activation.
        norm_weight, norm_bias, eps: of the layer norm.
        first, first_bias: ``(heads * width, dim)`` queries; of a feed-forward part ``(width, dim)``, or with GEGLU
            ``(2 * width, dim)``.
        last, last_bias: ``(dim, heads * width)``; of a feed-forward part ``(dim, width)``.
        keys_and_values: ``(2 * heads * width, dim)``, of an attention.
        heads: of an attention.
    """

    kind: Kind
    norm_weight: Tensor | None
    norm_bias: Tensor | None
    eps: float
    first: Tensor
    first_bias: Tensor | None
    last: Tensor
    last_bias: Tensor | None
    keys_and_values: Tensor | None = None
    heads: int = 1

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """In the order of `latent_loops.Step`."""
        return (
            self.norm_weight, self.norm_bias, self.first, self.first_bias, self.keys_and_values, self.last,
            self.last_bias,
        )  # fmt: skip


def may_take(x: Tensor) -> bool:
    """Whether latents may go through compiled loops, whatever the parts."""
    if _failures or not compiled.is_installed() or not is_eager(x) or x.dim() != 3 or not x.numel():
        return False
    if "numba" not in sys.modules and not must_wait():
        return False  # to import it takes as long as hundreds of layers: it is left to what gains more by it
    return x.dtype == torch.float32 and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def through(
    x: Float[Tensor, "batch latents dim"], parts: Sequence[LatentPart], *, keep: int | None = None
) -> Float[Tensor, "batch latents dim"] | None:
    """``x = x + part(x)`` for each part, without gradients; None where this is not the place to compute it.

    Args:
        x: the latents.
        parts: at least one.
        keep: the number of parts after which latents are kept, to be added once more at the end.
    """
    if not may_take(x) or not _are_taken(x, parts):
        return None
    from perceiver_pytorch.ops.backends import latent_loops, simd

    x = x.detach().contiguous()
    out = torch.empty_like(x)
    tile, pair = (0,) * (simd.WIDTH // 2), (0,) if x.shape[1] > simd.WIDTH else ()
    arguments = x.numpy(), out.numpy(), *_steps(parts, keep, latent_loops), tile, pair
    if not _is_compiled(pair, arguments):
        return None
    threads.run(latent_loops.forward, *arguments, num_parts=x.shape[0])
    return out


def compile_loops() -> None:
    """Compiles what all numbers of latents need, or loads it from the disk."""
    weight = torch.zeros(4, 4)
    part = LatentPart("gelu", None, None, 1.0, weight, None, weight, None)
    for num_latents in (1, _MORE_THAN_A_VECTOR):
        through(torch.zeros(1, num_latents, 4), [part])


def failures() -> list[str]:
    """Why loops could not be compiled in this process."""
    return [*_failures]


def _is_compiled(pair: tuple[int, ...], arguments: tuple[Any, ...]) -> bool:
    try:
        compiling.ensure(("latents", len(pair)), "latent_loops.forward", (threads.counter(), *arguments))
    except NotCompiledError:
        return False
    except MemoryError:
        raise
    except Exception as error:  # those of compilers have no class in common
        _failures.append(" ".join(str(error).split())[:300])
        warnings.warn(f"no loop for latents ({_failures[0]}); PyTorch computes them from here on", stacklevel=4)
        return False
    return True


def _are_taken(x: Tensor, parts: Sequence[LatentPart]) -> bool:
    """Whether weights are as the loop reads them, no gradients are asked for, and there is little to multiply."""
    given = [tensor for part in parts for tensor in part.tensors if tensor is not None]
    if torch.is_grad_enabled() and (x.requires_grad or any(tensor.requires_grad for tensor in given)):
        return False
    if x.shape[:-1].numel() * max(tensor.numel() for tensor in given) > threads.SMALL or not is_eager(*given):
        return False
    if any(t.dtype != torch.float32 or t.device.type != "cpu" or not t.is_contiguous() for t in given):
        return False
    return all(_fits(part, x.shape[-1]) for part in parts)


def _fits(part: LatentPart, dim: int) -> bool:
    """Whether shapes go together; what does not is left to PyTorch's error."""
    width = part.last.shape[-1]
    inner = 2 * width if part.kind == "geglu" else width
    expected = [
        (part.norm_weight, (dim,)), (part.norm_bias, (dim,)), (part.first, (inner, dim)), (part.first_bias, (inner,)),
        (part.keys_and_values, (2 * width, dim)), (part.last, (dim, width)), (part.last_bias, (dim,)),
    ]  # fmt: skip
    return width % part.heads == 0 and all(tensor is None or tensor.shape == shape for tensor, shape in expected)


def _steps(parts: Sequence[LatentPart], keep: int | None, loops: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the loop is to do: see `latent_loops.Step`, and each step's epsilon."""
    kinds = {"attention": loops.ATTENTION, "geglu": loops.GEGLU, "gelu": loops.GELU}
    lines = []
    for i, part in enumerate(parts):
        if i == keep:
            lines.append((loops.KEEP, *[0] * 9, 0.0))
        addresses = [0 if tensor is None else tensor.data_ptr() for tensor in part.tensors]
        lines.append((kinds[part.kind], part.heads, part.last.shape[-1] // part.heads, *addresses, part.eps))
    if keep is not None:
        lines.append((loops.ADD, *[0] * 9, 0.0))
    return np.array([line[:-1] for line in lines], np.int64), np.array([line[-1] for line in lines])
