"""What every model shares: inputs to contexts, contexts to latents, latents to the output; saving and loading."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch._saving import SavedModel
from perceiver_pytorch.masks import Masks, combine_masks
from perceiver_pytorch.modalities import (
    Coordinates,
    InputModality,
    InputModalityWithEmbedding,
    make_context,
    modality_from_config,
)
from perceiver_pytorch.nn.encoder import build_layers, encode
from perceiver_pytorch.nn.init import init_latents, init_linears
from perceiver_pytorch.nn.layer import LayerParts
from perceiver_pytorch.nn.sharing import share
from perceiver_pytorch.ops import Context
from perceiver_pytorch.style import Style


class PerceiverBase(SavedModel, tags=["multimodal"]):
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
    ) -> None:
        """Args as in `MultiModalityPerceiver`, and:

        num_latents: of the one latent array; with ``latents_per_layer`` a list, one number per layer.
        latent_dims: width of the latents in each layer.
        latents_per_layer: the hierarchical form.
        embed: look up modalities that have an embedding (else they are read as raw channels, as 1.4.0 does).
        one_hot_codes: give each modality a one-hot code where ``modality_code_dim`` is None.
        single_block: `Perceiver`'s layers of four parts.
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

        self.modalities = _by_name(modalities)
        self.depth = depth
        self.num_classes = num_classes
        self.style = Style.of(style)
        self.recompute = False
        self._embed = embed
        # Codes follow the sorted names, as in release 1.4.0, whatever the order of declaration.
        self._code_index = {name: i for i, name in enumerate(sorted(self.modalities))}
        self._code_dim = len(self.modalities) if one_hot_codes else 0
        if modality_code_dim is not None:
            self._code_dim = _checks.positive_int("modality_code_dim", modality_code_dim)
        if embed:
            self.embeddings = nn.ModuleDict()
            for modality in self.modalities.values():
                if isinstance(modality, InputModalityWithEmbedding) and modality.embedding is not None:
                    modality.warn_unseen(depth)
                    # Not by item: ModuleDict refuses its methods' names, and columns are called "type" or "items".
                    self.embeddings._modules[modality.name] = modality.embedding
        self.max_modality_dim = self._code_dim + max(
            self._channels(modality) + modality.position_dim for modality in self.modalities.values()
        )
        self._record_config(modalities=[m.to_config() for m in self.modalities.values()], style=asdict(self.style))

        arrays = [init_latents(n, dim, self.style.latent_init) for n, dim in zip(sizes, latent_dims, strict=False)]
        self.latents = nn.ParameterList(arrays) if latents_per_layer else arrays[0]
        self.modality_codes: nn.Parameter | None = None
        if modality_code_dim is not None:
            codes = torch.empty(len(self.modalities), modality_code_dim)
            self.modality_codes = nn.Parameter(nn.init.trunc_normal_(codes, std=0.02))
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

        Returns:
            ``(batch, num_classes)``, or the latents ``(batch, num_latents, latent_dim)`` without classes. A sample
            without any token gives what the latents alone give.

        Raises:
            ValueError, TypeError: for unknown or no modalities, wrong axes, channels, batch sizes, masks, coordinates
                or token ids.
        """
        contexts = self._contexts(multi_modality_data, mask, present, coordinates)
        latents = [self.latents] if isinstance(self.latents, Tensor) else list(self.latents)
        return self.to_logits(self.pool(encode(self.layers, latents, contexts, recompute=self.recompute)))

    def pool(self, x: Tensor) -> Tensor:
        """Pools the latents for the head; override it to pool in another way.

        Args:
            x: ``(batch, num_latents, latent_dim)``.

        Returns:
            ``(batch, latent_dim)``, their mean (Perceiver, section 3.2); ``x`` itself in a model without classes.
        """
        return x if self.num_classes is None else x.mean(dim=-2)

    def summary(self, inputs: Mapping[str, Tensor | Sequence[int]] | None = None) -> str:
        """A few lines: parameters, latents, layers, and channels (with ``inputs``, tokens) of every modality.

        Args:
            inputs: per modality a batch, or the lengths of the axes.
        """
        from perceiver_pytorch.summary import summarise

        return summarise(self, inputs)

    def extra_repr(self) -> str:
        return self.summary()

    def _contexts(
        self,
        inputs: Mapping[str, Tensor],
        mask: Masks,
        present: Mapping[str, Tensor] | None,
        coordinates: Mapping[str, Coordinates] | None = None,
    ) -> list[list[Context]]:
        """Per layer, the contexts of the modalities given, in the order of their names."""
        if not isinstance(inputs, Mapping):
            raise TypeError(f"inputs must be a mapping of modality names to tensors, got {type(inputs).__name__}")
        if not inputs:
            raise ValueError(f"no modality given; at least one of {', '.join(self._code_index)} is needed")
        for name in inputs:
            _checks.choice("a modality of the input", name, tuple(self._code_index))
        data: dict[str, Tensor] = {}
        for name in sorted(inputs):
            data[name] = self._read(self.modalities[name], _checks.tensor(f"input {name!r}", inputs[name]))
        batches = {name: value.shape[0] for name, value in data.items()}
        first = next(iter(batches.values()))
        if any(batch != first for batch in batches.values()):
            raise ValueError(f"all modalities must have the same batch size, got {batches}")
        shapes = {name: value.shape[:-1] for name, value in data.items()}
        masks = combine_masks(shapes, mask, present, declared=tuple(self._code_index))
        places = self._coordinates(shapes, coordinates)
        by_modality = [
            self._per_layer(self.modalities[name], data[name], masks.get(name), places[name]) for name in data
        ]
        return [list(layer) for layer in zip(*by_modality, strict=True)]

    def _coordinates(
        self, shapes: Mapping[str, Sequence[int]], coordinates: Mapping[str, Coordinates] | None
    ) -> dict[str, Coordinates | None]:
        """Checked coordinates of every modality given."""
        coordinates = {} if coordinates is None else coordinates
        if not isinstance(coordinates, Mapping):
            raise TypeError(
                f"coordinates must be a mapping of modality names to a sequence, got {type(coordinates).__name__}"
            )
        for name in coordinates:
            _checks.choice("a modality of coordinates", name, tuple(shapes))
        return {
            name: self.modalities[name].check_coordinates(coordinates.get(name), shape)
            for name, shape in shapes.items()
        }

    def _read(self, modality: InputModality, data: Tensor) -> Tensor:
        """Checked raw channels, or embedded token ids, ``(batch, *axes, channels)``."""
        if self._is_embedded(modality):
            return self.embeddings[modality.name](modality.token_ids(data))
        _checks.input_shape(modality.name, data, modality.input_axis, modality.input_channels)
        return data

    def _per_layer(
        self, modality: InputModality, data: Tensor, mask: Tensor | None, coordinates: Coordinates | None
    ) -> list[Context]:
        """The modality's context in each layer: the same one, unless an embedding is split over the layers."""
        code = self._code(modality.name, data.device)

        def context(part: Tensor) -> Context:
            return make_context(
                modality,
                part,
                width=self.max_modality_dim,
                code=code,
                freq_scale=self.style.freq_scale,
                mask=mask,
                coordinates=coordinates,
            )

        if not (self._is_embedded(modality) and modality.split_embedding):
            return [context(data)] * self.depth
        return [context(modality.embedding_for_layer(data, i, self.depth)) for i in range(self.depth)]

    def _code(self, name: str, device: torch.device) -> Tensor | None:
        """What tells this modality's tokens from the others'."""
        index = self._code_index[name]
        if self.modality_codes is not None:
            return self.modality_codes[index]
        if not self._code_dim:
            return None
        return nn.functional.one_hot(torch.tensor(index, device=device), len(self._code_index)).float()

    def _is_embedded(self, modality: InputModality) -> TypeGuard[InputModalityWithEmbedding]:
        return self._embed and modality.name in self.embeddings

    def _channels(self, modality: InputModality) -> int:
        """Raw channels that a layer sees."""
        return modality.channels_in_layer(self.depth) if self._embed else modality.input_channels


def _by_name(modalities: Iterable[InputModality | Mapping[str, Any]]) -> dict[str, InputModality]:
    """Declared modalities by name, in order of declaration."""
    if isinstance(modalities, InputModality | Mapping | str) or not isinstance(modalities, Iterable):
        raise TypeError(f"modalities must be an iterable of InputModality, got {type(modalities).__name__}")
    by_name: dict[str, InputModality] = {}
    for value in modalities:
        modality = modality_from_config(value)
        if modality.name in by_name:
            raise ValueError(f"two modalities are called {modality.name!r}; names must differ")
        by_name[modality.name] = modality
    if not by_name:
        raise ValueError("modalities is empty; a model needs at least one")
    return by_name
