"""Parts of a layer as the compiled loops of latents are told of them, and as PyTorch computes them."""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from perceiver_pytorch.ops import threads
from perceiver_pytorch.ops.backends import compiling
from perceiver_pytorch.ops.backends.instead import NotCompiledError

Kind = Literal["attention", "geglu", "gelu"]

failures: list[str] = []
"""Why loops could not be compiled in this process."""


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

    def added(self, x: Float[Tensor, "batch latents dim"]) -> Float[Tensor, "batch latents dim"]:
        """What is to be added to ``x``, by operations of PyTorch that can be differentiated any number of times."""
        x = F.layer_norm(x, x.shape[-1:], self.norm_weight, self.norm_bias, self.eps)
        wide = F.linear(x, self.first, self.first_bias)
        if self.keys_and_values is not None:
            both = F.linear(x, self.keys_and_values).chunk(2, -1)
            query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (wide, *both))
            shares = (query * query.shape[-1] ** -0.5 @ key.mT).softmax(-1)
            inside = (shares @ value).transpose(1, 2).flatten(2)
        elif self.kind == "geglu":
            other, gate = wide.chunk(2, -1)
            inside = other * F.gelu(gate)
        else:
            inside = F.gelu(wide)
        return F.linear(inside, self.last, self.last_bias)


class Shape(NamedTuple):
    """A part without its weights; ``indices`` say which of several tensors they are, in the order of
    `LatentPart.tensors`, -1 for none."""

    kind: Kind
    heads: int
    width: int
    eps: float
    indices: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Channels that come from the latents; of an attention queries, keys and values together."""
        return {"attention": 3, "geglu": 2, "gelu": 1}[self.kind] * self.width


class Plan(NamedTuple):
    """Parts without their weights; ``keep`` as in `ops.latents.through`."""

    shapes: tuple[Shape, ...]
    keep: int | None

    def parts(self, tensors: Sequence[Tensor]) -> list[LatentPart]:
        """With weights."""
        made = []
        for shape in self.shapes:
            norm, norm_bias, first, first_bias, both, last, last_bias = (
                None if i < 0 else tensors[i] for i in shape.indices
            )
            assert first is not None
            assert last is not None
            made.append(
                LatentPart(
                    shape.kind, norm, norm_bias, shape.eps, first, first_bias, last, last_bias, both, shape.heads
                )
            )  # fmt: skip
        return made


def planned(parts: Sequence[LatentPart], keep: int | None) -> tuple[Plan, list[Tensor]]:
    """Parts, and their weights, each once."""
    places: dict[int, int] = {}
    tensors: list[Tensor] = []
    shapes = []
    for part in parts:
        for tensor in part.tensors:
            if tensor is not None and id(tensor) not in places:
                places[id(tensor)] = len(tensors)
                tensors.append(tensor)
        indices = tuple([-1 if tensor is None else places[id(tensor)] for tensor in part.tensors])
        shapes.append(Shape(part.kind, part.heads, part.last.shape[-1], part.eps, indices))
    return Plan(tuple(shapes), keep), tensors


def computed(x: Tensor, plan: Plan, tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """What the loop computes, by PyTorch; and what each part begins with."""
    states = []
    kept: Tensor | None = None
    for i, part in enumerate(plan.parts(tensors)):
        kept = x if i == plan.keep else kept
        states.append(x)
        x = part.added(x) + x
    kept = x if plan.keep == len(plan.shapes) else kept
    return x if kept is None else x + kept, states


def forward(
    x: Float[Tensor, "batch latents dim"],
    plan: Plan,
    tensors: Sequence[Tensor],
    states: Float[Tensor, "parts batch latents dim"] | None = None,
) -> Float[Tensor, "batch latents dim"] | None:
    """Runs `latent_loops.forward`, without gradients; None if it is not compiled (yet)."""
    if failures or not can_import():
        return None
    from perceiver_pytorch.ops.backends import latent_loops

    x = x.detach().contiguous()
    out = torch.empty_like(x)
    states = x.new_empty(0, 0, 0, 0) if states is None else states
    tile, pair = widths(x.shape[1])
    arguments = x.numpy(), out.numpy(), states.numpy(), *steps(plan, tensors), tile, pair
    if not is_compiled(("latents", pair), "latent_loops.forward", arguments):
        return None
    room = latent_loops.room(x.shape[2], x.shape[1], widest(plan))
    threads.run(latent_loops.forward, *arguments, num_parts=x.shape[0], room=room)
    return out


def widths(num_latents: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """``tile`` and ``pair`` of `latent_loops.forward`."""
    from perceiver_pytorch.ops.backends import simd

    return (0,) * (simd.WIDTH // 2), (0,) if num_latents > simd.WIDTH else ()


def can_be_read(tensors: Sequence[Tensor]) -> bool:
    """Whether weights lie in memory as the loops read them."""
    return all(t.dtype == torch.float32 and t.device.type == "cpu" and t.is_contiguous() for t in tensors)


@cache
def can_import() -> bool:
    """Whether Numba, which is installed, can be imported; if not, that is told of."""
    try:
        from perceiver_pytorch.ops.backends import simd  # noqa: F401
    except Exception as error:  # SystemError, for one
        _fail(error)
        return False
    return True


def is_compiled(key: Hashable, name: str, arguments: tuple[Any, ...], *, behind: bool = False) -> bool:
    """Whether a loop is there, see `compiling.ensure`; one that cannot be compiled is told of, once."""
    if failures:
        return False
    try:
        compiling.ensure(key, name, (threads.counter(), threads.memory(0), *arguments), behind)
    except NotCompiledError:
        return False
    except MemoryError:
        raise
    except Exception as error:  # those of compilers have no class in common
        _fail(error)
        return False
    return True


def _fail(error: Exception) -> None:
    failures.append(" ".join(str(error).split())[:300])
    warnings.warn(f"no loop for latents ({failures[0]}); PyTorch computes them from here on", stacklevel=6)


def steps(plan: Plan, tensors: Sequence[Tensor]) -> tuple[np.ndarray, np.ndarray, int]:
    """What a loop is to do: see `latent_loops.Step`; each step's epsilon; and the channels of the widest."""
    sizes, indices, eps = _lines(plan)
    addresses = np.array([*(tensor.data_ptr() for tensor in tensors), 0], np.int64)
    return np.concatenate([sizes, addresses[indices]], 1), eps, widest(plan)


def widest(plan: Plan) -> int:
    """The most channels that a part has inside."""
    return max(shape.rows for shape in plan.shapes)


@cache
def _lines(plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kind, heads and width of each step, which tensors it has, and its epsilon."""
    from perceiver_pytorch.ops.backends import latent_loops as loops

    kinds = {"attention": loops.ATTENTION, "geglu": loops.GEGLU, "gelu": loops.GELU}
    none = (-1,) * 7
    lines: list[tuple[int, int, int, tuple[int, ...], float]] = []
    for i, (kind, heads, width, eps, indices) in enumerate(plan.shapes):
        if i == plan.keep:
            lines.append((loops.KEEP, 0, 0, none, 0.0))
        lines.append((kinds[kind], heads, width // heads, indices, eps))
    if plan.keep == len(plan.shapes):
        lines.append((loops.KEEP, 0, 0, none, 0.0))
    if plan.keep is not None:
        lines.append((loops.ADD, 0, 0, none, 0.0))
    sizes = np.array([line[:3] for line in lines], np.int64)
    return sizes, np.array([line[3] for line in lines], np.int64), np.array([line[4] for line in lines], np.float64)
