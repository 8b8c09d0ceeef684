"""The pooled latents of a model, taken while it answers: what its heads read, at no cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.models.base import PerceiverBase
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver


class Pooled:
    """What heads of a model were given, by thread: rows are computed in several."""

    def __init__(self) -> None:
        self._given: dict[int, list[Tensor]] = {}

    def see(self, head: nn.Module, arguments: tuple[Any, ...]) -> None:
        """A hook of a head."""
        self._given.setdefault(get_ident(), []).append(arguments[0].detach())

    def taken(self) -> Tensor:
        """``(rows, width)``: what this thread's heads were given since the last call, the mean over the heads."""
        return torch.stack(self._given.pop(get_ident())).mean(0).float()


@contextmanager
def pooled(model: nn.Module) -> Iterator[Pooled | None]:
    """Watches the heads of a run's model; gives None for one that does not show what they read."""
    heads = _heads(model)
    found = Pooled()
    hooks = [head.register_forward_pre_hook(found.see) for head in heads]
    try:
        yield found if heads else None
    finally:
        for hook in hooks:
            hook.remove()


def _heads(model: nn.Module) -> list[nn.Module]:
    """What of a model is given pooled latents; one that is not of this package says so by ``latent_heads``."""
    if isinstance(given := getattr(model, "latent_heads", None), nn.ModuleList):
        return [*given]
    trunk = model.trunk if isinstance(model, BlendedPerceiver) else model
    if isinstance(trunk, MultiTaskPerceiver):
        return [*trunk.heads]
    return [trunk.to_logits] if isinstance(trunk, PerceiverBase) and trunk.num_classes is not None else []
