"""The running average of the weights: what is validated, chosen, and kept in the end.

Training goes on with its own weights; ``last.ckpt`` has both, so that a resumed run goes on with both.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from perceiver_pytorch.training.run.sharding import own_part, part_like

AVERAGED = "averaged"
"""The key of a checkpoint under which it stands, by the names of the model's weights."""


class AveragedWeights(pl.Callback):
    """Averages the trained weights of a module's model and its buffers, such as those of a BatchNorm, step by step.

    A step counts ``1 - decay``. The first ones count more, so that the average soon forgets the weights that training
    began with.

    Args:
        decay: what is left of the average by a step.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: dict[str, Tensor] = {}
        self._weights: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        weights = averaged_weights(pl_module.model)
        if self.average:  # of the checkpoint
            self.average = {name: part_like(self.average[name], weight) for name, weight in weights.items()}
        else:
            self.average = {name: _wide(weight).clone() for name, weight in weights.items()}
        self._weights = list(weights.values())  # to look for them takes longer than to average them

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        step = trainer.global_step
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, weights = map(own_part, self.average.values()), map(own_part, self._weights)
        torch._foreach_lerp_(list(averages), [_wide(weight) for weight in weights], 1 - decay)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.swap()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.swap()

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint[AVERAGED] = self.average

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.average = dict(checkpoint[AVERAGED])

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the module's weights and their average."""
        pairs = zip(self._weights, self.average.values(), strict=False)  # of no step there are none
        for weight, average in ((own_part(weight), own_part(average)) for weight, average in pairs):
            own = _wide(weight).clone()
            weight.copy_(average)
            average.copy_(own)


def averaged_weights(model: nn.Module) -> dict[str, Tensor]:
    """What of a model changes in training: weights that are trained, and saved buffers of numbers, by their names."""
    saved = model.state_dict(keep_vars=True)
    return {name: value for name, value in _weights_and_buffers(model) if name in saved and value.is_floating_point()}


def load_average(model: nn.Module, averaged: Mapping[str, Tensor]) -> None:
    """Gives a model the averaged weights of a checkpoint.

    Raises:
        KeyError, RuntimeError: if they are another model's.
    """
    if not averaged.keys() <= model.state_dict().keys():
        raise KeyError(f"{AVERAGED} has weights that the model lacks")
    model.load_state_dict(averaged, strict=False)


def _weights_and_buffers(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    yield from ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
    yield from model.named_buffers()


def _wide(weight: Tensor) -> Tensor:
    """In float32 at least: in fewer bits, a hundredth of a step would be lost."""
    return weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
