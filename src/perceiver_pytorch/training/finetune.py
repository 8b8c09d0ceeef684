"""A model for a table that starts from a trained one: its sizes and weights, with a new head and the table's inputs."""

import contextlib
import dataclasses
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.data import CategoriesSpec, InputSpec, SpecOptions
from perceiver_pytorch.modalities import InputModality, InputModalityWithEmbedding
from perceiver_pytorch.multi_modality_with_text_perceiver import (
    MultiModalityWithTextPerceiver,
    MultiModalityWithTextPerceiverNoPooling,
)
from perceiver_pytorch.multi_task_perceiver import MultiTaskPerceiver
from perceiver_pytorch.training.build import TableModel, assemble, model_name, table_modality
from perceiver_pytorch.training.config import ModelConfig, StartConfig
from perceiver_pytorch.training.freezing import add_lora, freeze
from perceiver_pytorch.training.run_folder import RunFolder
from perceiver_pytorch.training.transfer import count_parameters, match_modalities, move_weights

NOT_SIZES = ("modalities", "num_classes", "style")


@dataclass(frozen=True)
class Source:
    """A trained model.

    Attributes:
        place: where it came from, for messages.
        model: its encoder, as the model that reads modalities.
        spec: what it read, where that is known.
    """

    place: str
    model: MultiModalityWithTextPerceiver
    spec: InputSpec | None = None


def load_source(checkpoint: str) -> Source:
    """The model to start from: a run folder, or a folder of ``save_pretrained``.

    Raises:
        ValueError: there is no such folder, or what it holds is no model that a table can be read by.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        raise ValueError(f"--from {checkpoint}: there is no such folder")
    if (folder / "input_spec.json").is_file():
        run = RunFolder.open(folder)
        return Source(checkpoint, _encoder(run.model(), checkpoint), run.spec())
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(
            f"--from {checkpoint}: a run folder, a folder of save_pretrained, or one in transformers' format was "
            "expected; it has no config.json"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from None
    kinds = {"tasks": MultiTaskPerceiver, "num_classes": MultiModalityWithTextPerceiver}
    kind: Any = next((kind for key, kind in kinds.items() if key in config), MultiModalityWithTextPerceiverNoPooling)
    with contextlib.redirect_stdout(io.StringIO()):  # huggingface_hub prints that it reads a folder
        try:
            model = kind.from_pretrained(folder, local_files_only=True)
        except (TypeError, RuntimeError) as error:
            raise ValueError(f"--from {checkpoint}: this is no model that a table can start from ({error})") from error
    return Source(checkpoint, _encoder(model, checkpoint))


def start_from(
    source: Source, spec: InputSpec, config: ModelConfig, start: StartConfig
) -> tuple[TableModel, list[str]]:
    """A model for a table with the sizes and weights of ``source``, and lines that say what was taken over.

    Args:
        source: of `load_source`.
        spec: what the table's rows look like.
        config: for modalities that the source does not have.
        start: what to freeze, and LoRA.

    Raises:
        ValueError: the source has too few latents for the targets, or nothing is left to train.
        ImportError: LoRA is asked for, and peft is missing.
    """
    old = source.model
    model = _assembled(source, spec, config)
    new = _encoder(model, source.place)
    matches = match_modalities(new, old)
    transfer = move_weights(new, old, matches, _embedding_rows(spec, source.spec, matches))
    prefix = "encoder." if isinstance(model, MultiTaskPerceiver) else ""
    fresh = {prefix + name for name in transfer.fresh}
    freeze(model, start.freeze)
    if start.lora:
        add_lora(model, start.lora, fresh)
    taken, total = sum(transfer.taken.values()), count_parameters(model)
    lines = [f"from {source.place}: {taken:,} of {total:,} weights are taken over, {total - taken:,} are fresh"]
    for modality in spec.modalities:
        name = model_name(modality.name)
        words = "fresh" if name not in matches else "taken over"
        other = matches.get(name, name)
        lines.append(f"  {modality.name}: {words}" + (f" from {other}" if other != name else ""))
    lines.append("  head: fresh")
    if start.freeze or start.lora:
        frozen = count_parameters(model, frozen=True)
        adapters = sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
        words = f", {adapters:,} of them LoRA adapters of rank {start.lora}" if start.lora else ""
        lines.append(f"  frozen: {frozen:,} weights; {total - frozen:,} are trained{words}")
    return model, lines


def adopt(options: SpecOptions, spec: InputSpec, kinds: Mapping[str, str]) -> SpecOptions:
    """The options with those by which a run's columns were cut into tokens, so that a token's channels mean the same.

    Columns of the same name and kind take them over, unless the options say something else than by default.

    Args:
        options: of the new table.
        spec: of the run.
        kinds: of the new table's columns.
    """
    default, found = SpecOptions(), dict(options.column_options)
    for modality in spec.modalities:
        if kinds.get(modality.name) != modality.kind:
            continue
        theirs = {
            name: value for name, value in _cut(modality).items() if getattr(options, name) == getattr(default, name)
        }
        if theirs:
            found[modality.name] = {**theirs, **found.get(modality.name, {})}
    return dataclasses.replace(options, column_options=found)


def _cut(modality: Any) -> dict[str, Any]:
    """The options that decide what a token's channels mean."""
    if modality.kind in ("image", "video"):
        return {f"{modality.kind}_patch": modality.patch}
    if modality.kind != "audio":
        return {}
    common = {"sample_rate": modality.sample_rate, "audio_channels": modality.sides}
    if not modality.mel_bands:
        return {**common, "audio_patch": modality.patch}
    steps = {"mel_step": modality.patch, "mel_window": modality.mel_window}
    seconds = {name: samples / modality.sample_rate for name, samples in steps.items()}
    return {**common, "audio_features": "logmel", "mel_bands": modality.mel_bands, **seconds}


def _assembled(source: Source, spec: InputSpec, config: ModelConfig) -> TableModel:
    """A fresh model of the source's sizes; modalities of the same name keep its Fourier bands, whatever their size."""
    old = source.model
    recorded: Any = old._hub_mixin_config
    sizes = {name: value for name, value in recorded.items() if name not in NOT_SIZES}
    sizes.setdefault("use_gelu", isinstance(old, MultiModalityWithTextPerceiverNoPooling))
    modalities = [_like_old(table_modality(modality, config), old) for modality in spec.modalities]
    return assemble(spec, {**sizes, "style": old.style, "modalities": modalities})


def _like_old(modality: InputModality, old: MultiModalityWithTextPerceiver) -> InputModality:
    """The modality with the old one's bands and width of embedding, where there is one of its name."""
    other = old.modalities.get(modality.name)
    if other is None or other.input_axis != modality.input_axis:
        return modality
    modality.num_freq_bands, modality.max_freq, modality.freq_base = (
        other.num_freq_bands,
        other.max_freq,
        other.freq_base,
    )
    if isinstance(modality, InputModalityWithEmbedding) and isinstance(other, InputModalityWithEmbedding):
        assert modality.embedding is not None
        assert other.embedding is not None
        width = other.embedding.embedding_dim
        modality.split_embedding = other.split_embedding
        modality.embedding = nn.Embedding(modality.embedding.num_embeddings, width)
    return modality


def _embedding_rows(spec: InputSpec, old: InputSpec | None, matches: dict[str, str]) -> dict[str, Tensor]:
    """For category modalities, the old row of each value: by column and value, since their numbers may differ."""
    if old is None:
        return {}
    before = {model_name(modality.name): modality for modality in old.modalities}
    rows = {}
    for modality in spec.modalities:
        name = model_name(modality.name)
        other = before.get(matches.get(name, ""))
        if isinstance(modality, CategoriesSpec) and isinstance(other, CategoriesSpec):
            places = {key: i for i, key in enumerate(_values(other))}
            rows[name] = torch.tensor([places.get(key, -1) for key in _values(modality)])
    return rows


def _values(spec: CategoriesSpec) -> list[tuple[str, str | None]]:
    """(column, value) of every id; None for a column's unknown values."""
    pairs = zip(spec.columns, spec.values, strict=True)
    return [(column, value) for column, values in pairs for value in (*values, None)]


def _encoder(model: nn.Module, place: str) -> MultiModalityWithTextPerceiver:
    encoder = model.encoder if isinstance(model, MultiTaskPerceiver) else model
    if not isinstance(encoder, MultiModalityWithTextPerceiver):
        raise ValueError(f"--from {place}: {type(model).__name__} cannot be fine-tuned on a table")
    return encoder
