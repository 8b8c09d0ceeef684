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
from perceiver_pytorch.interop import huggingface
from perceiver_pytorch.interop.decoders import ClassDecoder
from perceiver_pytorch.interop.model import PublishedPerceiver
from perceiver_pytorch.modalities import InputModality, InputModalityWithEmbedding
from perceiver_pytorch.multi_modality_with_text_perceiver import (
    MultiModalityWithTextPerceiver,
    MultiModalityWithTextPerceiverNoPooling,
)
from perceiver_pytorch.multi_task_perceiver import MultiTaskPerceiver
from perceiver_pytorch.training.build import TableModel, assemble, model_name, table_modality
from perceiver_pytorch.training.config import ModelConfig, StartConfig
from perceiver_pytorch.training.freezing import add_lora, freeze
from perceiver_pytorch.training.published import PublishedTableModel, RunModel, published_table_model
from perceiver_pytorch.training.run_folder import RunFolder
from perceiver_pytorch.training.transfer import Transfer, count_parameters, match_modalities, move_weights

NOT_SIZES = ("modalities", "num_classes", "style")


@dataclass(frozen=True)
class Source:
    """A trained model.

    Attributes:
        place: where it came from, for messages.
        model: its encoder, as the model that reads modalities; or a published model.
        spec: what it read, where that is known.
    """

    place: str
    model: MultiModalityWithTextPerceiver | PublishedPerceiver
    spec: InputSpec | None = None


def load_source(checkpoint: str) -> Source:
    """The model to start from: a run folder, a folder of ``save_pretrained``, or a checkpoint in transformers' format
    (also converted, or the name of a hub repository).

    Raises:
        ValueError: there is no such folder, or what it holds is no model that a table can be read by.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        if folder.is_absolute() or checkpoint.count("/") != 1 or folder.parent.is_dir():
            raise ValueError(f"--from {checkpoint}: there is no such folder")
        return Source(checkpoint, huggingface.load(checkpoint))
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
    if config.get("model_type") == "perceiver":
        return Source(checkpoint, huggingface.load(folder))
    kinds = {"sizes": PublishedPerceiver, "tasks": MultiTaskPerceiver, "num_classes": MultiModalityWithTextPerceiver}
    kind: Any = next((kind for key, kind in kinds.items() if key in config), MultiModalityWithTextPerceiverNoPooling)
    with contextlib.redirect_stdout(io.StringIO()):  # huggingface_hub prints that it reads a folder
        try:
            model = kind.from_pretrained(folder, local_files_only=True)
        except (TypeError, RuntimeError) as error:
            raise ValueError(f"--from {checkpoint}: this is no model that a table can start from ({error})") from error
    return Source(checkpoint, model if isinstance(model, PublishedPerceiver) else _encoder(model, checkpoint))


def start_from(source: Source, spec: InputSpec, config: ModelConfig, start: StartConfig) -> tuple[RunModel, list[str]]:
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
    started = _from_published if isinstance(source.model, PublishedPerceiver) else _from_own
    model, matches, transfer = started(source, spec, config)
    freeze(model, start.freeze)
    if start.lora:
        add_lora(model, start.lora, transfer.fresh)
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


def _from_own(source: Source, spec: InputSpec, config: ModelConfig) -> tuple[TableModel, dict[str, str], Transfer]:
    """A model of the source's sizes, with its weights; which modalities match; and what became of the weights."""
    model = _assembled(source, spec, config)
    old, new = _encoder(source.model, source.place), _encoder(model, source.place)
    matches = match_modalities(new, old)
    transfer = move_weights(new, old, matches, _embedding_rows(spec, source.spec, matches))
    prefix = "encoder." if isinstance(model, MultiTaskPerceiver) else ""
    return model, matches, Transfer(transfer.taken, {prefix + name for name in transfer.fresh})


def _from_published(
    source: Source, spec: InputSpec, config: ModelConfig
) -> tuple[PublishedTableModel, dict[str, str], Transfer]:
    """A published model over a table: the first columns of the kinds that it knows are read as they were there."""
    assert isinstance(source.model, PublishedPerceiver)
    model, old = published_table_model(source.model, spec, config, source.place), source.model.state_dict()
    old["queries"] = old.get("decoder.queries", torch.zeros(0, 0))
    transfer = Transfer()
    classified = isinstance(source.model.decoder, ClassDecoder)  # others answer something else
    with torch.no_grad():
        for name, weight in model.state_dict().items():
            there = old.get(name)
            head = name.startswith("heads.") or (name.startswith(("decoder.", "queries")) and not classified)
            if head or there is None or there.shape[1:] != weight.shape[1:]:
                transfer.fresh.add(name)
            else:
                weight.copy_(there.expand_as(weight))
                transfer.taken[name] = weight.numel() if name in dict(model.named_parameters()) else 0
    return model, {column["name"]: column["name"] for column in model.reads.values()}, transfer


def _assembled(source: Source, spec: InputSpec, config: ModelConfig) -> TableModel:
    """A fresh model of the source's sizes; modalities of the same name keep its Fourier bands, whatever their size."""
    old = _encoder(source.model, source.place)
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
