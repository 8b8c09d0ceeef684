"""A model in a few lines."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from perceiver_pytorch import _checks

if TYPE_CHECKING:
    from perceiver_pytorch.models.inputs import ModalityReader


def summarise(
    model: "ModalityReader",
    inputs: Mapping[str, Tensor | Sequence[int]] | None = None,
    *,
    heads: nn.Module | None = None,
    output: str | None = None,
) -> str:
    """Parameters, latents, layers, and each modality's channels and (with ``inputs``) tokens; see `summary`.

    Args:
        heads: modules after the model, whose parameters count.
        output: what comes out of them.
    """
    for name in inputs or ():
        _checks.choice("a modality of inputs", name, tuple(model.modalities))
    parameters = sum(p.numel() for part in (model, heads) if part is not None for p in part.parameters())
    arrays = [model.latents] if isinstance(model.latents, Tensor) else list(model.latents)
    latents = " -> ".join(f"{array.shape[0]} x {array.shape[1]}" for array in arrays)
    output = output or model._output_words()
    lines = [
        f"{parameters:,} parameters; latents {latents}; {model.depth} layers; output: {output}",
        f"{model.max_modality_dim} channels per token:",
    ]
    for name in sorted(model.modalities):
        modality = model.modalities[name]
        raw = model._channels(modality)
        code, position = model._code_dim, model._position_dim(modality)
        padding = model.max_modality_dim - raw - position - code
        parts = f"{raw} data + {padding} padding + {position} position + {code} code"
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
