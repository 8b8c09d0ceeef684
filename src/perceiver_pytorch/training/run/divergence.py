"""Runs that diverge: training stops at the first loss, gradient or weight that is not finite."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a run folder says where its run diverged without torch
    from torch import Tensor, nn

_USUAL_RATE = 1e-3
_SMALLER = 0.1


@dataclass(frozen=True)
class Divergence:
    """Where a run diverged.

    Attributes:
        what: is not finite, in words.
        step: the step, counted from 1.
        lr: the learning rate of this step.
        peak_lr: the learning rate that the run was given.
        activation: the largest activation before, in words; empty if it is not known.
        changed: this step had changed the weights already.
    """

    what: str
    step: int
    lr: float
    peak_lr: float
    activation: str = ""
    changed: bool = False

    def __str__(self) -> str:
        activation = f"; {self.activation}" if self.activation else ""
        return f"training diverged: {self.what} in step {self.step:,}, at a learning rate of {self.lr:g}{activation}"

    @property
    def remedy(self) -> str:
        """What to do, as a sentence."""
        if self.smaller_rate is None:
            return "No weight had changed yet: look for extreme numbers among the inputs and targets."
        return f"Start a new run with a smaller --lr, such as {self.smaller_rate:g}."

    @property
    def smaller_rate(self) -> float | None:
        """A peak learning rate to try; None where the rate was not the cause."""
        if self.step == 1 and not self.changed:
            return None
        return min(self.peak_lr * _SMALLER, _USUAL_RATE)


class DivergedError(ValueError):
    """Training has diverged.

    Attributes:
        divergence: where.
    """

    def __init__(self, divergence: Divergence, kept: str = "") -> None:
        super().__init__(" ".join(part for part in (f"{divergence}.", kept, divergence.remedy) if part))
        self.divergence = divergence

    def __reduce__(self) -> Any:
        return DivergedError, (self.divergence,)


def diverged(module: Any, what: str, step: int, batch: Any = None) -> DivergedError:
    """The error for a module under training.

    Args:
        module: a `Resumable`.
        what: is not finite, in words.
        step: the step, counted from 1.
        batch: of this step, to find the largest activation; None: the weights have changed since.
    """
    group = module.trainer.optimizers[0].param_groups[0]
    activation = "" if batch is None else largest_activation(module, batch)
    peak = group.get("initial_lr", group["lr"])
    return DivergedError(Divergence(what, step, group["lr"], peak, activation, changed=batch is None))


def all_finite(module: "nn.Module") -> bool:
    """Whether all weights of a module are finite; where ranks share them, all of them ask."""
    import torch

    from perceiver_pytorch.training.run.sharding import in_any_rank, own_part

    weights = [weight for weight in module.parameters() if weight.is_floating_point()]
    found = [own_part(weight.detach()).isfinite().all() for weight in weights]
    return not in_any_rank(bool(found) and not bool(torch.stack(found).all()), weights)


def gradients_finite(norm: "Tensor", parameters: "list[Tensor]") -> bool:
    """Whether gradients are finite; a ``norm`` of theirs that is, proves it, and one that overflows proves nothing."""
    from perceiver_pytorch.training.run.sharding import in_any_rank, own_part

    if math.isfinite(float(norm)):
        return True
    gradients = [own_part(p.grad) for p in parameters if p.grad is not None]
    return not in_any_rank(not all(bool(each.isfinite().all()) for each in gradients), parameters)


def largest_activation(module: Any, batch: Any) -> str:
    """The largest finite activation of a forward pass, and the part of the model that it comes from, in words.

    Args:
        module: a `Resumable`; ``module(batch)`` runs its ``model``.
        batch: what it reads.
    """
    import torch
    from torch import nn

    largest, place = 0.0, ""

    def looking(name: str) -> Callable[..., None]:
        def look(part: nn.Module, arguments: Any, output: Any) -> None:
            nonlocal largest, place
            for tensor in _tensors(output):
                size = float(tensor.abs().nan_to_num(0.0, 0.0).max()) if tensor.numel() else 0.0
                if size > largest:
                    largest, place = size, name

        return look

    with torch.no_grad(), ExitStack() as hooks:
        for name, part in module.model.named_modules():
            # Weights of single layers may be read without a call; a hook would have them called.
            if name and any(part.children()) and not isinstance(part, nn.Linear | nn.LayerNorm):
                hooks.callback(part.register_forward_hook(looking(name)).remove)
        with suppress(NotImplementedError):
            module(batch)
    return f"the largest activation is {largest:.3g}, of {place}" if place else ""


def _tensors(output: Any) -> "Iterator[Tensor]":
    from torch import Tensor

    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
