"""From what was learned about a table to a model for it, and from its batches to the model's inputs."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from perceiver_pytorch.data import Batch, InputSpec, ModalitySpec, Target
from perceiver_pytorch.data.kinds.long_cells import RowPieces
from perceiver_pytorch.data.stacking import Long
from perceiver_pytorch.models.base import PerceiverBase
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.models.inputs import Tokens
from perceiver_pytorch.models.modalities import InputModality, InputModalityWithEmbedding
from perceiver_pytorch.models.multi_modality_with_text_perceiver import (
    MultiModalityWithTextPerceiver,
    MultiModalityWithTextPerceiverNoPooling,
)
from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver
from perceiver_pytorch.models.split_rules import width_for
from perceiver_pytorch.models.streamed_input import MixedInput, StreamedInput
from perceiver_pytorch.nn.heads import HEADS, head_config
from perceiver_pytorch.nn.sizes import Sizes
from perceiver_pytorch.nn.stems import stem_from_config
from perceiver_pytorch.training.run.memory import checked_size
from perceiver_pytorch.training.table.settings import ModelConfig
from perceiver_pytorch.training.table.sizes import chosen_sizes

T = TypeVar("T")
M = TypeVar("M")

TableModel = MultiModalityWithTextPerceiver | MultiTaskPerceiver
"""A model of one target, or of several, without heads of its modalities."""


def build_model(
    spec: InputSpec,
    config: ModelConfig,
    *,
    kind: type[MultiModalityWithTextPerceiver] = MultiModalityWithTextPerceiver,
    **changes: Any,
) -> TableModel:
    """A model with one modality per modality of ``spec`` and one output per class or label, with fresh weights.

    Args:
        spec: what it reads and predicts.
        config: its sizes.
        kind: of a model of one target.
        changes: arguments of the model in place of those that the configuration gives, such as ``style``.

    Raises:
        ValueError: if it does not fit into memory.
    """
    config, _ = chosen_sizes(config, spec)
    checked_size(lambda: _built(spec, config, kind, changes))
    return _built(spec, config, kind, changes)


def _built(
    spec: InputSpec, config: ModelConfig, kind: type[MultiModalityWithTextPerceiver], changes: Mapping[str, Any]
) -> TableModel:
    arguments: dict[str, Any] = {
        "modalities": [table_modality(modality, config) for modality in spec.modalities],
        **{field.name: getattr(config, field.name) for field in dataclasses.fields(Sizes)},
        "style": config.style,
        "modality_code_dim": config.modality_code_dim,
        "use_gelu": False,  # whatever the number of targets
    }
    return assemble(spec, {**arguments, **changes}, kind)


def assemble(
    spec: InputSpec,
    arguments: Mapping[str, Any],
    kind: type[MultiModalityWithTextPerceiver] = MultiModalityWithTextPerceiver,
) -> TableModel:
    """A model with one output per class or label of its target, or a head per target.

    Args:
        spec: what it predicts.
        arguments: of a `MultiModalityWithTextPerceiver`, without ``num_classes``.
        kind: of a model of one target.
    """
    if len(spec.targets) == 1:
        return kind(num_classes=spec.targets[0].size, **arguments)
    encoder = MultiModalityWithTextPerceiverNoPooling(**arguments)
    return MultiTaskPerceiver(encoder=encoder, tasks={target.name: target.size for target in spec.targets})


def with_heads(trunk: M, spec: InputSpec, *, joint: bool = True) -> "M | BlendedPerceiver":
    """The model with a head of its own for every modality that suits one; the model as it is where none does.

    Columns of a fixed number are read by one head together. A modality that is read raw has none: the mean of its bytes
    or pixels says little. Models that do not tell tokens from latents have none.

    Args:
        trunk: of `build_model`.
        spec: what it reads and predicts.
        joint: where one of several heads reads columns, a further one reads what all of them read. Beside pictures and
            sounds alone it was of no use.
    """
    if not isinstance(trunk, TableModel) or not gives_tokens(trunk):
        return trunk
    modalities = (trunk.encoder if isinstance(trunk, MultiTaskPerceiver) else trunk).modalities
    groups: dict[tuple[str, str], list[ModalitySpec]] = {}
    for modality in spec.modalities:
        together = modality.head == "columns"
        if together or modalities[model_name(modality.name)].stem is not None:
            groups.setdefault((modality.head, "" if together else modality.name), []).append(modality)
    size = sum(target.size for target in spec.targets)
    heads = [_head(name, group, modalities, size) for (name, _), group in groups.items()]
    if joint and len(heads) > 1 and ("columns", "") in groups:
        heads.append(_head("columns", [each for group in groups.values() for each in group], modalities, size))
    return BlendedPerceiver(trunk=trunk, heads=heads) if heads else trunk


def gives_tokens(model: nn.Module) -> bool:
    """Whether a run's model can be asked for `tokens` and for its `answers_of` them."""
    return isinstance(model, BlendedPerceiver | PerceiverBase) or (
        isinstance(model, MultiTaskPerceiver) and isinstance(model.encoder, PerceiverBase)
    )


def _head(
    name: str, group: Sequence[ModalitySpec], modalities: Mapping[str, InputModality], size: int
) -> dict[str, Any]:
    """The configuration of a head over some modalities."""
    names = [model_name(modality.name) for modality in group]
    channels = [modalities[each].data_channels for each in names]
    lengths = [modality.num_tokens if modality.head == "columns" else None for modality in group]
    head = HEADS[name].suited(channels, lengths, size)
    return {"reads": [list(pair) for pair in zip(names, lengths, strict=True)], **head_config(head)}


def check_fits(spec: InputSpec, model: Any) -> None:
    """That a saved model reads the modalities of ``spec``, and answers its targets.

    Raises:
        ValueError: if it does not; the message says which.
    """
    model = model.trunk if isinstance(model, BlendedPerceiver) else model
    declared = model.modalities if hasattr(model, "modalities") else model.encoder.modalities
    published = {column["name"] for column in getattr(model, "reads", {}).values()}
    names = [model_name(modality.name) for modality in spec.modalities]
    if {*names} != {*declared, *published}:
        raise ValueError(f"modalities must be those of the model ({', '.join(declared)}), got {', '.join(names)}")
    for modality in spec.modalities:
        if (other := declared.get(model_name(modality.name))) is None:
            continue
        read, embedding = modality.model_input(), getattr(other, "embedding", None)
        size = getattr(other.stem, "num_ids", 0) if embedding is None else embedding.num_embeddings
        ids = read.vocab_size or (read.stem or {}).get("num_ids", 0)
        ours, theirs = (read.num_axes, read.channels, ids), (other.input_axis, other.input_channels, size)
        if ours != theirs:
            raise ValueError(
                f"axes, channels and ids of {modality.name!r} must be {theirs} as in the model, got {ours}"
            )
        if (places := read.coordinates_per_axis) != (expected := other.axis_coordinates):
            raise ValueError(
                f"coordinates per axis of {modality.name!r} must be {expected} as in the model, got {places}"
            )
    sizes = getattr(model, "tasks", None) or {spec.targets[0].name: model.num_classes}
    if (found := {target.name: target.size for target in spec.targets}) != sizes:
        raise ValueError(f"targets must be {sizes} as in the model, got {found}")


def run_model(model: nn.Module, batch: Batch, targets: Sequence[Target]) -> dict[str, Tensor]:
    """{target: ``(batch, size)``}, the outputs of a run's model on a batch."""
    outputs = model(*_inputs_and_masks(batch), coordinates=model_inputs(batch.coordinates))
    return by_target(outputs, targets)


def by_target(outputs: Tensor | dict[str, Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
    """A model's outputs by target, also where there is one and the model gives its outputs alone."""
    return outputs if isinstance(outputs, dict) else {targets[0].name: outputs}


def tokens_of(model: Any, batch: Batch) -> dict[str, Tokens]:
    """The tokens of a batch, in the order of its modalities, whatever the names that the model has for them."""
    tokens = model.tokens(*_inputs_and_masks(batch), coordinates=model_inputs(batch.coordinates))
    return {name: tokens[name] for name in map(model_name, batch.inputs)}


def _inputs_and_masks(batch: Batch) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a model reads of a batch: of rows that are too long for memory their pieces."""
    inputs: dict[str, Any] = dict(batch.inputs)
    for name, long in batch.pieces.items():
        if long:
            inputs[name] = in_pieces(inputs[name], long)
    return model_inputs(inputs), model_inputs(batch.masks)


def in_pieces(values: Tensor, long: Mapping[int, Long]) -> MixedInput:
    """A modality of which some rows are read in pieces.

    Args:
        values: those of the others, for device.
        long: by place in the batch.
    """

    def read(pieces: RowPieces) -> Iterator[Tensor]:
        for piece in pieces.read():
            yield torch.from_numpy(piece).to(values.device).unsqueeze(0)

    return MixedInput(
        values,
        {row: StreamedInput(partial(read, each.pieces), (1, *each.pieces.shape)) for row, each in long.items()},
        {
            row: tuple(None if axis is None else torch.from_numpy(axis) for axis in each.coordinates)
            for row, each in long.items()
        },
    )


def model_inputs(values: Mapping[str, T]) -> dict[str, T]:
    """What a batch has of its modalities, by the names that the model has for them."""
    return {model_name(name): value for name, value in values.items()}


def token_shapes(batch: Batch) -> dict[str, torch.Size]:
    """``(batch, *axes)`` of every modality of a batch: ids alone have no channels behind them."""
    return {name: x.shape if x.dim() == 2 else x.shape[:-1] for name, x in batch.inputs.items()}


def num_tokens(batch: Batch) -> int:
    """Tokens of a batch before the stems, masked ones too."""
    return sum(shape.numel() for shape in token_shapes(batch).values())


def model_name(column: str) -> str:
    """A modality's name in the model: a column's name, made fit to be part of a state-dict key."""
    return "in_" + re.sub(r"[^0-9A-Za-z_]", lambda match: f"_{ord(match.group()):x}_", column)


def table_modality(modality: ModalitySpec, config: ModelConfig) -> InputModality:
    """What a model has for a modality of a table.

    Positions resolve neighbouring tokens of the longest axis; more bands than that would repeat themselves.
    """
    name, read = model_name(modality.name), modality.model_input()
    bands = min(config.num_freq_bands, int(read.resolution) // 2)
    max_freq = max(2.0, read.resolution) if config.max_freq is None else config.max_freq
    split: dict[str, Any] = {"split_embedding": config.split_embedding, "split_rule": config.split_rule}
    if read.vocab_size:
        return InputModalityWithEmbedding(
            name,
            1,
            read.num_axes,
            bands,
            max_freq,
            embedding=nn.Embedding(read.vocab_size, _whole_width(config.embedding_dim, config)),
            stem=None if read.stem is None else stem_from_config(read.stem),
            **split,
        )
    stem = None if read.stem is None else stem_from_config(_for_all_layers(read.stem, config))
    if config.split_embedding and _is_words(read.stem) and config.split_words:
        return InputModalityWithEmbedding(name, read.channels, read.num_axes, bands, max_freq, stem=stem, **split)
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


def _is_words(stem: Mapping[str, Any] | None) -> bool:
    return stem is not None and stem["name"] == "words"


def _for_all_layers(stem: Mapping[str, Any], config: ModelConfig) -> Mapping[str, Any]:
    """A stem's configuration, with vectors of words as wide as all layers together see them."""
    if not _is_words(stem):
        return stem
    channels = stem["channels"] if config.word_dim is None else config.word_dim
    return {**stem, "channels": _whole_width(channels, config) if config.split_words else channels}


def _whole_width(channels: int, config: ModelConfig) -> int:
    """Width of an embedding of which a layer sees ``channels``."""
    if not config.split_embedding:
        return channels
    assert config.depth is not None  # `chosen_sizes` has decided it
    return width_for(config.split_rule, channels, config.depth)
