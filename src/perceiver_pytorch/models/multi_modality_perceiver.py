"""Perceivers for several modalities in one forward."""

from collections.abc import Iterable, Mapping
from typing import Any

from typing_extensions import Unpack

from perceiver_pytorch.models.base import PerceiverBase
from perceiver_pytorch.models.latents_only import LatentsArguments, latents_only
from perceiver_pytorch.models.modalities import InputModality
from perceiver_pytorch.models.style import Style
from perceiver_pytorch.nn.sizes import Sizes

__all__ = ["InputModality", "MultiModalityPerceiver", "MultiModalityPerceiverNoPooling"]


class MultiModalityPerceiver(PerceiverBase):
    """A Perceiver that reads any mix of its modalities at once (release 1.4.0).

    Override `pool` to pool the latents in another way.

    Args:
        modalities: the kinds of input; names must differ. Every layer reads the tokens of all of them together.
        depth: number of layers, each a cross-attend and a latent transformer.
        num_latents, latent_dim: size of the latent array.
        cross_heads, cross_dim_head: heads of the cross-attends and channels per head.
        latent_heads, latent_dim_head: the same of the self-attention.
        num_classes: size of the output; None: the latents ``(batch, num_latents, latent_dim)`` are returned.
        attn_dropout, ff_dropout: dropout after attention and inside the feed-forward parts.
        weight_tie_layers: share weights between layers, after the rule of the style.
        num_latent_blocks_per_layer: self-attention blocks per latent transformer.
        use_gelu: GELU in the feed-forward parts, as in the paper, instead of GEGLU.
        style: ``"release"`` (1.4.0's numbers), ``"paper"``, or a `Style`.
        modality_code_dim: width of a learned code per modality; None: one-hot codes.
        widening_factor: inner width of the feed-forward parts, as a multiple of the outer one; None: that of the style.

    Raises:
        ValueError, TypeError: for duplicate names, sizes out of range.

    Example:
        >>> import torch
        >>> image = InputModality("image", input_channels=3, input_axis=2, num_freq_bands=6, max_freq=4.0)
        >>> audio = InputModality("audio", input_channels=1, input_axis=1, num_freq_bands=6, max_freq=8.0)
        >>> model = MultiModalityPerceiver(
        ...     modalities=[image, audio], depth=2, num_latents=8, latent_dim=16, num_classes=10
        ... )
        >>> model({"image": torch.randn(1, 32, 32, 3), "audio": torch.randn(1, 400, 1)}).shape
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
        num_classes: int | None = None,
        attn_dropout: float = 0.0,
        ff_dropout: float = 0.0,
        weight_tie_layers: bool = False,
        num_latent_blocks_per_layer: int = 1,
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
        )


class MultiModalityPerceiverNoPooling(MultiModalityPerceiver):
    """Returns the latents ``(batch, num_latents, latent_dim)``, for multi-task heads or pooling of your own.

    Args as in `MultiModalityPerceiver`, without ``num_classes``; GELU is the default here, as in release 1.4.0.
    """

    @latents_only(MultiModalityPerceiver.__init__)
    def __init__(self, **arguments: Unpack[LatentsArguments]) -> None:
        super().__init__(**arguments, num_classes=None)
