"""The six models that were published in transformers' format: their tasks and sizes, to build them without weights."""

from typing import Any

_IMAGE = {
    "num_latents": 512,
    "d_latents": 1024,
    "num_blocks": 8,
    "num_self_attends_per_block": 6,
    "num_cross_attention_heads": 1,
    "image_size": 224,
    "num_labels": 1000,
}

PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "deepmind/language-perceiver": ("masked-lm", {"qk_channels": 256, "v_channels": 1280}),
    "deepmind/vision-perceiver-learned": ("image-learned", _IMAGE),
    "deepmind/vision-perceiver-fourier": ("image-fourier", _IMAGE),
    "deepmind/vision-perceiver-conv": ("image-conv", _IMAGE),
    "deepmind/optical-flow-perceiver": (
        "optical-flow",
        {
            "num_latents": 2048,
            "d_latents": 512,
            "num_self_attends_per_block": 24,
            "num_self_attention_heads": 16,
            "num_cross_attention_heads": 1,
        },
    ),
    "deepmind/multimodal-perceiver": (
        "multimodal-autoencoding",
        {
            "num_latents": 784,
            "d_latents": 512,
            "num_self_attends_per_block": 8,
            "num_cross_attention_heads": 1,
            "image_size": 224,
            "num_labels": 700,
        },
    ),
}
"""Task and sizes by hub repository, as arguments of `PublishedPerceiver`."""
