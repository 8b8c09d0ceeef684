"""A model in a few lines."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.models.modalities import InputModality, TokenChannels


class Reader(Protocol):
    """What is told of a `ModalityReader`."""

    modalities: dict[str, InputModality]
    max_modality_dim: int
    depth: int

    @property
    def latents(self) -> nn.Parameter | nn.ParameterList: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def token_channels(self, name: str) -> TokenChannels: ...


def summarise(
    model: Reader,
    inputs: Mapping[str, Tensor | Sequence[int]] | None = None,
    *,
    output: str,
    heads: nn.Module | None = None,
) -> str:
    """Parameters, latents, layers, and each modality's channels and (with ``inputs``) tokens.

    Args:
        model: the model.
        inputs: per modality a batch, or the lengths of the axes.
        output: what comes out of the model, in words.
        heads: modules after the model, whose parameters count.
    """
    for name in inputs or ():
        _checks.choice("a modality of inputs", name, tuple(model.modalities))
    parameters = sum(p.numel() for part in (model, heads) if part is not None for p in part.parameters())
    arrays = [model.latents] if isinstance(model.latents, Tensor) else list(model.latents)
    latents = " -> ".join(f"{array.shape[0]} x {array.shape[1]}" for array in arrays)
    lines = [
        f"{parameters:,} parameters; latents {latents}; {model.depth} layers; output: {output}",
        f"{model.max_modality_dim} channels per token:",
    ]
    for name in sorted(model.modalities):
        modality = model.modalities[name]
        channels = model.token_channels(name)
        padding = model.max_modality_dim - channels.used
        parts = f"{channels.data} data + {padding} padding + {channels.position} position + {channels.code} code"
        axes = "1 axis" if modality.input_axis == 1 else f"{modality.input_axis} axes"
        lines.append(f"  {name}: {axes}; {parts}{_tokens(inputs, name, modality.input_axis)}")
    return "\n".join(lines)


def _tokens(inputs: Mapping[str, Tensor | Sequence[int]] | None, name: str, num_axes: int) -> str:
    if inputs is None or name not in inputs:
        return ""
    value = inputs[name]
    axes = tuple(value.shape[1 : 1 + num_axes]) if isinstance(value, Tensor) else tuple(value)
    if len(axes) != num_axes:
        raise ValueError(f"modality {name!r} has {num_axes} axes, got {axes}")
    return f"; {math.prod(axes):,} tokens ({' x '.join(map(str, axes))})"
