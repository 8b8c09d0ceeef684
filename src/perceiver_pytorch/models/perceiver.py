"""Perceiver for one kind of input."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from perceiver_pytorch import _checks
from perceiver_pytorch.models.base import PerceiverBase
from perceiver_pytorch.models.modalities import Coordinates, InputModality
from perceiver_pytorch.models.streamed_input import StreamedInput
from perceiver_pytorch.models.style import Style
from perceiver_pytorch.nn.sizes import Sizes


class Perceiver(PerceiverBase):
    """The Perceiver of release 1.4.0 (Jaegle et al. 2021, arXiv 2103.03206) for a single input array.

    Args:
        num_freq_bands: Fourier bands per axis.
        depth: number of layers, each a cross-attend and its latent blocks.
        max_freq: sampling rate to resolve along an axis; the highest band is half of it.
        freq_base: base of the logarithmic band spacing.
        input_channels: raw channels per token.
        input_axis: number of axes (2 for images, 3 for video).
        num_latents, latent_dim: size of the latent array.
        cross_heads, cross_dim_head: heads of the cross-attends and channels per head.
        latent_heads, latent_dim_head: the same of the self-attention.
        num_classes: size of the output; None: the latents are returned.
        attn_dropout, ff_dropout: dropout after attention and inside the feed-forward parts.
        weight_tie_layers: share weights between layers, after the rule of the style.
        style: ``"release"``, ``"paper"`` or a `Style`.
        fourier_encode_data: give tokens their positions; False: raw channels alone (perceiver-pytorch 0.11.0).
        self_per_cross_attn: latent blocks in each layer (perceiver-pytorch 0.11.0).
        final_classifier_head: False: the latents are returned, whatever ``num_classes`` (perceiver-pytorch 0.11.0).
        widening_factor: inner width of the feed-forward parts, as a multiple of the outer one; None: that of the style.

    Raises:
        ValueError, TypeError: for sizes out of range.

    Example:
        >>> import torch
        >>> model = Perceiver(num_freq_bands=6, depth=2, max_freq=10.0, num_latents=8, latent_dim=16, num_classes=10)
        >>> model(torch.randn(1, 32, 32, 3)).shape
        torch.Size([1, 10])
    """

    def __init__(
        self,
        *,
        num_freq_bands: int,
        depth: int,
        max_freq: float,
        freq_base: float = 2,
        input_channels: int = 3,
        input_axis: int = 2,
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
        style: str | Style | Mapping[str, Any] = "release",
        fourier_encode_data: bool = True,
        self_per_cross_attn: int = 1,
        final_classifier_head: bool = True,
        widening_factor: int | None = None,
    ) -> None:
        modality = InputModality("data", input_channels, input_axis, num_freq_bands, max_freq, freq_base)
        super().__init__(
            modalities=[modality],
            sizes=Sizes(
                depth=depth,
                num_latents=num_latents,
                latent_dim=latent_dim,
                cross_heads=cross_heads,
                cross_dim_head=cross_dim_head,
                latent_heads=latent_heads,
                latent_dim_head=latent_dim_head,
                num_latent_blocks_per_layer=_checks.positive_int("self_per_cross_attn", self_per_cross_attn),
                weight_tie_layers=bool(weight_tie_layers),
                widening_factor=widening_factor,
                attn_dropout=attn_dropout,
                ff_dropout=ff_dropout,
            ),
            num_classes=num_classes if final_classifier_head else None,
            use_gelu=False,
            style=style,
            modality_code_dim=None,
            one_hot_codes=False,
            single_block=True,
            fourier_encode_positions=fourier_encode_data,
        )
        self.input_axis = input_axis
        self.max_freq = max_freq
        self.num_freq_bands = num_freq_bands
        self.freq_base = freq_base

    def forward(  # type: ignore[override]
        self,
        data: Tensor | StreamedInput,
        mask: Tensor | None = None,
        return_embeddings: bool = False,
        *,
        coordinates: Coordinates | None = None,
    ) -> Tensor:
        """Runs the model.

        Args:
            data: ``(batch, *axes, input_channels)``, or a `StreamedInput`.
            mask: ``(batch, *axes)`` or ``(batch, tokens)`` bool, True = attend.
            return_embeddings: return the latents ``(batch, num_latents, latent_dim)`` instead of what the head makes of
                them.
            coordinates: per axis None or where the tokens are, as in `MultiModalityPerceiver`.

        Returns:
            ``(batch, num_classes)``, or the latents without classes or head.

        Raises:
            ValueError, TypeError: for wrong axes, channels, masks or coordinates.
        """
        places = None if coordinates is None else {"data": coordinates}
        return super().forward({"data": data}, mask, coordinates=places, return_embeddings=return_embeddings)
