"""Everything that a language run depends on, with presets."""

from dataclasses import dataclass
from typing import Any

from perceiver_pytorch import _checks
from perceiver_pytorch._settings import Settings, knob, read_settings

OBJECTIVES = ("causal", "masked")


@dataclass(frozen=True, kw_only=True)
class LanguageData(Settings):
    """The text, read as bytes and divided into consecutive parts: train, validation, test."""

    file: str = knob("", "text file, in any encoding")
    val_fraction: float = knob(0.05, "share of the bytes to validate on")
    test_fraction: float = knob(0.05, "share of the bytes at the end to test on")
    context: int = knob(512, "bytes that the model reads at a time")


@dataclass(frozen=True, kw_only=True)
class LanguageModel(Settings):
    """Sizes of the model: a `PerceiverAR`, or a `PerceiverLM` where masked."""

    num_latents: int = knob(128, "latents; causal: the last positions of the context, which predict")
    latent_dim: int = knob(128, "width of a latent; causal: of a token too")
    embedding_dim: int = knob(128, "width of a token (masked)")
    depth: int = knob(4, "latent layers")
    heads: int = knob(4, "heads of the latent layers; each has latent_dim / heads channels")
    cross_heads: int = knob(4, "heads of the cross-attends")
    num_cross_attends: int = knob(1, "cross-attends onto the whole context (causal)")
    widening_factor: int = knob(4, "inner width of the feed-forwards, as a multiple")
    activation: str = knob("gelu", "of the feed-forwards", choices=("gelu", "geglu"))
    prefix_dropout: float = knob(0.1, "share of the bytes before the latents that a step does not see (causal)")
    attn_dropout: float = knob(0.0, "dropout after attention")
    ff_dropout: float = knob(0.0, "dropout in the feed-forwards")
    rotary_fraction: float = knob(0.5, "share of a head's channels that turn with position (causal)")
    tie_embeddings: bool = knob(True, "predict with the token embedding (causal; masked always does)")


@dataclass(frozen=True, kw_only=True)
class LanguageTraining(Settings):
    """Optimisation."""

    steps: int = knob(2000, "optimiser steps")
    epochs: float | None = knob(None, "passes over the train bytes, instead of steps")
    batch_size: int = knob(16, "pieces of text per step")
    validate_every: int = knob(200, "steps between validations")
    validate_bytes: int = knob(65_536, "bytes at most that these validations use")
    measure_bytes: int = knob(500_000, "bytes at most of the test and of the validation part that the result is of")
    optimizer: str = knob("adamw", "optimiser", choices=("adamw", "lamb"))
    lr: float = knob(2e-3, "peak learning rate", least=0)
    weight_decay: float = knob(0.1, "decoupled weight decay of weight matrices")
    warmup: float = knob(0.05, "share of the steps in which the learning rate rises")
    min_lr: float = knob(0.01, "learning rate at the end of the cosine, as a share of lr")
    gradient_clip: float = knob(1.0, "largest norm of the gradient")
    short_contexts: float = knob(
        0.5, "share of the steps that read fewer bytes before the latents, so that short prompts work too (causal)"
    )
    mask_fraction: float = knob(0.15, "share of the bytes that are hidden and predicted (masked)")
    patience: int = knob(10, "validations without a better one before training stops")
    checkpoint_every: str = knob("5m", "how often to save between validations: 5m, '200 steps' or never")
    precision: str = knob("32-true", "Lightning's precision: 32-true, bf16-mixed, 16-mixed")
    seed: int = knob(0, "fixes weights, order and dropout")


@dataclass(frozen=True, kw_only=True)
class LanguageConfig(Settings):
    """A whole run."""

    objective: str = knob("causal", "what is learned: the next byte, or hidden bytes", choices=OBJECTIVES)
    data: LanguageData = LanguageData()
    model: LanguageModel = LanguageModel()
    training: LanguageTraining = LanguageTraining()

    def __post_init__(self) -> None:
        super().__post_init__()
        data, model, training = self.data, self.model, self.training
        for name, value in (
            ("data.context", data.context),
            ("model.num_latents", model.num_latents),
            ("model.latent_dim", model.latent_dim),
            ("model.heads", model.heads),
            ("model.cross_heads", model.cross_heads),
            ("training.steps", training.steps),
            ("training.batch_size", training.batch_size),
            ("training.validate_every", training.validate_every),
            ("training.validate_bytes", training.validate_bytes),
            ("training.measure_bytes", training.measure_bytes),
        ):
            _checks.positive_int(name, value)
        if self.objective == "causal" and model.num_latents > data.context:
            raise ValueError(
                f"model.num_latents ({model.num_latents}) must not exceed data.context ({data.context}): latents are "
                "positions of the context"
            )
        for name, heads in (("model.heads", model.heads), ("model.cross_heads", model.cross_heads)):
            if model.latent_dim % heads:
                raise ValueError(f"{name} must divide model.latent_dim ({model.latent_dim}), got {heads}")
        for name, share in (
            ("data.val_fraction", data.val_fraction),
            ("data.test_fraction", data.test_fraction),
            ("training.mask_fraction", training.mask_fraction),
        ):
            if not 0 < share < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {share}")
        if data.val_fraction + data.test_fraction >= 1:
            raise ValueError("data.val_fraction and data.test_fraction leave nothing to train on")
        if training.epochs is not None and training.epochs <= 0:
            raise ValueError(f"training.epochs must be positive, got {training.epochs}")
        _checks.probability("training.short_contexts", training.short_contexts)
        _checks.seed("training.seed", training.seed)


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "small": {
        "data": {"context": 2048},
        "model": {"num_latents": 512, "latent_dim": 256, "embedding_dim": 256, "depth": 6, "heads": 8},
        "training": {"steps": 10_000, "lr": 1e-3, "batch_size": 16},
    },
    "base": {
        "data": {"context": 4096},
        "model": {
            "num_latents": 1024,
            "latent_dim": 512,
            "embedding_dim": 512,
            "depth": 12,
            "heads": 8,
            "cross_heads": 8,
        },
        "training": {"steps": 50_000, "lr": 6e-4, "batch_size": 32},
    },
}
"""What a preset changes; "tiny" learns in minutes on two cores, "small" in hours, "base" is for a GPU."""

MASKED: dict[str, dict[str, Any]] = {
    "tiny": {
        "data": {"context": 32},
        "model": {"num_latents": 16, "depth": 2},
        "training": {"steps": 5000, "batch_size": 64, "lr": 1.5e-3, "mask_fraction": 0.2, "validate_every": 500},
    },
    "small": {"data": {"context": 128}, "model": {"num_latents": 64}},
    "base": {"data": {"context": 2048}, "model": {"num_latents": 256}},
}
"""What the masked objective changes in a preset. A step predicts hidden bytes alone, so many short texts teach more
than few long ones, and half as many latents as bytes are enough. Above a rate of 2e-3 "tiny" learns more slowly."""


def language_preset(name: str, objective: str = "causal") -> LanguageConfig:
    """The configuration called ``name`` for an objective; ValueError for an unknown one."""
    _checks.choice("preset", name, tuple(PRESETS))
    _checks.choice("objective", objective, OBJECTIVES)
    config = read_settings(LanguageConfig, {"objective": objective} | PRESETS[name])
    return config if objective == "causal" else read_settings(LanguageConfig, MASKED[name], base=config)
