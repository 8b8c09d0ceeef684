"""The encoder's loop: the one place where latents pass through the layers and blocks of a model."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from perceiver_pytorch._execution import execution
from perceiver_pytorch.ops import split, threads
from perceiver_pytorch.ops.latent_gradients import sharing
from perceiver_pytorch.ops.linear import casting_once
from perceiver_pytorch.ops.streamed import AnyContext

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Step = Callable[[Tensor], Tensor]
"""From latents to latents: a cross-attend with what it reads, a block, or a whole layer."""


def encode(
    x: Float[Tensor, "batch _latents _latent_dim"],
    steps: Iterable[Step],
    *,
    own_latents: Sequence[Float[Tensor, "_own_latents _own_latent_dim"]] = (),
    recompute: bool = False,
    hidden_states: list[Tensor] | None = None,
) -> Float[Tensor, "batch latents latent_dim"]:
    """Lets latents pass through the steps, one after the other.

    Args:
        x: the latents of the first step.
        steps: called with the latents, give the next ones.
        own_latents: one array per step, the first of them ``x`` (hierarchical form): each step starts from its own, to
            which those of the step before are added.
        recompute: keep no activations inside a step for the backward pass, which then runs the step once more.
        hidden_states: a list to which the latents after each step are appended.

    Returns:
        The last step's latents.
    """
    with casting_once(), sharing():
        for i, step in enumerate(steps):
            if 0 < i < len(own_latents):
                x = _enter(x, own_latents[i])
            # Under `torch.func` nothing can be kept or left out by checkpoints.
            again = recompute and torch.is_grad_enabled() and execution(x) in ("eager", "graph")
            x = checkpoint(_again, step, x, split.group(), use_reentrant=False) if again else step(x)
            if hidden_states is not None:
                hidden_states.append(x)
    return x


def io_steps(
    cross_attend: Callable[..., Tensor],
    context: Sequence[AnyContext] | Tensor,
    blocks: Iterable[Step],
    *,
    repeats: int = 1,
    mask: Tensor | None = None,
) -> list[Step]:
    """Perceiver IO's steps: a cross-attend onto ``context``, then the latent blocks, run through ``repeats`` times."""
    return [partial(cross_attend, context=context, mask=mask), *list(blocks) * repeats]


def _again(step: Step, x: Tensor, processes: "ProcessGroup | None") -> Tensor:
    """The step, which the backward pass may run within a part that has one thread, and outside of `split.over`."""
    with threads.all_threads(), split.over(processes):
        return step(x)


def _enter(x: Tensor, latents: Tensor) -> Tensor:
    """Adds the previous layer's first latents, padded with zeros to the new width, to a layer's own latents."""
    num_latents, latent_dim = latents.shape
    return latents + F.pad(x, (0, latent_dim - x.shape[-1]))[:, :num_latents]
