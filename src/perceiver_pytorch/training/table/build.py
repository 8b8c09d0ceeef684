"""From what was learned about a table to a model for it, and from its batches to the model's inputs."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.data import Batch, InputSpec, ModalitySpec, Target
from perceiver_pytorch.models.modalities import InputModality, InputModalityWithEmbedding
from perceiver_pytorch.models.multi_modality_with_text_perceiver import (
    MultiModalityWithTextPerceiver,
    MultiModalityWithTextPerceiverNoPooling,
)
from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver
from perceiver_pytorch.nn.sizes import Sizes
from perceiver_pytorch.nn.stems import stem_from_config
from perceiver_pytorch.training.run.memory import checked_size
from perceiver_pytorch.training.table.settings import ModelConfig
from perceiver_pytorch.training.table.sizes import chosen_sizes

TableModel = MultiModalityWithTextPerceiver | MultiTaskPerceiver
"""A model of one target, or of several."""


def build_model(spec: InputSpec, config: ModelConfig) -> TableModel:
    """A model with one modality per modality of ``spec`` and one output per class or label, with fresh weights.

    Raises:
        ValueError: if it does not fit into memory.
    """
    config, _ = chosen_sizes(config, spec)
    checked_size(lambda: _built(spec, config))
    return _built(spec, config)


def _built(spec: InputSpec, config: ModelConfig) -> TableModel:
    arguments: dict[str, Any] = {
        "modalities": [table_modality(modality, config) for modality in spec.modalities],
        **{field.name: getattr(config, field.name) for field in dataclasses.fields(Sizes)},
        "style": config.style,
        "modality_code_dim": config.modality_code_dim,
        "use_gelu": False,  # whatever the number of targets
    }
    return assemble(spec, arguments)


def assemble(spec: InputSpec, arguments: Mapping[str, Any]) -> TableModel:
    """A model with one output per class or label of its target, or a head per target.

    Args:
        spec: what it predicts.
        arguments: of a `MultiModalityWithTextPerceiver`, without ``num_classes``.
    """
    if len(spec.targets) == 1:
        return MultiModalityWithTextPerceiver(num_classes=spec.targets[0].size, **arguments)
    encoder = MultiModalityWithTextPerceiverNoPooling(**arguments)
    return MultiTaskPerceiver(encoder=encoder, tasks={target.name: target.size for target in spec.targets})


def check_fits(spec: InputSpec, model: Any) -> None:
    """That a saved model reads the modalities of ``spec``, and answers its targets.

    Raises:
        ValueError: if it does not; the message says which.
    """
    declared = model.modalities if hasattr(model, "modalities") else model.encoder.modalities
    published = {column["name"] for column in getattr(model, "reads", {}).values()}
    names = [model_name(modality.name) for modality in spec.modalities]
    if {*names} != {*declared, *published}:
        raise ValueError(f"modalities must be those of the model ({', '.join(declared)}), got {', '.join(names)}")
    for modality in spec.modalities:
        if (other := declared.get(model_name(modality.name))) is None:
            continue
        read, embedding = modality.model_input(), getattr(other, "embedding", None)
        size = 0 if embedding is None else embedding.num_embeddings
        ours, theirs = (read.num_axes, read.channels, read.vocab_size), (other.input_axis, other.input_channels, size)
        if ours != theirs:
            raise ValueError(
                f"axes, channels and ids of {modality.name!r} must be {theirs} as in the model, got {ours}"
            )
    sizes = getattr(model, "tasks", None) or {spec.targets[0].name: model.num_classes}
    if (found := {target.name: target.size for target in spec.targets}) != sizes:
        raise ValueError(f"targets must be {sizes} as in the model, got {found}")


def run_model(model: nn.Module, batch: Batch, targets: Sequence[Target]) -> dict[str, Tensor]:
    """{target: ``(batch, size)``}, the outputs of `build_model`'s model on a batch."""
    outputs = model(
        model_inputs(batch.inputs),
        model_inputs(batch.masks),
        coordinates={model_name(name): axes for name, axes in batch.coordinates.items()},
    )
    return outputs if isinstance(outputs, dict) else {targets[0].name: outputs}


def model_inputs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A batch's tensors (or masks) by the names that the model has for their modalities."""
    return {model_name(name): tensor for name, tensor in tensors.items()}


def token_shapes(batch: Batch) -> dict[str, torch.Size]:
    """``(batch, *axes)`` of every modality of a batch: all of a tensor of ids, all but the channels of another."""
    return {name: x.shape if x.dtype == torch.int64 else x.shape[:-1] for name, x in batch.inputs.items()}


def model_name(column: str) -> str:
    """A modality's name in the model: a column's name, made fit to be part of a state-dict key."""
    return "in_" + re.sub(r"[^0-9A-Za-z_]", lambda match: f"_{ord(match.group()):x}_", column)


def table_modality(modality: ModalitySpec, config: ModelConfig) -> InputModality:
    """What a model has for a modality of a table.

    Positions resolve neighbouring tokens of the longest axis; more bands than that would repeat themselves.
    """
    name, read = model_name(modality.name), modality.model_input()
    bands, max_freq = min(config.num_freq_bands, int(read.resolution) // 2), max(2.0, read.resolution)
    stem = None if read.stem is None else stem_from_config(read.stem)
    if read.vocab_size:
        width = config.embedding_dim * (_depth(config) if config.split_embedding else 1)
        embedding = nn.Embedding(read.vocab_size, width)
        return InputModalityWithEmbedding(
            name,
            1,
            read.num_axes,
            bands,
            max_freq,
            embedding=embedding,
            split_embedding=config.split_embedding,
            stem=stem,
        )
    return InputModality(
        name,
        read.channels,
        read.num_axes,
        bands,
        max_freq,
        scale=read.scale,
        offset=read.offset,
        coordinates_per_axis=list(read.coordinates_per_axis),
        stem=stem,
    )


def _depth(config: ModelConfig) -> int:
    assert config.depth is not None  # `chosen_sizes` has decided it
    return config.depth
