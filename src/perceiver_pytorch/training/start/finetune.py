"""A model for a table that starts from a trained one: its sizes and weights, with a new head and the table's inputs."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from perceiver_pytorch.data import InputSpec, SpecOptions
from perceiver_pytorch.interop import any_checkpoint, huggingface
from perceiver_pytorch.interop.published_decoders import ClassDecoder
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.models.modalities import InputModality, InputModalityWithEmbedding
from perceiver_pytorch.models.multi_modality_perceiver import MultiModalityPerceiver
from perceiver_pytorch.models.multi_modality_with_text_perceiver import (
    MultiModalityWithTextPerceiver,
    MultiModalityWithTextPerceiverNoPooling,
)
from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver
from perceiver_pytorch.models.perceiver import Perceiver
from perceiver_pytorch.models.perceiver_io import PerceiverIO
from perceiver_pytorch.nn.stems import Stem, stem_config, stem_from_config
from perceiver_pytorch.training.start.freezing import add_lora, freeze
from perceiver_pytorch.training.start.published import PublishedTableModel, RunModel, published_table_model
from perceiver_pytorch.training.start.transfer import Transfer, count_parameters, match_modalities, move_weights
from perceiver_pytorch.training.table.build import TableModel, assemble, model_name, table_modality
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import ModelConfig, StartConfig

Encoder = Perceiver | MultiModalityPerceiver | MultiModalityWithTextPerceiver | PerceiverIO
"""Models of ours whose encoder can be a table's model's."""

NOT_SIZES = ("modalities", "num_classes", "style", "outputs")
OF_PERCEIVER = (
    "num_freq_bands",
    "max_freq",
    "freq_base",
    "input_channels",
    "input_axis",
    "fourier_encode_data",
    "self_per_cross_attn",
    "final_classifier_head",
)
"""Arguments that a `Perceiver` alone has."""


@dataclass(frozen=True)
class Source:
    """A trained model.

    Attributes:
        place: where it came from, for messages.
        model: what of it reads modalities; or a published model.
        spec: what it read, where that is known.
    """

    place: str
    model: Encoder | PublishedPerceiver
    spec: InputSpec | None = None


def load_source(checkpoint: str) -> Source:
    """The model to start from: a run folder, a folder of ``save_pretrained``, or a checkpoint in transformers' format
    (also converted, or the name of a hub repository).

    Raises:
        ValueError: there is no such folder, or what it holds is no model that a table can be read by.
    """
    folder = Path(checkpoint)
    if folder.is_file():
        raise ValueError(_about_file(folder))
    if not folder.is_dir():
        if folder.is_absolute() or checkpoint.count("/") != 1 or folder.parent.is_dir():
            raise ValueError(f"--from {checkpoint}: there is no such folder")
        return Source(checkpoint, huggingface.load(checkpoint))
    if (folder / "input_spec.json").is_file():
        run = TableRun.open(folder)
        return Source(checkpoint, _encoder(run.model(), checkpoint), run.spec())
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"--from {checkpoint}: a run folder, a folder of save_pretrained, or one in transformers' format was "
            "expected; it has no config.json"
        )
    try:
        model = any_checkpoint.load(folder)
    except (TypeError, ValueError, OSError) as error:
        raise ValueError(f"--from {checkpoint}: {error}") from error
    return Source(checkpoint, model if isinstance(model, PublishedPerceiver) else _encoder(model, checkpoint))


def _about_file(file: Path) -> str:
    """What to do instead of naming a file."""
    for folder in (file.parent, file.parent.parent):
        if (folder / "config.json").is_file():
            return f"--from {file}: must be a folder; give --from {folder}"
    return (
        f"--from {file}: weights alone do not tell what their model reads; say so once with perceiver convert {file} "
        "FOLDER -a max_freq=10 (docs/checkpoints.md), then give --from FOLDER"
    )


def start_from(source: Source, spec: InputSpec, config: ModelConfig, start: StartConfig) -> tuple[RunModel, list[str]]:
    """A model for a table with the sizes and weights of ``source``, and lines that say what was taken over.

    Args:
        source: of `load_source`.
        spec: what the table's rows look like.
        config: for modalities that the source does not have.
        start: what to freeze, and LoRA.

    Raises:
        ValueError: the source has too few latents for the targets, or weights that are not finite, or nothing is left
            to train.
        ImportError: LoRA is asked for, and peft is missing.
    """
    for name, weight in source.model.named_parameters():
        if not weight.isfinite().all():
            raise ValueError(f"--from {source.place}: {name} is not finite; the model's training had failed")
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
        column, *_ = modality.columns
        if column not in kinds or spec.kinds.get(column) != kinds[column]:
            continue
        theirs = {
            name: value
            for name, value in modality.token_options().items()
            if getattr(options, name) == getattr(default, name)
        }
        if theirs:
            found[column] = {**theirs, **found.get(column, {})}
    return dataclasses.replace(options, column_options=found)


def _from_own(source: Source, spec: InputSpec, config: ModelConfig) -> tuple[TableModel, dict[str, str], Transfer]:
    """A model of the source's sizes, with its weights; which modalities match; and what became of the weights."""
    old = source.model
    assert not isinstance(old, PublishedPerceiver)
    modalities = [table_modality(modality, config) for modality in spec.modalities]
    matches = match_modalities({modality.name: modality for modality in modalities}, old.modalities)
    for modality in modalities:
        if modality.name in matches:
            _read_as(modality, old.modalities[matches[modality.name]])
    model = _assembled(old, spec, modalities)
    new = _encoder(model, source.place)
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


def _assembled(old: Encoder, spec: InputSpec, modalities: list[InputModality]) -> TableModel:
    """A fresh model of the old one's sizes; of the same kind, but that it looks up embeddings."""
    sizes = {name: value for name, value in old.recorded_config.items() if name not in NOT_SIZES}
    tasks = {target.name: target.size for target in spec.targets}
    if isinstance(old, PerceiverIO):
        return MultiTaskPerceiver(encoder=PerceiverIO(**sizes, modalities=modalities), tasks=tasks)
    style = old.style
    if isinstance(old, Perceiver):
        # It never had the second residual. What it ties is tied differently there; untied weights compute the same.
        style = dataclasses.replace(style, double_residual=False)
        sizes |= {"num_latent_blocks_per_layer": sizes["self_per_cross_attn"], "weight_tie_layers": False}
        sizes = {name: value for name, value in sizes.items() if name not in OF_PERCEIVER}
    sizes.setdefault("use_gelu", isinstance(old, MultiModalityWithTextPerceiverNoPooling))
    return assemble(spec, {**sizes, "style": style, "modalities": modalities})


def _read_as(modality: InputModality, other: InputModality) -> None:
    """Gives a modality the bands, stem and width of embedding of the one whose weights it gets."""
    modality.num_freq_bands, modality.max_freq, modality.freq_base = (
        other.num_freq_bands,
        other.max_freq,
        other.freq_base,
    )
    if (other.scale, other.offset) != (1.0, 0.0):  # else it was given numbers of a range that is not known
        modality.scale, modality.offset = other.scale, other.offset
    if modality.input_channels == other.input_channels and _portable(modality.stem) and _portable(other.stem):
        modality.stem = None if other.stem is None else stem_from_config(stem_config(other.stem))
    if isinstance(modality, InputModalityWithEmbedding) and isinstance(other, InputModalityWithEmbedding):
        assert modality.embedding is not None
        assert other.embedding is not None
        width = other.embedding.embedding_dim
        modality.split_embedding = other.split_embedding
        modality.embedding = nn.Embedding(modality.embedding.num_embeddings, width)


def _portable(stem: nn.Module | None) -> bool:
    """Whether a modality of another table can have such a stem, or none."""
    return stem is None or (isinstance(stem, Stem) and stem.portable)


def _embedding_rows(spec: InputSpec, old: InputSpec | None, matches: dict[str, str]) -> dict[str, Tensor]:
    """For modalities whose ids mean something else in every table, the old row of each id by its meaning."""
    if old is None:
        return {}
    before = {model_name(modality.name): modality for modality in old.modalities}
    rows = {}
    for modality in spec.modalities:
        name = model_name(modality.name)
        other = before.get(matches.get(name, ""))
        meanings, theirs = modality.id_meanings(), None if other is None else other.id_meanings()
        if meanings is not None and theirs is not None:
            places = {meaning: i for i, meaning in enumerate(theirs)}
            rows[name] = torch.tensor([places.get(meaning, -1) for meaning in meanings])
    return rows


def _encoder(model: nn.Module, place: str) -> Encoder:
    """What of a model reads modalities.

    Raises:
        ValueError: nothing does, or not as a table's model can.
    """
    model = model.trunk if isinstance(model, BlendedPerceiver) else model
    encoder = model.encoder if isinstance(model, MultiTaskPerceiver) else model
    if not isinstance(encoder, Encoder):
        raise ValueError(
            f"--from {place}: {type(model).__name__} cannot be fine-tuned on a table; Perceiver, PerceiverIO, "
            "MultiModalityPerceiver and MultiModalityWithTextPerceiver (also without pooling), MultiTaskPerceiver and "
            "the published models can"
        )
    return encoder
