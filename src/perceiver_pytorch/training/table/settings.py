"""Everything a run depends on: data, model and training, as one tree of knobs, with presets."""

from dataclasses import dataclass
from typing import Any

from perceiver_pytorch import _checks
from perceiver_pytorch._settings import Settings, knob, read_settings
from perceiver_pytorch.training.run.durations import Every


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """The table, and how its cells become arrays."""

    table: str = knob("", "CSV, TSV, JSON(L) or Parquet file, folder, shards, hf:NAME, or the name of a built-in set")
    target: str | list[str] = knob("", "column to predict, or a list of several")
    target_kinds: dict[str, str] = knob({}, "kind of single targets: class, labels, number; else recognised")
    label_separator: str | None = knob(None, "what stands between the labels of a text target; null: recognised")
    columns: dict[str, str] = knob({}, "kind of single columns (docs/tables.md lists them), over what is recognised")
    split: str | None = knob(None, "column that says train, val or test; null: 'split' if there is one")
    val_fraction: float = knob(0.1, "share of the train rows to validate on, where no row is marked val")
    on_error: str = knob("raise", "what to do with a bad row", choices=("raise", "skip"))
    encoding: str | None = knob(None, "of a CSV, TSV or JSONL file; null: UTF-8")
    delimiter: str | None = knob(None, "between the cells of a CSV or TSV file; null: the one that parts the header")
    stream: bool | None = knob(None, "leave rows of Parquet files on the disk; null: from a gigabyte on")
    allow_outside: bool = knob(False, "let file paths in cells leave the table's folder")
    cache_mb: int = knob(2048, "decoded samples kept in memory, in MB", least=0)
    image_size: int | None = knob(None, "longer side of every image in pixels; null: the most common size")
    max_image_size: int = knob(64, "longest side chosen without image_size")
    image_fit: str = knob("pad", "images and frames of other proportions", choices=("pad", "stretch"))
    image_patch: int | None = knob(None, "side of an image token in pixels; null: by max_image_tokens")
    max_image_tokens: int = knob(1024, "tokens per image that image_patch is chosen by")
    sample_rate: int | None = knob(None, "rate of every sound in Hz; null: the most common, at most 16000")
    audio_channels: int = knob(1, "1: mono, 2: stereo", choices=(1, 2))
    audio_features: str = knob("raw", "sound tokens: samples, or log-mel energies", choices=("raw", "logmel"))
    audio_patch: int = knob(32, "samples per raw sound token")
    mel_bands: int = knob(64, "bands of a log-mel token")
    mel_window: float = knob(0.025, "seconds of sound in a log-mel token")
    mel_step: float = knob(0.010, "seconds from one log-mel token to the next")
    max_audio_seconds: float = knob(10.0, "longer sounds lose their end")
    video_rate: float = knob(5.0, "frames per second that are taken of every video")
    video_size: int | None = knob(None, "longer side of every frame in pixels; null: the most common size")
    max_video_size: int = knob(64, "longest side chosen without video_size")
    video_patch: int | None = knob(None, "side of a video token in pixels; null: by max_video_tokens")
    max_video_tokens: int = knob(4096, "tokens per video that video_patch is chosen by")
    max_video_seconds: float = knob(10.0, "longer videos lose their end")
    max_text_bytes: int = knob(512, "longer texts lose their end")
    tokenizer: str | None = knob(None, "tokenizer.json of the tokenizers library; null: text is read as bytes")
    max_text_tokens: int = knob(256, "with a tokenizer, longer texts lose their end")
    max_series_length: int = knob(1024, "longer series lose their end (time steps)")
    series_time: str | None = knob(None, "column with a series' time stamps; null: equal steps")
    series_origin: str | None = knob(
        None,
        "time stamps count from the row's first or from zero; null: zero with a clock",
        choices=("first", "zero"),
    )
    series_file: str | None = knob(None, "table with the series in long format, a row per time step")
    series_key: str | None = knob(
        None, "column of series_file that says whose row it is; null: the series column's name"
    )
    series_values: list[str] = knob([], "value columns of series_file; []: every other number column")
    max_points: int = knob(1024, "larger point clouds are thinned out to this many points")
    clock: bool = knob(False, "sounds, videos and series with time stamps share one time axis in seconds")
    column_options: dict[str, dict[str, Any]] = knob(
        {}, "any setting from image_size on for single columns: {column: {setting: value}}"
    )


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Settings):
    """Sizes of the model, a `MultiModalityWithTextPerceiver`."""

    depth: int = knob(2, "layers; each reads the whole input once", least=1)
    num_latents: int = knob(16, "latents", least=1)
    latent_dim: int = knob(64, "width of a latent", least=1)
    cross_heads: int = knob(4, "heads of a cross-attend", least=1)
    cross_dim_head: int = knob(16, "channels of a cross-attend head", least=1)
    latent_heads: int = knob(4, "heads of the self-attention", least=1)
    latent_dim_head: int = knob(16, "channels of a self-attention head", least=1)
    num_latent_blocks_per_layer: int = knob(2, "self-attention blocks per layer", least=1)
    weight_tie_layers: bool = knob(False, "share weights between layers")
    attn_dropout: float = knob(0.0, "dropout after attention", least=0, most=1)
    ff_dropout: float = knob(0.0, "dropout in feed-forward parts", least=0, most=1)
    num_freq_bands: int = knob(8, "Fourier bands per axis (fewer on a short axis)")
    embedding_dim: int = knob(32, "width of the embedding of text bytes and categories, as a layer sees it", least=1)
    split_embedding: bool = knob(False, "a chunk of the embedding per layer instead of all of it")
    modality_code_dim: int | None = knob(None, "width of learned modality codes; null: one-hot codes")
    style: str = knob("paper", "design of the model, see docs/design.md", choices=("paper", "release"))


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """Optimisation."""

    epochs: int = knob(30, "passes over the train rows, at most", least=1)
    batch_size: int = knob(64, "rows per step", least=1)
    optimizer: str = knob("adamw", "optimiser", choices=("adamw", "lamb"))
    lr: float | None = knob(
        None, "peak learning rate; null: by the width of the model and what of it is trained", least=0
    )
    weight_decay: float = knob(0.1, "decoupled weight decay of weight matrices", least=0)
    warmup: float = knob(0.05, "share of the steps in which the learning rate rises", least=0, most=1)
    min_lr: float = knob(0.01, "learning rate at the end of the cosine, as a share of lr", least=0, most=1)
    gradient_clip: float = knob(1.0, "largest norm of the gradient", least=0)
    token_dropout: float = knob(0.0, "share of the tokens of every modality that a step does not see", least=0, most=1)
    modality_dropout: float = knob(
        0.0, "share of the rows from which a step takes a modality, each by itself", least=0, most=1
    )
    label_smoothing: float = knob(0.05, "label smoothing of the cross-entropy of classes", least=0, most=1)
    class_weights: str = knob("none", "make up for skewed classes and labels in the loss", choices=("none", "balanced"))
    task_weights: dict[str, float] = knob({}, "weight of single targets in the loss; 1 where none is given")
    patience: int = knob(15, "epochs without a better validation score before training stops", least=0)
    precision: str = knob("32-true", "Lightning's precision: 32-true, bf16-mixed, 16-mixed")
    checkpoint_every: str = knob(
        "5m",
        "how often to save within an epoch: a duration, '200 steps', or never; each epoch's end is saved anyway",
        check=lambda name, value: Every.of(value, name),
    )
    seed: int = knob(0, "fixes weights, order and dropout", check=_checks.seed)
    num_workers: int | None = knob(
        None, "processes that decode; 0: the main one; null: one a core where there is much to decode", least=0
    )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Settings):
    """Random changes of the train rows, anew in every step; validation and test rows stay as they are."""

    enabled: bool = knob(True, "change train rows at random as said below")
    image_shift: float = knob(
        0.1, "images and videos: moved by up to this share of a side, the edge repeated", least=0, most=1
    )
    image_flip: float = knob(
        0.0, "share of images and videos that are mirrored; not where left and right differ", least=0, most=1
    )
    image_color: float = knob(0.2, "brightness, contrast and saturation change by up to this share", least=0, most=1)
    audio_shift: float = knob(0.1, "raw sounds: earlier or later by up to this share of their length", least=0, most=1)
    audio_gain: float = knob(6.0, "raw sounds: louder or softer by up to this many decibels", least=0)
    audio_noise: float = knob(0.05, "raw sounds: white noise of up to this share of the usual deviation", least=0)
    spec_time: float = knob(
        0.1, "log-mel sounds: a stretch of up to this share of the time is blanked", least=0, most=1
    )
    spec_bands: float = knob(
        0.2, "log-mel sounds: a range of up to this share of the bands is blanked", least=0, most=1
    )
    mixup: float = knob(
        0.0, "mix pairs of rows by a share drawn from Beta(mixup, mixup); 0: no rows are mixed", least=0
    )


@dataclass(frozen=True, kw_only=True)
class StartConfig(Settings):
    """Fine-tuning: from whose weights training starts, and what of them it may change."""

    checkpoint: str = knob("", "run folder, saved model, or checkpoint in transformers' format to start from")
    freeze: list[str] = knob([], "what stays as it is: encoder, embeddings, latents, or names of weights as layers.0.*")
    lora: int = knob(0, "rank of LoRA adapters, the only part of the encoder that is trained then; 0: none", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.freeze or self.lora) and not self.checkpoint:
            raise ValueError("freeze and lora go with a checkpoint to start from (--from)")


@dataclass(frozen=True, kw_only=True)
class FitConfig(Settings):
    """A whole run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    augment: AugmentConfig = AugmentConfig()
    start: StartConfig = StartConfig()


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},
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
"""What a preset changes; "tiny" learns the built-in digits in minutes on two cores."""

BUILTIN: dict[str, dict[str, Any]] = {
    "digits": {"data": {"target": "answer"}, "training": {"epochs": 5}},
    "easy-vqa": {"data": {"target": "answer"}, "training": {"epochs": 8}},
}
"""What a built-in table needs besides a preset: its target, and as many epochs as it takes."""


def preset(name: str, table: str | None = None) -> FitConfig:
    """The configuration called ``name``, with what the built-in ``table`` needs; ValueError for an unknown name."""
    config = read_settings(FitConfig, PRESETS[_checks.choice("preset", name, tuple(PRESETS))])
    return read_settings(FitConfig, BUILTIN.get(table or "", {}), base=config)
