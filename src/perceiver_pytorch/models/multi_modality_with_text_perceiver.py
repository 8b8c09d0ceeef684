"""Perceivers that embed token ids themselves, and may split the embedding over their layers."""

from collections.abc import Iterable, Mapping
from typing import Any

from typing_extensions import Unpack

from perceiver_pytorch.models.base import PerceiverBase
from perceiver_pytorch.models.latents_only import LatentsArguments, latents_only
from perceiver_pytorch.models.modalities import InputModality, InputModalityWithEmbedding
from perceiver_pytorch.models.style import Style
from perceiver_pytorch.nn.sizes import Sizes

__all__ = [
    "InputModalityWithEmbedding",
    "MultiModalityWithTextPerceiver",
    "MultiModalityWithTextPerceiverNoPooling",
]


class MultiModalityWithTextPerceiver(PerceiverBase):
    """A multi-modality Perceiver with text: layer i reads chunk i of the text embedding (release 1.4.0).

    An `InputModalityWithEmbedding` takes token ids ``(batch, length)`` or ``(batch, length, 1)``; its embedding is
    registered as ``embeddings.<name>``. Other modalities are read as in `MultiModalityPerceiver`.

    Args:
        modalities: the kinds of input; names must differ.
        num_classes: size of the output; None: the latents are returned.
        num_latent_blocks_per_layer: self-attention blocks per latent transformer; 6 by default here.

    The other arguments are those of `MultiModalityPerceiver`.

    Raises:
        ValueError, TypeError: for duplicate names, sizes out of range, an embedding smaller than the depth.

    Example:
        >>> import torch
        >>> text = InputModalityWithEmbedding("text", 1, 1, num_freq_bands=6, max_freq=8.0,
        ...                                   embedding=torch.nn.Embedding(1000, 32))
        >>> image = InputModality("image", 3, 2, num_freq_bands=6, max_freq=4.0)
        >>> model = MultiModalityWithTextPerceiver(
        ...     modalities=[text, image], depth=2, num_latents=8, latent_dim=16, num_classes=10
        ... )
        >>> model({"text": torch.randint(1000, (1, 20)), "image": torch.randn(1, 32, 32, 3)}).shape
        torch.Size([1, 10])
    """

    def __init__(
        self,
        *,
        modalities: Iterable[InputModality | Mapping[str, Any]],
        depth: int,
        num_latents: int = 512,
        latent_dim: int = 512,
        cross_heads: int = 1,
        latent_heads: int = 8,
        cross_dim_head: int = 64,
        latent_dim_head: int = 64,
        num_classes: int | None = 1000,
        attn_dropout: float = 0.0,
        ff_dropout: float = 0.0,
        weight_tie_layers: bool = False,
        num_latent_blocks_per_layer: int = 6,
        use_gelu: bool = False,
        style: str | Style | Mapping[str, Any] = "release",
        modality_code_dim: int | None = None,
        widening_factor: int | None = None,
    ) -> None:
        super().__init__(
            modalities=modalities,
            sizes=Sizes(
                depth=depth,
                num_latents=num_latents,
                latent_dim=latent_dim,
                cross_heads=cross_heads,
                cross_dim_head=cross_dim_head,
                latent_heads=latent_heads,
                latent_dim_head=latent_dim_head,
                num_latent_blocks_per_layer=num_latent_blocks_per_layer,
                weight_tie_layers=bool(weight_tie_layers),
                widening_factor=widening_factor,
                attn_dropout=attn_dropout,
                ff_dropout=ff_dropout,
            ),
            num_classes=num_classes,
            use_gelu=use_gelu,
            style=style,
            modality_code_dim=modality_code_dim,
            embed=True,
        )


class MultiModalityWithTextPerceiverNoPooling(MultiModalityWithTextPerceiver):
    """Returns the latents ``(batch, num_latents, latent_dim)``; new in 2.0.

    Args as in `MultiModalityWithTextPerceiver`, without ``num_classes``; GELU is the default, as in the other models
    without pooling.
    """

    @latents_only(MultiModalityWithTextPerceiver.__init__)
    def __init__(self, **arguments: Unpack[LatentsArguments]) -> None:
        super().__init__(**arguments, num_classes=None)
