"""A bundle as a module of PyTorch, for what measures and explains modules: forwards alone, and no gradients."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.data.stacking import Stacked
from perceiver_pytorch.training.table.build import model_name


class BundleModule(nn.Module):
    """Computes a bundle's graph where a run's model is expected.

    Args:
        compute: `Bundle.raw`.
        spec: what it reads and predicts.
        calibration: what ``calibration.json`` says, as of a saved model.
        has_latents: whether the graph gives latents.

    Attributes:
        latent_heads: called with the latents that the graph gives, if it gives any.
    """

    def __init__(
        self,
        compute: Callable[[Stacked], tuple[dict[str, np.ndarray], np.ndarray | None]],
        spec: InputSpec,
        calibration: Mapping[str, Any] | None,
        *,
        has_latents: bool,
    ) -> None:
        super().__init__()
        self.compute, self.calibration = compute, calibration
        self.place = nn.Parameter(torch.zeros(1), requires_grad=False)  # says on which device it is
        self.latent_heads = nn.ModuleList([nn.Identity()] if has_latents else [])
        self._names = {model_name(modality.name): modality.name for modality in spec.modalities}

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
        *,
        coordinates: Mapping[str, tuple[Tensor | None, ...]] | None = None,
    ) -> dict[str, Tensor]:
        """{target: float32 ``(batch, size)``}, the model's outputs on a batch that has every modality."""
        data = {self._names[name]: _array(values) for name, values in inputs.items()}
        masked = {self._names[name]: _array(values) for name, values in (masks or {}).items()}
        places = {
            self._names[name]: tuple(None if axis is None else _array(axis) for axis in axes)
            for name, axes in (coordinates or {}).items()
        }
        rows = torch.arange(len(next(iter(data.values())))).numpy()
        outputs, latents = self.compute(Stacked(data, masked, {}, rows, places))
        for head in self.latent_heads:
            head(torch.from_numpy(latents))
        return {name: torch.from_numpy(values) for name, values in outputs.items()}


def _array(values: Tensor) -> Any:
    return values.detach().cpu().numpy()
