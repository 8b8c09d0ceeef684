"""The models of the paper (Jaegle et al. 2021, arXiv 2103.03206v2, sections 4.1 to 4.3 and appendix C), by name."""

from collections.abc import Callable
from functools import partial
from typing import Any

from perceiver_pytorch import _checks
from perceiver_pytorch.models.multi_modality_perceiver import MultiModalityPerceiver
from perceiver_pytorch.models.perceiver import Perceiver

_IMAGENET: dict[str, Any] = {
    "style": "paper",
    "depth": 8,
    "num_latents": 512,
    "latent_dim": 1024,
    "cross_heads": 1,
    "latent_heads": 8,
    "latent_dim_head": 128,
    "weight_tie_layers": True,
}
_AUDIOSET = _IMAGENET | {"depth": 2, "weight_tie_layers": False, "num_classes": 527}
_AUDIO: dict[str, Any] = {"input_channels": 128, "input_axis": 1, "num_freq_bands": 64, "max_freq": 480.0}
_VIDEO: dict[str, Any] = {"input_channels": 2 * 8 * 8 * 3, "input_axis": 3, "num_freq_bands": 64, "max_freq": 28.0}
_POINTS: dict[str, Any] = {
    "input_channels": 3,
    "input_axis": 1,
    "coordinates_per_axis": 3,
    "num_freq_bands": 64,
    "max_freq": 1120.0,
}

# Queries, keys and values of a cross-attend have as many channels as a token (appendix C).
PAPER_MODELS: dict[str, Callable[..., Perceiver | MultiModalityPerceiver]] = {
    "imagenet": partial(
        Perceiver,
        **_IMAGENET,
        input_channels=3,
        input_axis=2,
        num_freq_bands=64,
        max_freq=224.0,
        cross_dim_head=261,
        self_per_cross_attn=6,
        num_classes=1000,
    ),
    "audioset-audio": partial(Perceiver, **_AUDIOSET, **_AUDIO, cross_dim_head=257, self_per_cross_attn=8),
    "audioset-video": partial(Perceiver, **_AUDIOSET, **_VIDEO, cross_dim_head=771, self_per_cross_attn=8),
    "audioset-audio-video": partial(
        MultiModalityPerceiver,
        **_AUDIOSET,
        modalities=[{"name": "audio", **_AUDIO}, {"name": "video", **_VIDEO}],
        modality_code_dim=4,
        cross_dim_head=775,
        num_latent_blocks_per_layer=8,
    ),
    "modelnet40": partial(
        MultiModalityPerceiver,
        **_IMAGENET | {"depth": 2, "num_classes": 40},
        modalities=[{"name": "points", **_POINTS}],
        cross_dim_head=391,
        num_latent_blocks_per_layer=6,
    ),
}
"""What makes each model, by its name."""


def paper_model(name: str, **changes: Any) -> Perceiver | MultiModalityPerceiver:
    """One of the paper's own models, with fresh weights.

    Where the paper leaves something open, the ImageNet model's is taken, and the Nyquist frequency of the longest axis.

    Args:
        name: which one; the shapes are those of its input.

            - ``"imagenet"``: images ``(batch, 224, 224, 3)``; 44.9 million parameters.
            - ``"audioset-audio"``: raw sound at 48 kHz in 480 pieces, ``(batch, 480, 128)``.
            - ``"audioset-video"``: 32 frames in patches of 2 x 8 x 8 pixels, ``(batch, 16, 28, 28, 384)``.
            - ``"audioset-audio-video"``: both, ``{"audio": …, "video": …}``. Tokens of sound are filled up with zeros,
              and each modality has a learned code of 4 channels; in the paper, the code of sound fills them up.
            - ``"modelnet40"``: ``{"points": (batch, points, 3)}``, with the same array as
              ``coordinates={"points": [array]}``, in [-1, 1].
        changes: other arguments for the model's class, such as ``num_classes=10``.

    Raises:
        ValueError, TypeError: for an unknown name, or arguments that the class refuses.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = paper_model("imagenet")
        >>> sum(p.numel() for p in model.parameters())
        44894304
    """
    return PAPER_MODELS[_checks.choice("name", name, tuple(PAPER_MODELS))](**changes)
