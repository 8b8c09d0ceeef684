"""What every model shares: inputs to contexts, contexts to latents, latents to the output; saving and loading."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.models.inputs import ModalityReader, Tokens
from perceiver_pytorch.models.masks import Masks
from perceiver_pytorch.models.modalities import Coordinates, InputModality
from perceiver_pytorch.models.streamed_input import StreamedInput
from perceiver_pytorch.models.style import Style
from perceiver_pytorch.nn.encoder import encode
from perceiver_pytorch.nn.init import init_latents, init_linears
from perceiver_pytorch.nn.layer import LayerParts, build_layers
from perceiver_pytorch.nn.plain import held
from perceiver_pytorch.nn.sharing import share
from perceiver_pytorch.nn.sizes import Sizes


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
        sizes: Sizes,
        latent_shapes: Sequence[tuple[int, int]] | None = None,
        num_classes: int | None,
        use_gelu: bool,
        style: str | Style | Mapping[str, Any],
        modality_code_dim: int | None,
        embed: bool = False,
        one_hot_codes: bool = True,
        single_block: bool = False,
        fourier_encode_positions: bool = True,
    ) -> None:
        """Args as in `MultiModalityPerceiver`, and:

        sizes: all numbers of latents, layers, heads and channels.
        latent_shapes: number and width of each layer's own latents (hierarchical form); None: one array for all layers.
        embed: look up modalities that have an embedding (else they are read as raw channels, as 1.4.0 does).
        one_hot_codes: give each modality a one-hot code where ``modality_code_dim`` is None.
        single_block: `Perceiver`'s layers, whose blocks' parts stand in the layer itself.
        fourier_encode_positions: give tokens their positions.
        """
        super().__init__()
        for num_latents, latent_dim in latent_shapes or ():
            _checks.positive_int("num_latents", num_latents)
            _checks.positive_int("latent_dim", latent_dim)
        if num_classes is not None:
            _checks.positive_int("num_classes", num_classes)
        self.num_classes = num_classes
        widening = sizes.widening_factor
        self.style = Style.of(style) if widening is None else Style.of(style, widening_factor=widening)
        self.recompute = False
        self._declare(
            modalities,
            depth=sizes.depth,
            freq_scale=self.style.freq_scale,
            embed=embed,
            one_hot_codes=one_hot_codes,
            code_dim=modality_code_dim,
            fourier_encode_positions=fourier_encode_positions,
        )
        self._record_config(style=asdict(self.style))
        shapes = list(latent_shapes or [(sizes.num_latents, sizes.latent_dim)] * sizes.depth)
        arrays = [init_latents(*shape, self.style.latent_init) for shape in (shapes if latent_shapes else shapes[:1])]
        self.latents = nn.ParameterList(arrays) if latent_shapes else arrays[0]
        self._init_codes()
        latent_dims = [dim for _, dim in shapes]
        self.layers = self._build_layers(sizes, latent_dims, self.style.feed_forward(use_gelu), single_block)
        self.to_logits: nn.Module = nn.Identity()
        if num_classes is not None:
            self.to_logits = nn.Sequential(nn.LayerNorm(latent_dims[-1]), nn.Linear(latent_dims[-1], num_classes))
        init_linears(self, self.style.linear_init)

    def _build_layers(
        self, sizes: Sizes, latent_dims: Sequence[int], activation: str, single_block: bool
    ) -> nn.ModuleList:
        style = self.style
        parts = LayerParts(
            sizes=sizes,
            input_dim=self.max_modality_dim,
            activation=activation,
            widening_factor=style.widening_factor,
        )
        sharing = share(
            sizes.depth,
            sizes.num_latent_blocks_per_layer,
            tie=sizes.weight_tie_layers,
            rule=style.weight_sharing,
            single_block=single_block,
        )
        return build_layers(
            parts, latent_dims, sharing, double_residual=style.double_residual, single_block=single_block
        )

    def forward(
        self,
        multi_modality_data: Mapping[str, Tensor | StreamedInput],
        mask: Masks = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        coordinates: Mapping[str, Coordinates] | None = None,
        return_embeddings: bool = False,
    ) -> Tensor:
        """Runs the model on a batch that has some or all of the declared modalities.

        Args:
            multi_modality_data: per modality ``(batch, *axes, channels)``, any float or integer dtype (uint8 is read as
                it is); token ids as ``(batch, length)`` or ``(batch, length, 1)``. Or a `StreamedInput`.
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
        tokens = self.tokens(multi_modality_data, mask, present, coordinates)
        return self.latents_of(tokens) if return_embeddings else self.answers_of(tokens)

    def answers_of(self, tokens: Mapping[str, Tokens]) -> Tensor:
        """What `forward` gives, of what `tokens` gave; modalities may be left out of it."""
        return self.to_logits(self.pool(self.latents_of(tokens)))

    def latents_of(self, tokens: Mapping[str, Tokens]) -> Tensor:
        """The latents ``(batch, num_latents, latent_dim)`` that have read what `tokens` gave."""
        contexts = self.contexts(tokens)
        data = contexts[0][0].data
        own = [self.latents] if isinstance(self.latents, Tensor) else [held("latents", x, data) for x in self.latents]
        x = own[0].expand(data.shape[0], -1, -1)
        steps = [partial(layer, context=context) for layer, context in zip(self.layers, contexts, strict=True)]
        return encode(x, steps, own_latents=own, recompute=self.recompute)

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
