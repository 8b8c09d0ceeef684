"""What a published configuration says: the fields of transformers' ``config.json`` that decide a Perceiver's form."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from perceiver_pytorch import _checks

CLASSES = {
    "PerceiverForMaskedLM": "masked-lm",
    "PerceiverForSequenceClassification": "text-classification",
    "PerceiverForImageClassificationLearned": "image-learned",
    "PerceiverForImageClassificationFourier": "image-fourier",
    "PerceiverForImageClassificationConvProcessing": "image-conv",
    "PerceiverForOpticalFlow": "optical-flow",
    "PerceiverForMultimodalAutoencoding": "multimodal-autoencoding",
}
"""Tasks by the names of transformers' classes."""

TASKS = tuple(CLASSES.values())


@dataclass(frozen=True)
class PublishedConfig:
    """Sizes of a published Perceiver, by transformers' names and with its defaults.

    Args:
        num_latents, d_latents: of the latent array.
        d_model: channels of a text token.
        num_blocks: how often the latent blocks are run through.
        num_self_attends_per_block: latent blocks.
        num_self_attention_heads, num_cross_attention_heads: heads of the latent blocks, and of the cross-attend.
        qk_channels, v_channels: channels of keys and values; None: those of the latents, or in the cross-attend of
            what ``cross_attention_shape_for_attention`` names: ``"kv"`` the tokens, ``"q"`` the latents.
        self_attention_widening_factor, cross_attention_widening_factor: of the feed-forward parts.
        use_query_residual: whether the cross-attend adds to the latents.
        vocab_size, max_position_embeddings: of text.
        image_size: side of an image (learned positions), of a video frame (multi-modal).
        train_size: height and width of the frames whose flow is estimated.
        num_frames, audio_samples_per_frame, samples_per_patch, output_shape, output_num_channels,
        label_channels: of the multi-modal model (``label_channels``: transformers' ``_label_trainable_num_channels``).
        num_labels, id2label: classes and their names.
    """

    num_latents: int = 256
    d_latents: int = 1280
    d_model: int = 768
    num_blocks: int = 1
    num_self_attends_per_block: int = 26
    num_self_attention_heads: int = 8
    num_cross_attention_heads: int = 8
    qk_channels: int | None = None
    v_channels: int | None = None
    cross_attention_shape_for_attention: str = "kv"
    self_attention_widening_factor: int = 1
    cross_attention_widening_factor: int = 1
    use_query_residual: bool = True
    vocab_size: int = 262
    max_position_embeddings: int = 2048
    image_size: int = 56
    train_size: tuple[int, int] = (368, 496)
    num_frames: int = 16
    audio_samples_per_frame: int = 1920
    samples_per_patch: int = 16
    output_shape: tuple[int, ...] = (1, 16, 224, 224)
    output_num_channels: int = 512
    label_channels: int = 1024
    num_labels: int = 2
    id2label: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(field.default) is int or (field.name in ("qk_channels", "v_channels") and value is not None):
                _checks.positive_int(field.name, value)
        _checks.num_blocks(self.num_blocks, self.num_self_attends_per_block)
        _checks.choice("cross_attention_shape_for_attention", self.cross_attention_shape_for_attention, ("kv", "q"))
        if len(self.train_size) != 2:
            raise ValueError(f"train_size must be (height, width), got {self.train_size}")
        if len(self.output_shape) != 4:
            raise ValueError(f"output_shape must be (batch, frames, height, width), got {self.output_shape}")
        if self.id2label is not None and len(self.id2label) != self.num_labels:
            raise ValueError(f"id2label must name {self.num_labels} classes, got {len(self.id2label)}")

    @property
    def num_audio_samples(self) -> int:
        """Of a clip."""
        return self.num_frames * self.audio_samples_per_frame

    @classmethod
    def of(cls, values: "Mapping[str, Any] | PublishedConfig") -> "PublishedConfig":
        """The configuration that a mapping of its fields describes, as `to_json` gives it."""
        if isinstance(values, PublishedConfig):
            return values
        names = [field.name for field in fields(cls)]
        known = dict(_checks.known_keys("config", values, names))
        for name in ("train_size", "output_shape", "id2label"):
            if isinstance(known.get(name), list):
                known[name] = tuple(known[name])
        return cls(**known)

    @classmethod
    def from_huggingface(cls, values: Mapping[str, Any]) -> "PublishedConfig":
        """The configuration that transformers' ``config.json`` describes.

        Raises:
            ValueError: for what these models cannot do.
        """
        if values.get("hidden_act", "gelu") != "gelu":
            raise ValueError(f"config.json: hidden_act must be 'gelu', got {values['hidden_act']!r}")
        names = {field.name for field in fields(cls)}
        known = {name: value for name, value in values.items() if name in names - {"id2label"}}
        known["label_channels"] = values.get("_label_trainable_num_channels", cls.label_channels)
        labels = values.get("id2label")
        if labels:
            known["id2label"] = tuple(labels[key] for key in sorted(labels, key=int))
            known["num_labels"] = len(labels)
        if not isinstance(known.get("image_size", 0), int):
            # Optical flow's configuration has a pair here that its model does not use.
            del known["image_size"]
        for name in ("train_size", "output_shape"):
            if name in known:
                known[name] = tuple(known[name])
        return cls(**known)

    def to_json(self) -> dict[str, Any]:
        """Plain values, without those that are the defaults."""
        defaults = PublishedConfig()
        return {name: value for name, value in asdict(self).items() if value != getattr(defaults, name)}
