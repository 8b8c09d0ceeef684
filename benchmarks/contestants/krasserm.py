"""perceiver-io 0.11.0: its image classifier, and its encoder behind an input adapter of ours for other inputs."""

from typing import Any

from torch import Tensor, nn

from benchmarks.cases import Case
from benchmarks.contestants.dense import DenseInput, token_channels
from benchmarks.contestants.libraries import OneInput

PEER = "perceiver-io-0.11.0"
WARM_UPS = 1


def unsupported(case: Case) -> str | None:
    return None


def note(case: Case) -> str:
    array = "" if case.image else ", array built by our code inside the forward"
    return f"cross-attention decoder instead of the mean{array}"


def build(case: Case) -> nn.Module:
    from perceiver.model.vision.image_classifier import ImageClassifier, ImageClassifierConfig, ImageEncoderConfig

    sizes = (case.arguments["num_latents"], case.arguments["latent_dim"])
    if case.image is None:
        return DenseInput(case, _generic(case, *sizes))
    encoder = ImageEncoderConfig(
        image_shape=(*case.image.axes, case.image.channels),
        num_frequency_bands=case.image.num_freq_bands,
        **_encoder(case),
    )
    return OneInput(ImageClassifier(ImageClassifierConfig(encoder, _decoder(case), *sizes)))


def _encoder(case: Case) -> dict[str, Any]:
    """As many reads and blocks as the case has, with heads and widths of release 1.4.0's defaults."""
    return {
        "num_cross_attention_heads": 1,
        "num_cross_attention_qk_channels": 64,
        "num_cross_attention_v_channels": 64,
        "num_cross_attention_layers": case.depth,
        "first_cross_attention_layer_shared": False,
        "cross_attention_widening_factor": 4,
        "num_self_attention_heads": 8,
        "num_self_attention_qk_channels": 512,
        "num_self_attention_v_channels": 512,
        "num_self_attention_layers_per_block": case.num_blocks,
        "num_self_attention_blocks": case.depth,
        "first_self_attention_block_shared": False,
        "self_attention_widening_factor": 4,
    }


def _decoder(case: Case) -> Any:
    from perceiver.model.core import ClassificationDecoderConfig

    return ClassificationDecoderConfig(
        num_cross_attention_heads=1,
        num_output_query_channels=case.arguments["latent_dim"],
        num_classes=case.arguments["num_classes"],
    )


def _generic(case: Case, num_latents: int, latent_dim: int) -> nn.Module:
    """Encoder and decoder around tokens that are ready."""
    from perceiver.model.core import (
        ClassificationOutputAdapter,
        InputAdapter,
        PerceiverDecoder,
        PerceiverEncoder,
        PerceiverIO,
        TrainableQueryProvider,
    )

    class Ready(InputAdapter):
        def forward(self, x: Tensor) -> Tensor:
            return x

    encoder = PerceiverEncoder(Ready(token_channels(case)), num_latents, latent_dim, **_encoder(case))
    output = ClassificationOutputAdapter(case.arguments["num_classes"], num_output_query_channels=latent_dim)
    query = TrainableQueryProvider(num_queries=1, num_query_channels=latent_dim)
    return PerceiverIO(encoder, PerceiverDecoder(output, query, latent_dim, num_cross_attention_heads=1))
