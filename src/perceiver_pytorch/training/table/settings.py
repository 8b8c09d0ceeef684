"""Everything a run depends on: data, model and training, as one tree of knobs, with presets."""

from dataclasses import dataclass, fields
from typing import Any

from perceiver_pytorch import _checks
from perceiver_pytorch._settings import Search, Settings, combined, inherited, knob, read_settings
from perceiver_pytorch.data import SpecOptions
from perceiver_pytorch.data.choice import PLAIN, SCORES, SUITED, Choice
from perceiver_pytorch.data.kinds import kind_names, kinds
from perceiver_pytorch.data.parts import PARTS
from perceiver_pytorch.data.predicate import Predicate
from perceiver_pytorch.models.split_rules import RULES
from perceiver_pytorch.nn.sizes import Sizes
from perceiver_pytorch.training.run.settings import TrainingSettings

BUILTIN: dict[str, dict[str, Any]] = {
    "digits": {"data": {"target": "answer"}, "training": {"modality_dropout": 0.1}},
    "easy-vqa": {"data": {"target": "answer"}, "training": {"modality_dropout": 0.1}},
    "shapes": {
        "data": {"target": "answer", "columns": {"question_kind": "ignore"}},
        "training": {"modality_dropout": 0.1},
    },
}
"""What a built-in table needs besides a preset: its target, and what the model is not to read. Their answers need all
modalities of a row, so that hiding many teaches little."""

NO_ROW_IS_SKIPPED = "data.on_error=raise"  # else some settings say which rows are found to be bad, and when


def _check_most_rows(name: str, value: dict[str, int]) -> None:
    for split, count in value.items():
        _checks.choice(f"a split of {name}", split, PARTS)
        _checks.positive_int(f"{name}[{split!r}]", count)


def _check_where(name: str, value: str | None) -> None:
    if value is not None:
        Predicate.of(value)


@dataclass(frozen=True, kw_only=True)
class TableSettings(Settings):
    """Which table to learn from, and how it is read."""

    table: str = knob(
        "",
        f"CSV, TSV, JSON(L) or Parquet file, folder, shards, hf:NAME, or a built-in set ({', '.join(BUILTIN)})",
        option="table",
        resumable=True,
    )
    target: str | list[str] = knob("", "column to predict; several give one model for all of them", option="--target")
    target_kinds: dict[str, str] = knob(
        {},
        "kind of a target, if the recognised one is wrong: class, labels or number",
        option="--target-kind",
        metavar="NAME=KIND",
    )
    label_separator: str | None = knob(
        None, "text between the labels of a cell; null: recognised", option="--label-separator"
    )
    columns: dict[str, str] = knob(
        {},
        f"kind of a column, if the recognised one is wrong: {', '.join(kind_names())}",
        option="--column",
        metavar="NAME=KIND",
    )
    split: str | None = knob(
        None, "column that says train, val or test; null: 'split', if there is one", option="--split"
    )
    val_fraction: float = knob(
        0.1, "share of the train rows to validate on, if no row is marked val", option="--val-fraction"
    )
    val_draw: str = knob(
        "covering",
        "which val rows are drawn: with a row of every class that has two (covering), or in proportion alone",
        choices=("covering", "proportional"),
        before="proportional",
    )
    most_rows: dict[str, int] = knob(
        {},
        "rows of train, val and test to use at most, drawn by the seed; train rows with one of each class",
        check=_check_most_rows,
        option="--most-rows",
        metavar="SPLIT=NUMBER",
    )
    on_error: str = knob(
        "raise",
        "for a bad row: raise stops, skip counts and lists it",
        choices=("raise", "skip"),
        option="--on-error",
    )
    encoding: str | None = knob(None, "encoding of a CSV, TSV or JSONL file; null: UTF-8", option="--encoding")
    delimiter: str | None = knob(
        None, "text between the cells of a CSV or TSV file; null: recognised from the header", option="--delimiter"
    )
    skip_lines: int = knob(
        0, "lines of a CSV or TSV file to leave out before its header", least=0, option="--skip-lines"
    )
    header: bool = knob(
        True,
        "the first line of a CSV or TSV file names its columns; else they are called x0, x1 and so on",
        option="--header/--no-header",
    )
    quoting: str | None = knob(
        None,
        "quotes in cells of a CSV or TSV file: doubled, after a backslash, or none: they are text; null: recognised",
        choices=("doubled", "backslash", "none"),
        before="doubled",
        option="--quoting",
    )
    stream: bool | None = knob(
        None,
        "leave the rows of Parquet files on disk; null: if they exceed a gigabyte",
        option="--stream/--no-stream",
    )
    table_mb: int | None = knob(
        None,
        "memory that the table's rows may take, in MB; null: a quarter of what is free",
        least=1,
        option="--table-mb",
        resumable=True,
    )
    allow_outside: bool = knob(
        False,
        "let file paths in cells leave the table's folder",
        option="--allow-outside",
        resumable=NO_ROW_IS_SKIPPED,
    )
    allow_web: list[str] = knob(
        [],
        "host of the web whose files may be read, of the table or of cells; * allows every public one",
        option="--allow-web",
        metavar="HOST",
        resumable=NO_ROW_IS_SKIPPED,
    )
    where: str | None = knob(
        None,
        "rows to use: comparisons of columns with values, as \"age >= 18 and country in ('DE', 'FR')\"; null: all",
        option="--where",
        metavar="CONDITION",
        check=_check_where,
    )
    cache_mb: int = knob(2048, "decoded samples to keep in memory, in MB", least=0, resumable=NO_ROW_IS_SKIPPED)
    cell_mb: int = knob(
        512,
        "memory that decoding one cell may take, in MB; a cell that needs more is a bad row",
        least=1,
        option="--cell-mb",
        resumable=NO_ROW_IS_SKIPPED,
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig(SpecOptions, TableSettings):
    """The table, and how its cells become arrays."""

    panel = "Data"


def _open(name: str, before: int, *tried: int) -> Any:
    """A size that the table decides where it is not given, and what a search tries."""
    known = next(field for field in fields(Sizes) if field.name == name).metadata["knob"]
    help = f"{known.help}; null: chosen by the table"
    return inherited(Sizes, name, default=None, help=help, before=before, search=Search(values=tried))


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Sizes):
    """Sizes of the model, a `MultiModalityWithTextPerceiver`."""

    panel = "Model"

    depth: int | None = _open("depth", 2, 1, 2, 3, 4)  # type: ignore[assignment]
    num_latents: int | None = _open("num_latents", 16, 8, 16, 32, 64)  # type: ignore[assignment]
    latent_dim: int = inherited(Sizes, "latent_dim", default=64, search=Search(values=(32, 64, 128)))
    cross_heads: int = inherited(Sizes, "cross_heads", default=4)
    cross_dim_head: int = inherited(Sizes, "cross_dim_head", default=16)
    latent_heads: int = inherited(Sizes, "latent_heads", default=4)
    latent_dim_head: int = inherited(Sizes, "latent_dim_head", default=16)
    num_latent_blocks_per_layer: int | None = _open("num_latent_blocks_per_layer", 2, 1, 2, 3)  # type: ignore[assignment]
    widening_factor: int | None = inherited(Sizes, "widening_factor", default=4)
    ff_dropout: float = inherited(Sizes, "ff_dropout", search=Search(high=0.3))
    num_freq_bands: int = knob(8, "Fourier bands per axis; a short axis has fewer")
    max_freq: float | None = knob(
        None,
        "twice the highest frequency of positions; null: as many as the longest axis has places",
        above=0,
        before=None,
    )
    embedding_dim: int = knob(32, "width of the embedding of text bytes and categories, as a layer sees it", least=1)
    word_dim: int | None = knob(
        None, "width of the vector of a word, as a layer sees it; null: data.word_channels", least=1, before=None
    )
    split_embedding: bool = knob(False, "give each layer a chunk of the embedding instead of all of it")
    split_rule: str = knob(
        "chunks",
        "which channels a layer sees of an embedding that is split: its chunk; a chunk shared by all layers and its "
        "own; its chunk of a fixed random order of the channels",
        choices=RULES,
        before="chunks",
    )
    split_words: bool = knob(
        True, "with split_embedding, split the vectors of words too, each as wide as a layer sees it", before=False
    )
    modality_code_dim: int | None = knob(None, "width of learned modality codes; null: one-hot codes")
    style: str = knob("paper", "design of the model: docs/design.md compares them", choices=("paper", "release"))


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(TrainingSettings):
    """Optimisation."""

    steps: int | None = knob(
        None,
        "optimiser steps; null: those of 30 passes over the train rows, but 1,500 to 20,000, and up to four times as "
        "many where a time limit leaves time for them",
        least=1,
        option="--steps",
        after="",
    )
    epochs: int | None = knob(None, "passes over the train rows, instead of steps", least=1, option="--epochs")
    batch_size: int | None = inherited(  # type: ignore[assignment]
        TrainingSettings, "batch_size", default=None, help="rows per step; null: a sixteenth of the train rows, 8 to 64"
    )
    validate_every: int | None = knob(
        None,
        "steps between validations; 0: a pass over the train rows; null: 50, or more where there is much to validate",
        least=0,
        before=0,
        after="batch_size",
    )
    validate_rows: int | None = knob(
        None,
        "validation rows that a validation within training reads, drawn once; 0: all; null: no more than training has "
        "read since the one before, but 256",
        least=0,
        before=0,
        after="validate_every",
    )
    by_length: bool = knob(
        False,
        "train rows of like length share a step, so that little of it is filled up",
        before=False,
        after="validate_rows",
    )
    optimizer: str = inherited(TrainingSettings, "optimizer", option="--optimizer")
    lr: float | None = inherited(
        TrainingSettings,
        "lr",
        help="peak learning rate; null: chosen by the model's width and by which of its weights are trained",
    )
    word_decay: float | None = knob(
        10.0,
        "decoupled weight decay of the vectors of words, which keeps rare words from being learned by heart; null: as "
        "other weights",
        least=0,
        before=None,
        after="weight_decay",
    )
    token_dropout: float = knob(
        0.0, "share of the tokens of every modality to hide from a step", least=0, most=1, after="gradient_clip"
    )
    modality_dropout: float | None = knob(
        None,
        "share of the rows from which a step removes a modality, so that it may be missing later; null: 0.3 where "
        "there are two or more",
        least=0,
        most=1,
        option="--modality-dropout",
        before=0.0,
    )
    head_weight: float = knob(
        0.5,
        "weight in the loss of heads that answer from one modality each and take part in the answer; 0: no heads",
        least=0,
        before=0.0,
    )
    joint_weight: float = knob(
        1.0,
        "weight in the loss of a head that reads numbers, categories and dates, and the mean and maximum of the tokens "
        "of all else; 0: no such head",
        least=0,
        before=0.0,
    )
    label_smoothing: float = knob(
        0.05, "label smoothing of the cross-entropy of classes", least=0, most=1, search=Search(high=0.2)
    )
    class_weights: str = knob(
        "none",
        "whether rare classes and labels count as much as common ones (balanced)",
        choices=("none", "balanced"),
        option="--class-weights",
    )
    choose_by: str = knob(
        SUITED,
        "score that chooses the best epoch, of equal ones the smaller loss; suited: accuracy, for skewed classes AUROC "
        "(two) or balanced accuracy, mAP, R²; plain: never that of skewed classes, of equal ones the first epoch",
        choices=(SUITED, PLAIN, *SCORES),
        option="--choose-by",
        before=PLAIN,
    )
    choose_from: int = knob(
        20,
        "validation rows that it takes to choose the best weights by; with fewer the last ones are kept",
        least=0,
        before=0,
    )
    task_weights: dict[str, float] = knob(
        {}, "weight of a target in the loss, if it is not 1", option="--task-weight", metavar="NAME=WEIGHT"
    )
    checkpoint_every: str = inherited(
        TrainingSettings,
        "checkpoint_every",
        help="how often to save between validations, besides after each: a duration such as 5m, '200 steps', or never",
        option="--checkpoint-every",
    )
    precision: str = inherited(TrainingSettings, "precision", after="patience")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and self.epochs is not None:
            raise ValueError("steps and epochs both say how long training is; give one of them")

    @property
    def choice(self) -> Choice:
        """Which score chooses the best epoch."""
        return Choice(self.choose_by, self.class_weights == "balanced")

    num_workers: int | None = knob(
        None,
        "number of processes that decode, 0: only the main one; null: one per core if there is much to decode",
        least=0,
        option="--workers",
        resumable=True,
        after="seed",
    )


@dataclass(frozen=True, kw_only=True)
class AugmentSettings(Settings):
    """Whether train rows change at random."""

    enabled: bool = knob(
        True,
        "change the images and sounds of train rows at random",
        option="--augment/--no-augment",
        keyword="augment",
    )
    most_rows: int | None = knob(
        20_000,
        "train rows from which on nothing changes at random, for they are many already; null: rows always change",
        least=1,
        keyword="augment_most_rows",
        before=None,
    )


KindAugmentation: Any = combined("KindAugmentation", *(kind.augmentation for kind in kinds().values()))
"""The knobs of random changes of every kind, each declared in the file of its kind."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(KindAugmentation, AugmentSettings):
    """Random changes of the train rows, new ones in every step; validation and test rows stay as they are."""

    panel = "Training"

    mixup: float = knob(0.0, "mix pairs of rows by a share drawn from Beta(mixup, mixup); 0: no mixing", least=0)


@dataclass(frozen=True, kw_only=True)
class StartConfig(Settings):
    """Fine-tuning: whose weights training starts from, and which of them it may change."""

    panel = "Training"

    checkpoint: str = knob(
        "",
        "fine-tune this: a run folder, a saved model, or a checkpoint in transformers' format",
        option="--from",
        metavar="CHECKPOINT",
        keyword="start_from",
    )
    freeze: list[str] = knob(
        [],
        "what fine-tuning leaves as it is: encoder, embeddings, latents, or names of weights such as layers.0.*",
        option="--freeze",
    )
    lora: int = knob(
        0,
        "fine-tune LoRA adapters of this rank instead of the encoder's weights; 0: no adapters",
        least=0,
        option="--lora",
        metavar="RANK",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.freeze or self.lora) and not self.checkpoint:
            raise ValueError("freeze and lora need a checkpoint to start from (--from)")


@dataclass(frozen=True, kw_only=True)
class FitConfig(Settings):
    """A whole run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    augment: AugmentConfig = AugmentConfig()
    start: StartConfig = StartConfig()


PRESETS: dict[str, dict[str, Any]] = {
    "auto": {},
    "tiny": {"model": {"depth": 2, "num_latents": 16, "num_latent_blocks_per_layer": 2}},
    "small": {
        "model": {
            "depth": 3,
            "num_latents": 64,
            "latent_dim": 128,
            "latent_heads": 8,
            "num_latent_blocks_per_layer": 3,
            "num_freq_bands": 16,
            "embedding_dim": 64,
        },
    },
    "base": {
        "data": {"max_image_size": 224, "max_image_tokens": 4096, "max_text_bytes": 2048},
        "model": {
            "depth": 4,
            "num_latents": 256,
            "latent_dim": 512,
            "cross_heads": 1,
            "cross_dim_head": 64,
            "latent_heads": 8,
            "latent_dim_head": 64,
            "num_latent_blocks_per_layer": 6,
            "weight_tie_layers": True,
            "num_freq_bands": 32,
            "embedding_dim": 128,
        },
        "training": {"optimizer": "lamb", "weight_decay": 0.1},
    },
}
"""What a preset changes; "auto" leaves the size to `perceiver_pytorch.training.table.sizes`."""


def preset(name: str, table: str | None = None) -> FitConfig:
    """The configuration called ``name``, with what the built-in ``table`` needs; ValueError for an unknown name."""
    config = read_settings(FitConfig, PRESETS[_checks.choice("preset", name, tuple(PRESETS))])
    return read_settings(FitConfig, BUILTIN.get(table or "", {}), base=config)
