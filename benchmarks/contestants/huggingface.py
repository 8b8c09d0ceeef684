"""transformers' Perceiver: its image preprocessor, encoder and classification decoder."""

from torch import Tensor, nn

from benchmarks import published
from benchmarks.cases import Case

PEER = "transformers-5.23.0"
WARM_UPS = 1


def unsupported(case: Case) -> str | None:
    if case.image is not None or case.published:
        return None
    if len(case.modalities) > 1:
        return "its multimodal preprocessor patches sound and pads with learned vectors: other tokens"
    return "it has preprocessors for images, patched sound and text ids; a whole video needs patches, too"


def note(case: Case) -> str:
    if case.published:
        return ""
    return f"reads the input once, not {case.depth} times; cross-attention decoder instead of the mean"


def build(case: Case) -> nn.Module:
    if case.published:
        return published.theirs(case)
    from transformers import PerceiverConfig, PerceiverModel
    from transformers.models.perceiver.modeling_perceiver import (
        PerceiverClassificationDecoder,
        PerceiverImagePreprocessor,
    )

    image = case.image
    assert image is not None
    latent_dim = case.arguments["latent_dim"]
    position = {"num_bands": image.num_freq_bands, "max_resolution": image.axes, "concat_pos": True}
    config = PerceiverConfig(
        num_latents=case.arguments["num_latents"],
        d_latents=latent_dim,
        num_labels=case.arguments["num_classes"],
        num_blocks=case.depth,
        num_self_attends_per_block=case.num_blocks,
        num_self_attention_heads=8,
        num_cross_attention_heads=1,
        self_attention_widening_factor=4,
        cross_attention_widening_factor=4,
        # Widths of heads cannot be set for cross- and self-attention apart.
        qk_channels=min(512, latent_dim),
        v_channels=latent_dim,
        attention_probs_dropout_prob=0.0,
    )
    preprocessor = PerceiverImagePreprocessor(
        config,
        prep_type="pixels",
        spatial_downsample=1,
        in_channels=image.channels,
        fourier_position_encoding_kwargs=position,
    )
    decoder = PerceiverClassificationDecoder(
        config,
        num_channels=latent_dim,
        trainable_position_encoding_kwargs={"num_channels": latent_dim, "index_dims": 1},
        use_query_residual=True,
    )
    config.d_model = preprocessor.num_channels
    return Pixels(PerceiverModel(config, decoder=decoder, input_preprocessor=preprocessor))


class Pixels(nn.Module):
    """Channels first, as the library takes pictures."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        (image,) = inputs.values()
        return self.model(image.permute(0, 3, 1, 2)).logits
