"""What every model shares: inputs to contexts, contexts to latents, latents to the output; saving and loading."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.models.inputs import ModalityReader
from perceiver_pytorch.models.masks import Masks
from perceiver_pytorch.models.modalities import Coordinates, InputModality
from perceiver_pytorch.models.style import Style
from perceiver_pytorch.nn.encoder import build_layers, encode
from perceiver_pytorch.nn.init import init_latents, init_linears
from perceiver_pytorch.nn.layer import LayerParts
from perceiver_pytorch.nn.sharing import share


class PerceiverBase(ModalityReader, tags=["multimodal"]):
    """The model without its constructor arguments; `Perceiver` and the multi-modality models are assembled from it.

    Attributes:
        modalities: the declared modalities by name.
        max_modality_dim: channels of every token.
        latents: the latent array, or one per layer in the hierarchical form.
        layers: the layers.
        to_logits: the head.
        style: the `Style`.
        recompute: set it to True to train with less memory: activations inside a layer are computed again in the
            backward pass instead of kept (activation checkpointing).
    """

    latents: nn.Parameter | nn.ParameterList

    def __init__(
        self,
        *,
        modalities: Iterable[InputModality | Mapping[str, Any]],
        num_latents: Any,
        latent_dims: Sequence[int],
        cross_heads: int,
        latent_heads: int,
        cross_dim_head: int,
        latent_dim_head: int,
        num_classes: int | None,
        attn_dropout: float,
        ff_dropout: float,
        weight_tie_layers: bool,
        num_latent_blocks_per_layer: int,
        use_gelu: bool,
        style: str | Style | Mapping[str, Any],
        modality_code_dim: int | None,
        latents_per_layer: bool = False,
        embed: bool = False,
        one_hot_codes: bool = True,
        single_block: bool = False,
        fourier_encode_positions: bool = True,
    ) -> None:
        """Args as in `MultiModalityPerceiver`, and:

        num_latents: of the one latent array; with ``latents_per_layer`` a list, one number per layer.
        latent_dims: width of the latents in each layer.
        latents_per_layer: the hierarchical form.
        embed: look up modalities that have an embedding (else they are read as raw channels, as 1.4.0 does).
        one_hot_codes: give each modality a one-hot code where ``modality_code_dim`` is None.
        single_block: `Perceiver`'s layers, whose blocks' parts stand in the layer itself.
        fourier_encode_positions: give tokens their positions.
        """
        super().__init__()
        depth = len(latent_dims)
        sizes = num_latents if latents_per_layer else [num_latents]
        for name, value in (
            ("cross_heads", cross_heads),
            ("latent_heads", latent_heads),
            ("cross_dim_head", cross_dim_head),
            ("latent_dim_head", latent_dim_head),
            ("num_latent_blocks_per_layer", num_latent_blocks_per_layer),
            *(("num_latents", value) for value in sizes),
            *(("latent_dim", value) for value in latent_dims),
        ):
            _checks.positive_int(name, value)
        if num_classes is not None:
            _checks.positive_int("num_classes", num_classes)
        _checks.probability("attn_dropout", attn_dropout)
        _checks.probability("ff_dropout", ff_dropout)

        self.depth = depth
        self.num_classes = num_classes
        self.style = Style.of(style)
        self.recompute = False
        self._declare(
            modalities,
            depth=depth,
            freq_scale=self.style.freq_scale,
            embed=embed,
            one_hot_codes=one_hot_codes,
            code_dim=modality_code_dim,
            fourier_encode_positions=fourier_encode_positions,
        )
        self._record_config(style=asdict(self.style))

        arrays = [init_latents(n, dim, self.style.latent_init) for n, dim in zip(sizes, latent_dims, strict=False)]
        self.latents = nn.ParameterList(arrays) if latents_per_layer else arrays[0]
        self._init_codes()
        parts = LayerParts(
            input_dim=self.max_modality_dim,
            cross_heads=cross_heads,
            cross_dim_head=cross_dim_head,
            latent_heads=latent_heads,
            latent_dim_head=latent_dim_head,
            attn_dropout=attn_dropout,
            ff_dropout=ff_dropout,
            activation=self.style.feed_forward(use_gelu),
        )
        sharing = share(
            depth,
            num_latent_blocks_per_layer,
            tie=weight_tie_layers,
            rule=self.style.weight_sharing,
            single_block=single_block,
        )
        self.layers = build_layers(
            parts, latent_dims, sharing, double_residual=self.style.double_residual, single_block=single_block
        )
        self.to_logits: nn.Module = nn.Identity()
        if num_classes is not None:
            self.to_logits = nn.Sequential(nn.LayerNorm(latent_dims[-1]), nn.Linear(latent_dims[-1], num_classes))
        init_linears(self, self.style.linear_init)

    def forward(
        self,
        multi_modality_data: Mapping[str, Tensor],
        mask: Masks = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        coordinates: Mapping[str, Coordinates] | None = None,
        return_embeddings: bool = False,
    ) -> Tensor:
        """Runs the model on a batch that has some or all of the declared modalities.

        Args:
            multi_modality_data: per modality ``(batch, *axes, channels)``, any float or integer dtype (uint8 is read as
                it is); token ids as ``(batch, length)`` or ``(batch, length, 1)``.
            mask: bool, True = attend. A mapping ``{modality: (batch, *axes)}``, or one flat ``(batch, tokens)`` over
                all modalities in the order of their sorted names.
            present: ``{modality: (batch,)}`` bool: False where a sample lacks the modality; what its data holds there
                does not matter.
            coordinates: where tokens are that are not equally spaced, or not from -1 to 1: ``{modality: per axis None,
                (length,) for the whole batch, (batch, length), or (batch, length, count)}``, floats in [-1, 1].
                ``torch.linspace(-1, 1, length)`` is the default; a batch that was cut short brings its first values.
            return_embeddings: return the latents, whether or not there are classes.

        Returns:
            ``(batch, num_classes)``, or the latents ``(batch, num_latents, latent_dim)`` without classes. A sample
            without any token gives what the latents alone give.

        Raises:
            ValueError, TypeError: for unknown or no modalities, wrong axes, channels, batch sizes, masks, coordinates
                or token ids.
        """
        contexts = self._contexts(multi_modality_data, mask, present, coordinates)
        latents = [self.latents] if isinstance(self.latents, Tensor) else list(self.latents)
        x = encode(self.layers, latents, contexts, recompute=self.recompute)
        return x if return_embeddings else self.to_logits(self.pool(x))

    def pool(self, x: Tensor) -> Tensor:
        """Pools the latents for the head; override it to pool in another way.

        Args:
            x: ``(batch, num_latents, latent_dim)``.

        Returns:
            ``(batch, latent_dim)``, their mean (Perceiver, section 3.2); ``x`` itself in a model without classes.
        """
        return x if self.num_classes is None else x.mean(dim=-2)

    def _output_words(self) -> str:
        if self.num_classes is None:
            return "latents"
        return "one value" if self.num_classes == 1 else f"{self.num_classes} classes"
