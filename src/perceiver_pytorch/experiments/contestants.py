"""Models that the experiments of this package compare and no setting makes: ``function(spec, config)`` each."""

from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.models.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver
from perceiver_pytorch.models.style import Style
from perceiver_pytorch.training.table.build import TableModel, build_model
from perceiver_pytorch.training.table.settings import ModelConfig


def gelu(spec: InputSpec, config: ModelConfig) -> TableModel:
    """Feed-forward parts with GELU."""
    return build_model(spec, config, style=Style.of(config.style, activation="gelu"))


def geglu(spec: InputSpec, config: ModelConfig) -> TableModel:
    """Feed-forward parts with GEGLU, whose first layer is twice as wide."""
    return build_model(spec, config, style=Style.of(config.style, activation="geglu"))


def log_bands(spec: InputSpec, config: ModelConfig) -> TableModel:
    """Frequencies of positions spaced as release 1.4.0 spaces them."""
    return build_model(spec, config, style=Style.of(config.style, freq_scale="log"))


def linear_bands(spec: InputSpec, config: ModelConfig) -> TableModel:
    """Frequencies of positions spaced as in the paper."""
    return build_model(spec, config, style=Style.of(config.style, freq_scale="linear"))


class FirstLatent(MultiModalityWithTextPerceiver):
    """The first latent alone is read by the head."""

    def pool(self, x: Tensor) -> Tensor:
        """``(batch, num_latents, latent_dim)`` to ``(batch, latent_dim)``."""
        return x[:, 0]


class GroupOfLatents(MultiModalityWithTextPerceiver):
    """The mean of a quarter of the latents, at least of one, is read by the head; the others are free of it."""

    def pool(self, x: Tensor) -> Tensor:
        """``(batch, num_latents, latent_dim)`` to ``(batch, latent_dim)``."""
        return x[:, : max(1, x.shape[1] // 4)].mean(dim=1)


class AttentionPooling(MultiModalityWithTextPerceiver):
    """A learned query weighs the latents; it begins at 0, so that training begins with their mean."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        assert isinstance(self.latents, Tensor)
        self.query = nn.Parameter(torch.zeros(self.latents.shape[-1]))

    def pool(self, x: Tensor) -> Tensor:
        """``(batch, num_latents, latent_dim)`` to ``(batch, latent_dim)``."""
        weights = (x @ self.query * x.shape[-1] ** -0.5).softmax(dim=-1)
        return (weights[..., None] * x).sum(dim=1)


def first_latent(spec: InputSpec, config: ModelConfig) -> TableModel:
    """Pooling by the first latent."""
    return build_model(spec, config, kind=FirstLatent)


def attention_pooling(spec: InputSpec, config: ModelConfig) -> TableModel:
    """Pooling by attention."""
    return build_model(spec, config, kind=AttentionPooling)


def group_of_latents(spec: InputSpec, config: ModelConfig) -> TableModel:
    """Pooling by the mean of some latents."""
    return build_model(spec, config, kind=GroupOfLatents)
