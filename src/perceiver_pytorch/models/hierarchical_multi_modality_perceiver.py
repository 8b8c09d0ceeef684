"""Perceivers whose latents grow wider and fewer from layer to layer."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from typing_extensions import Required, Unpack

from perceiver_pytorch import _checks
from perceiver_pytorch.models.base import PerceiverBase
from perceiver_pytorch.models.latents_only import EncoderArguments, latents_only
from perceiver_pytorch.models.modalities import InputModality
from perceiver_pytorch.models.style import Style
from perceiver_pytorch.nn.sizes import Sizes

__all__ = [
    "HierarchicalConfigurator",
    "HierarchicalMultiModalityPerceiver",
    "HierarchicalMultiModalityPerceiverNoPooling",
]


class HierarchicalConfigurator:
    """Number and width of the latents per layer: half as many, twice as wide from each layer to the next.

    Override both getters for another plan; the number of latents may not grow.

    Args:
        depth: number of layers.
        num_latents_begin, latent_dim_begin: those of the first layer.
    """

    def __init__(self, depth: int, num_latents_begin: int, latent_dim_begin: int) -> None:
        self.depth = depth
        self.num_latents_begin = num_latents_begin
        self.latent_dim_begin = latent_dim_begin

    def get_num_latents(self, layer_index: int) -> int:
        """Latents of a layer.

        Raises:
            ValueError: if the layer is not below the depth, or no latent is left for it.
        """
        num_latents = self.num_latents_begin >> self._checked(layer_index)
        if num_latents < 1:
            raise ValueError(
                f"num_latents_begin={self.num_latents_begin} leaves no latent for layer {layer_index} "
                f"(halved in each layer); at least {2**layer_index} are needed"
            )
        return num_latents

    def get_latent_dim(self, layer_index: int) -> int:
        """Width of a layer's latents; raises ValueError if the layer is not below the depth."""
        return self.latent_dim_begin << self._checked(layer_index)

    def _checked(self, layer_index: int) -> int:
        if not 0 <= layer_index < self.depth:
            raise ValueError(f"layer_index must lie in 0 to {self.depth - 1} (depth - 1), got {layer_index}")
        return layer_index


class _ListedConfigurator(HierarchicalConfigurator):
    """The plan of any configurator as lists, as a saved model has it."""

    def __init__(self, num_latents: Sequence[int], latent_dims: Sequence[int]) -> None:
        super().__init__(len(num_latents), num_latents[0], latent_dims[0])
        self._num_latents, self._latent_dims = num_latents, latent_dims

    def get_num_latents(self, layer_index: int) -> int:
        return self._num_latents[self._checked(layer_index)]

    def get_latent_dim(self, layer_index: int) -> int:
        return self._latent_dims[self._checked(layer_index)]


class HierarchicalMultiModalityPerceiver(PerceiverBase):
    """A multi-modality Perceiver with latents of its own in every layer (release 1.4.0).

    A layer starts from its own latents plus the first latents of the layer before, padded with zeros to its width.

    Args:
        configurator: number and width of the latents per layer; the model's ``depth`` may not exceed its own.
        weight_tie_layers: must be False: widths differ between layers.

    The other arguments are those of `MultiModalityPerceiver`.

    Raises:
        ValueError, TypeError: for duplicate names, sizes out of range, tied weights, or a number of latents that grows.

    Example:
        >>> import torch
        >>> image = InputModality("image", input_channels=3, input_axis=2, num_freq_bands=6, max_freq=4.0)
        >>> model = HierarchicalMultiModalityPerceiver(
        ...     modalities=[image], depth=3, num_classes=10,
        ...     configurator=HierarchicalConfigurator(depth=3, num_latents_begin=16, latent_dim_begin=8),
        ... )
        >>> [tuple(latents.shape) for latents in model.latents]
        [(16, 8), (8, 16), (4, 32)]
    """

    def __init__(
        self,
        *,
        modalities: Iterable[InputModality | Mapping[str, Any]],
        depth: int,
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
        configurator: HierarchicalConfigurator | Mapping[str, Any],
        style: str | Style | Mapping[str, Any] = "release",
        modality_code_dim: int | None = None,
        widening_factor: int | None = None,
    ) -> None:
        if weight_tie_layers:
            raise ValueError("weight_tie_layers must be False: the layers of a hierarchical model differ in width")
        if isinstance(configurator, Mapping):
            configurator = _ListedConfigurator(**configurator)
        if not hasattr(configurator, "get_num_latents"):
            raise TypeError(f"configurator must be a HierarchicalConfigurator, got {type(configurator).__name__}")
        layers = range(_checks.positive_int("depth", depth))
        _checks.num_blocks(depth)
        num_latents = [configurator.get_num_latents(i) for i in layers]
        latent_dims = [configurator.get_latent_dim(i) for i in layers]
        if sorted(num_latents, reverse=True) != num_latents or sorted(latent_dims) != latent_dims:
            raise ValueError(
                f"from layer to layer latents may not grow in number nor shrink in width, got {num_latents} latents "
                f"of {latent_dims} channels"
            )
        super().__init__(
            modalities=modalities,
            sizes=Sizes(
                depth=depth,
                num_latents=num_latents[0],
                latent_dim=latent_dims[0],
                cross_heads=cross_heads,
                cross_dim_head=cross_dim_head,
                latent_heads=latent_heads,
                latent_dim_head=latent_dim_head,
                num_latent_blocks_per_layer=num_latent_blocks_per_layer,
                widening_factor=widening_factor,
                attn_dropout=attn_dropout,
                ff_dropout=ff_dropout,
            ),
            latent_shapes=list(zip(num_latents, latent_dims, strict=True)),
            num_classes=num_classes,
            use_gelu=use_gelu,
            style=style,
            modality_code_dim=modality_code_dim,
        )
        self._record_config(configurator={"num_latents": num_latents, "latent_dims": latent_dims})


class _Arguments(EncoderArguments, total=False):
    """Those of a model with a configurator."""

    configurator: Required[HierarchicalConfigurator | Mapping[str, Any]]


class HierarchicalMultiModalityPerceiverNoPooling(HierarchicalMultiModalityPerceiver):
    """Returns the last layer's latents.

    Args as in `HierarchicalMultiModalityPerceiver`, without ``num_classes``; GELU is the default. ``num_latents`` and
    ``latent_dim`` are taken for release 1.4.0's sake and have no effect there nor here: the configurator decides.
    """

    @latents_only(HierarchicalMultiModalityPerceiver.__init__)
    def __init__(self, *, num_latents: int = 512, latent_dim: int = 512, **arguments: Unpack[_Arguments]) -> None:
        if (num_latents, latent_dim) != (512, 512):
            warnings.warn(
                "num_latents and latent_dim have no effect on a hierarchical model; its configurator decides",
                UserWarning,
                stacklevel=3,
            )
        super().__init__(**arguments, num_classes=None)
