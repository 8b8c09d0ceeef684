"""The peak learning rate where none is given: by the width of the model, and by which of its weights are trained."""

from collections.abc import Iterable

from torch import Tensor, nn

from perceiver_pytorch.training.start.freezing import is_in_encoder
from perceiver_pytorch.training.start.published import RunModel
from perceiver_pytorch.training.table.settings import StartConfig, TrainingConfig

LAMB = 4e-3
WIDTH, RATE = 64, 4e-3
"""AdamW's rate for fresh weights, up to this many channels of a latent; wider models take steps as much smaller."""
FINE_TUNING = 0.25
"""Share of it for weights that have been trained before, which larger steps would undo."""
HEAD = 1e-3
"""Least rate of a head on a frozen model, which is trained by itself."""


def peak_learning_rate(model: RunModel, training: TrainingConfig, start: StartConfig) -> tuple[float, str]:
    """The peak learning rate, and why in words: the given one, or one that suits the model.

    Args:
        model: with frozen weights, and adapters.
        training: with the given rate, or none.
        start: whether the model starts from a checkpoint.
    """
    if training.lr is not None:
        return training.lr, "as given"
    rate = LAMB if training.optimizer == "lamb" else RATE * min(1.0, WIDTH / _width(model))
    if not start.checkpoint:
        return rate, "for fresh weights"
    if start.lora:
        return rate, "for adapters"
    if not any(is_in_encoder(name) for name in _trained(model)):
        return max(rate, HEAD), "for a head on a frozen model"
    return rate * FINE_TUNING, "for fine-tuning"


def _trained(model: nn.Module) -> Iterable[str]:
    return (name for name, parameter in model.named_parameters() if parameter.requires_grad)


def _width(model: nn.Module) -> int:
    """Channels of a latent."""
    latents = getattr(model, "latents", None)
    if latents is None:
        latents = model.get_parameter("encoder.latents")
    assert isinstance(latents, Tensor)
    return latents.shape[-1]
