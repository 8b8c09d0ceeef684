"""How large a table's model is where the configuration leaves it open: by what a row has to be read for."""

import dataclasses
import math
from typing import Any

import torch

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.data.kinds.base import ModalitySpec
from perceiver_pytorch.nn.stems import stem_from_config
from perceiver_pytorch.training.table.settings import ModelConfig

FEW_TOKENS = 256
"""A row of fewer is read at once: more latents or layers take time, and learn nothing more."""
SMALL: dict[str, int] = {"depth": 1, "num_latents": 8, "num_latent_blocks_per_layer": 2}
LARGE: dict[str, int] = {"depth": 2, "num_latents": 16, "num_latent_blocks_per_layer": 1}
PER_TARGET = 4
"""Latents of a target, at least: each of several has a group of its own."""


def chosen_sizes(config: ModelConfig, spec: InputSpec) -> tuple[ModelConfig, str | None]:
    """The configuration with a number wherever it had none, and a line that says which and why; None where it had all.

    Args:
        config: as asked for.
        spec: what a model of the table reads and predicts.
    """
    tokens = sum(num_tokens(modality) for modality in spec.modalities)
    sizes = SMALL if tokens < FEW_TOKENS else LARGE
    sizes = sizes | {"num_latents": max(sizes["num_latents"], PER_TARGET * len(spec.targets))}
    open_: dict[str, Any] = {name: size for name, size in sizes.items() if getattr(config, name) is None}
    if not open_:
        return config, None
    found = dataclasses.replace(config, **open_)
    words = f"{found.num_latents} latents, {found.depth} layer{'' if found.depth == 1 else 's'}"
    return found, f"size of the model: {words}, for at most {tokens:,} tokens a row"


def num_tokens(modality: ModalitySpec) -> int:
    """Tokens of a row at most, after the modality's stem."""
    return math.prod(token_axes(modality))


def token_axes(modality: ModalitySpec) -> tuple[int, ...]:
    """Lengths of the axes at most, after the modality's stem."""
    read = modality.model_input()
    if read.stem is None:
        return tuple(modality.axes)
    like: Any = {"dtype": torch.int64 if modality.dtype == "int64" else torch.float32, "device": "meta"}
    with torch.device("meta"):
        tokens, _, _ = stem_from_config(read.stem).eval()(torch.zeros(1, *modality.shape, **like), None, None)
    return tuple(tokens.shape[1:-1])
