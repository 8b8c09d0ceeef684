"""What models of several modalities have in common before their layers: declared modalities, and inputs to contexts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.models.masks import Masks, combine_masks
from perceiver_pytorch.models.modalities import (
    Coordinates,
    InputModality,
    InputModalityWithEmbedding,
    TokenChannels,
    make_context,
    modality_from_config,
)
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.models.streamed_input import StreamedInput
from perceiver_pytorch.models.summary import summarise
from perceiver_pytorch.nn.module_dict import NamedModules
from perceiver_pytorch.nn.stems import Stem, stem_config
from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.streamed import AnyContext, StreamedContext


@dataclass(frozen=True, eq=False)
class Tokens:
    """What a model attends to of one modality, before positions and codes.

    Attributes:
        data: ``(batch, *axes, channels)``: raw, embedded, or what a stem made of them.
        mask: bool ``(batch, *axes)``, True = attend; None: all.
        coordinates: where the tokens are; None: equally spaced.
        stream: the data of tokens that come in pieces; ``data`` is empty then.
    """

    data: Tensor
    mask: Tensor | None = None
    coordinates: Coordinates | None = None
    stream: StreamedInput | None = None


def read_by_stem(modality: InputModality, stem: nn.Module, raw: Tokens) -> Tokens:
    """What a stem makes of a modality's (embedded) data.

    Raises:
        ValueError, TypeError: if it gives tensors of other shapes or dtypes than it should.
    """
    scale, offset = modality.affine(raw.data.device, short=True)
    data = raw.data if scale is None else raw.data * scale
    data = data if offset is None else data + offset
    data, mask, coordinates = stem(data, raw.mask, raw.coordinates)
    where, shape, channels = f"the stem of {modality.name!r} must give", tuple(data.shape), modality.data_channels
    if data.dim() != modality.input_axis + 2 or shape[-1] != channels:
        raise ValueError(f"{where} (batch, {modality.input_axis} axes, {channels} channels), got {shape}")
    if mask is not None and mask.shape != data.shape[:-1]:
        raise ValueError(f"{where} a mask {shape[:-1]}, got {tuple(mask.shape)}")
    return Tokens(data, mask, modality.check_coordinates(coordinates, shape))


class ModalityReader(SavedModel):
    """A model that reads declared modalities as structured contexts.

    Attributes:
        modalities: the declared modalities by name.
        max_modality_dim: channels of every token.
        depth: number of layers that read.
        code_dim: channels of a token that tell its modality.
        stems: the stems by name of the modality.
        code_index: the place of every modality's code, by name.
        modality_codes: learned codes ``(modalities, code_dim)`` in the order of the sorted names, or None.
    """

    depth: int
    latents: nn.Parameter | nn.ParameterList
    modality_codes: nn.Parameter | None
    stems: Mapping[str, nn.Module] | NamedModules

    def _declare(
        self,
        modalities: Iterable[InputModality | Mapping[str, Any]],
        *,
        depth: int,
        freq_scale: str,
        embed: bool,
        one_hot_codes: bool | None,
        code_dim: int | None,
        fourier_encode_positions: bool,
    ) -> None:
        """Sets up what is declared; `_init_codes` makes the learned codes.

        Args:
            modalities: the kinds of input.
            depth: number of layers, over which embeddings may be split.
            freq_scale: spacing of the Fourier bands.
            embed: look up modalities that have an embedding (else they are read as raw channels, as 1.4.0 does).
            one_hot_codes: give each modality a one-hot code where ``code_dim`` is None; None: if there are several.
            code_dim: width of a learned code per modality, or None.
            fourier_encode_positions: give tokens their positions.
        """
        self.modalities = _checks.by_name("modalities", modalities, InputModality, modality_from_config)
        if not self.modalities:
            raise ValueError("modalities is empty; a model needs at least one")
        self.depth = depth
        self._freq_scale, self._encode_positions, self._embed = freq_scale, fourier_encode_positions, embed
        # Codes follow the sorted names, as in release 1.4.0, whatever the order of declaration.
        self.code_index = {name: i for i, name in enumerate(sorted(self.modalities))}
        self._learned_codes = code_dim is not None
        coded = len(self.modalities) > 1 if one_hot_codes is None else one_hot_codes
        self.code_dim = len(self.modalities) if coded else 0
        if code_dim is not None:
            self.code_dim = _checks.positive_int("modality_code_dim", code_dim)
        if embed:
            self.embeddings = NamedModules()
            for modality in self.modalities.values():
                if isinstance(modality, InputModalityWithEmbedding):
                    modality.warn_unseen(depth)
                    if modality.embedding is not None:
                        self.embeddings[modality.name] = modality.embedding
        stems = {name: modality.stem for name, modality in self.modalities.items() if modality.stem is not None}
        for i, stem in enumerate(stems.values()):
            if isinstance(stem, Stem):
                stem.join(list(stems.values())[:i])
        self.stems = NamedModules(stems) if stems else {}  # without any, a model has the modules of 1.4.0
        self.max_modality_dim = max(self.token_channels(name).used for name in self.modalities)
        self._record_config(modalities=[m.to_config() for m in self.modalities.values()])

    def _init_codes(self) -> None:
        """Makes the learned modality codes, where there are any."""
        self.modality_codes = None
        if self._learned_codes:
            codes = torch.empty(len(self.modalities), self.code_dim)
            self.modality_codes = nn.Parameter(nn.init.trunc_normal_(codes, std=0.02))

    def summary(self, inputs: Mapping[str, Tensor | Sequence[int]] | None = None) -> str:
        """A few lines: parameters, latents, layers, and channels (with ``inputs``, tokens) of every modality.

        Args:
            inputs: per modality a batch, or the lengths of the axes.
        """
        return summarise(self, inputs, output=self._output_words())

    def token_channels(self, name: str) -> TokenChannels:
        """What the channels of modality ``name``'s tokens are, as a layer reads them."""
        modality = self.modalities[name]
        data = modality.channels_in_layer(self.depth)
        if not self._embed:  # embeddings are not looked up, and nothing is split
            data = modality.input_channels if modality.stem is None else modality.data_channels
        return TokenChannels(data, modality.position_dim if self._encode_positions else 0, self.code_dim)

    def extra_repr(self) -> str:
        return self.summary()

    def _output_words(self) -> str:
        """What the model gives, for its summary."""
        raise NotImplementedError

    def tokens(
        self,
        inputs: Mapping[str, Tensor | StreamedInput],
        mask: Masks = None,
        present: Mapping[str, Tensor] | None = None,
        coordinates: Mapping[str, Coordinates] | None = None,
    ) -> dict[str, Tokens]:
        """The tokens of the modalities given, in the order of their names: raw, embedded, or after their stems.

        Args and errors as in the model's ``forward``.
        """
        if not isinstance(inputs, Mapping):
            raise TypeError(f"inputs must be a mapping of modality names to tensors, got {type(inputs).__name__}")
        if not inputs:
            raise ValueError(f"no modality given; at least one of {', '.join(self.code_index)} is needed")
        for name in inputs:
            _checks.choice("a modality of the input", name, tuple(self.code_index))
        data = {name: self._accepted(self.modalities[name], inputs[name]) for name in sorted(inputs)}
        batches = {name: value.shape[0] for name, value in data.items()}
        first = next(iter(batches.values()))
        if any(batch != first for batch in batches.values()):
            raise ValueError(f"all modalities must have the same batch size, got {batches}")
        shapes = {name: value.shape[: 1 + self.modalities[name].input_axis] for name, value in data.items()}
        masks = combine_masks(shapes, mask, present, declared=tuple(self.code_index))
        places = self._coordinates(shapes, coordinates)
        return {
            name: self._tokens(self.modalities[name], value, masks.get(name), places[name])
            for name, value in data.items()
        }

    def _tokens(
        self,
        modality: InputModality,
        data: Tensor | StreamedInput,
        mask: Tensor | None,
        coordinates: Coordinates | None,
    ) -> Tokens:
        if isinstance(data, StreamedInput):
            return Tokens(torch.empty(data.shape[0], 0, modality.input_channels), mask, coordinates, data)
        return self._stemmed(modality, Tokens(data, mask, coordinates))

    def contexts(self, tokens: Mapping[str, Tokens]) -> list[list[AnyContext]]:
        """Per layer, the contexts of `tokens`, in the order of the names."""
        by_modality = [self._per_layer(self.modalities[name], tokens[name]) for name in sorted(tokens)]
        return [list(layer) for layer in zip(*by_modality, strict=True)]

    def _contexts(
        self,
        inputs: Mapping[str, Tensor],
        mask: Masks,
        present: Mapping[str, Tensor] | None,
        coordinates: Mapping[str, Coordinates] | None = None,
    ) -> list[list[AnyContext]]:
        """Per layer, the contexts of the modalities given, in the order of their names."""
        return self.contexts(self.tokens(inputs, mask, present, coordinates))

    def _coordinates(
        self, shapes: Mapping[str, Sequence[int]], coordinates: Mapping[str, Coordinates] | None
    ) -> dict[str, Coordinates | None]:
        """Checked coordinates of every modality given."""
        coordinates = {} if coordinates is None else coordinates
        if coordinates and not self._encode_positions:
            raise ValueError("coordinates were given, but this model encodes no positions")
        if not isinstance(coordinates, Mapping):
            raise TypeError(
                f"coordinates must be a mapping of modality names to a sequence, got {type(coordinates).__name__}"
            )
        for name in coordinates:
            _checks.choice("a modality of coordinates", name, tuple(shapes))
        if not self._encode_positions:
            return dict.fromkeys(shapes)
        return {
            name: self.modalities[name].check_coordinates(coordinates.get(name), shape)
            for name, shape in shapes.items()
        }

    def _accepted(self, modality: InputModality, data: Tensor | StreamedInput) -> Tensor | StreamedInput:
        """What `_read` gives; of a streamed input, whose pieces are read later, only the shape is checked."""
        if not isinstance(data, StreamedInput):
            return self._read(modality, _checks.tensor(f"input {modality.name!r}", data))
        if modality.name in self.stems:
            raise ValueError(
                f"input {modality.name!r} cannot be streamed: its stem would not see across the pieces' borders"
            )
        if self._is_embedded(modality):
            modality.token_ids(data.like())
        else:
            _checks.input_shape(modality.name, data.like(), modality.input_axis, modality.input_channels)
        return data

    def _read(self, modality: InputModality, data: Tensor) -> Tensor:
        """Checked raw channels, or embedded token ids, ``(batch, *axes, channels)``."""
        if self._is_embedded(modality):
            return self.embeddings[modality.name](modality.token_ids(data))
        _checks.input_shape(modality.name, data, modality.input_axis, modality.input_channels)
        return data

    def _stemmed(self, modality: InputModality, raw: Tokens) -> Tokens:
        """What the modality's stem makes of its (embedded) data; without one the data as they are."""
        if modality.name not in self.stems:
            return raw
        found = read_by_stem(modality, self.stems[modality.name], raw)
        return found if self._encode_positions else Tokens(found.data, found.mask)

    def _check_saveable(self) -> None:
        """That a saved configuration can name every stem.

        Raises:
            TypeError: if it cannot.
        """
        for name, stem in self.stems.items():
            if "name" not in stem_config(stem):
                raise TypeError(
                    f"the stem of {name!r} is a {type(stem).__name__}, which a saved model cannot name: make it a "
                    "perceiver_pytorch.nn.stems.Stem that is registered under the entry point group perceiver.stems, "
                    "or keep the model's state_dict() instead"
                )

    def _per_layer(self, modality: InputModality, tokens: Tokens) -> Sequence[AnyContext]:
        """The modality's context in each layer: the same one, unless its channels are split over the layers."""
        if tokens.stream is not None:
            return self._streamed_per_layer(modality, tokens, tokens.stream)
        given = modality, tokens.data, tokens.mask, tokens.coordinates
        if self._is_split(modality):
            return [self._context(*given, layer) for layer in range(self.depth)]
        return [self._context(*given, 0)] * self.depth

    def _streamed_per_layer(
        self, modality: InputModality, tokens: Tokens, stream: StreamedInput
    ) -> list[StreamedContext]:
        def pieces(layer: int) -> Iterator[Context]:
            for data, mask, places in stream.pieces(tokens.mask, tokens.coordinates, placed=self._encode_positions):
                yield self._context(modality, self._read(modality, data), mask, places, layer)

        return [StreamedContext(partial(pieces, i), self.max_modality_dim, tokens.data) for i in range(self.depth)]

    def _is_split(self, modality: InputModality) -> TypeGuard[InputModalityWithEmbedding]:
        """Whether each layer sees other channels of the modality."""
        return self._embed and isinstance(modality, InputModalityWithEmbedding) and modality.is_split

    def _context(
        self,
        modality: InputModality,
        data: Tensor,
        mask: Tensor | None,
        coordinates: Coordinates | None,
        layer: int,
    ) -> Context:
        """What a layer attends to of the modality's (embedded) data."""
        return make_context(
            modality,
            modality.embedding_for_layer(data, layer, self.depth) if self._is_split(modality) else data,
            width=self.max_modality_dim,
            code=self._code(modality.name, data.device),
            freq_scale=self._freq_scale,
            mask=mask,
            coordinates=coordinates,
            encode_positions=self._encode_positions,
        )

    def _code(self, name: str, device: torch.device) -> Tensor | None:
        """What tells this modality's tokens from the others'."""
        index = self.code_index[name]
        if self.modality_codes is not None:
            return self.modality_codes[index]
        if not self.code_dim:
            return None
        return nn.functional.one_hot(torch.tensor(index, device=device), len(self.code_index)).float()

    def _is_embedded(self, modality: InputModality) -> TypeGuard[InputModalityWithEmbedding]:
        return self._embed and modality.name in self.embeddings
