"""Everything that a language run depends on, with presets."""

from dataclasses import dataclass
from typing import Any

from perceiver_pytorch import _checks
from perceiver_pytorch._settings import Settings, inherited, knob, read_settings
from perceiver_pytorch.training.run.settings import TrainingSettings

OBJECTIVES = ("causal", "masked")


@dataclass(frozen=True, kw_only=True)
class LanguageData(Settings):
    """The text, read as bytes and divided into consecutive parts: train, validation, test."""

    panel = "Data"

    file: str = knob("", "text file in any encoding; it is read as bytes", option="file", resumable=True)
    val_fraction: float = knob(0.05, "share of the bytes to validate on", above=0, below=1)
    test_fraction: float = knob(0.05, "share of the bytes, at the end, to test on", above=0, below=1)
    context: int = knob(512, "bytes that the model reads at a time", least=1, option="--context")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave nothing to train on; their sum must be below 1")


@dataclass(frozen=True, kw_only=True)
class LanguageModel(Settings):
    """Sizes of the model: a `PerceiverAR`, or a `PerceiverLM` where masked."""

    panel = "Model"

    num_latents: int = knob(
        128,
        "latents; of a causal model, the last positions of the context, which predict",
        least=1,
        option="--latents",
    )
    latent_dim: int = knob(128, "width of a latent; of a causal model, of a token too", least=1)
    embedding_dim: int = knob(128, "width of a token (masked)", least=1)
    depth: int = knob(4, "latent layers", least=1)
    heads: int = knob(4, "heads of the latent layers; each has latent_dim / heads channels", least=1)
    cross_heads: int = knob(4, "heads of the cross-attends", least=1)
    num_cross_attends: int = knob(1, "cross-attends onto the whole context (causal)", least=1)
    widening_factor: int = knob(4, "inner width of the feed-forwards, as a multiple of the outer one", least=1)
    activation: str = knob("gelu", "activation of the feed-forwards", choices=("gelu", "geglu"))
    prefix_dropout: float = knob(
        0.1, "share of the bytes before the latents to hide from a step (causal)", least=0, most=1
    )
    attn_dropout: float = knob(0.0, "dropout after attention", least=0, most=1)
    ff_dropout: float = knob(0.0, "dropout in the feed-forwards", least=0, most=1)
    rotary_fraction: float = knob(0.5, "share of a head's channels that turn with position (causal)", least=0, most=1)
    tie_embeddings: bool = knob(True, "predict with the token embedding (causal; a masked model always does)")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, heads in (("heads", self.heads), ("cross_heads", self.cross_heads)):
            if self.latent_dim % heads:
                raise ValueError(f"{name} must divide model.latent_dim ({self.latent_dim}), got {heads}")


@dataclass(frozen=True, kw_only=True)
class LanguageTraining(TrainingSettings):
    """Optimisation."""

    steps: int = knob(2000, "optimiser steps", least=1, option="--steps", after="")
    epochs: float | None = knob(None, "passes over the train bytes, instead of steps", above=0, option="--epochs")
    batch_size: int = inherited(TrainingSettings, "batch_size", default=16, help="pieces of text per step")
    validate_every: int = knob(200, "steps between validations", least=1, after="batch_size")
    validate_bytes: int = knob(65_536, "bytes that these validations use, at most", least=1)
    measure_bytes: int = knob(
        500_000, "bytes of the test part and of the validation part that the result is measured on, at most", least=1
    )
    lr: float = inherited(TrainingSettings, "lr", default=2e-3)
    short_contexts: float = knob(
        0.5,
        "share of the steps that read fewer bytes before the latents, so that short prompts work too (causal)",
        least=0,
        most=1,
        after="gradient_clip",
    )
    mask_fraction: float = knob(0.15, "share of the bytes to hide and predict (masked)", above=0, below=1)


@dataclass(frozen=True, kw_only=True)
class LanguageConfig(Settings):
    """A whole run."""

    panel = "Model"

    objective: str = knob(
        OBJECTIVES[0],
        "what to predict: the next byte (causal, PerceiverAR) or hidden bytes (masked, PerceiverLM)",
        choices=OBJECTIVES,
        option="--objective",
    )
    data: LanguageData = LanguageData()
    model: LanguageModel = LanguageModel()
    training: LanguageTraining = LanguageTraining()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective == "causal" and self.model.num_latents > self.data.context:
            raise ValueError(
                f"model.num_latents ({self.model.num_latents}) must not exceed data.context ({self.data.context}): "
                "latents are positions of the context"
            )


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
