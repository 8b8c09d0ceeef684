"""What models of several modalities have in common before their layers: declared modalities, and inputs to contexts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from perceiver_pytorch.models.streamed_input import MixedInput, StreamedInput
from perceiver_pytorch.models.summary import summarise
from perceiver_pytorch.nn.module_dict import NamedModules
from perceiver_pytorch.nn.stems import Reach, Stem, stem_config
from perceiver_pytorch.nn.stems.base import Cells
from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.precision import full_precision
from perceiver_pytorch.ops.streamed import AnyContext, StreamedContext


@dataclass(frozen=True, eq=False)
class Tokens:
    """What a model attends to of one modality, before positions and codes.

    Attributes:
        data: ``(batch, *axes, channels)``: raw, embedded, or what a stem made of them.
        mask: bool ``(batch, *axes)``, True = attend; None: all.
        coordinates: where the tokens are; None: equally spaced.
        stream: the data of tokens that come in pieces; ``data`` is empty then, and mask and coordinates are those of
            the data, before any stem.
        rows: by the number of the row the tokens of rows that come in pieces, each a batch of 1 with a ``stream``.
    """

    data: Tensor
    mask: Tensor | None = None
    coordinates: Coordinates | None = None
    stream: StreamedInput | None = None
    rows: Mapping[int, "Tokens"] = field(default_factory=dict)

    @property
    def there(self) -> Tensor:
        """bool ``(batch,)``: which rows have a token."""
        given = self.mask
        if given is None:
            return torch.ones(self.data.shape[0], dtype=torch.bool, device=self.data.device)
        there = given.flatten(1).any(1)
        if self.rows:
            there[list(self.rows)] = True
        return there


def read_by_stem(modality: InputModality, stem: nn.Module, raw: Tokens) -> Tokens:
    """What a stem makes of a modality's (embedded) data.

    Raises:
        ValueError, TypeError: if it gives tensors of other shapes or dtypes than it should.
    """
    data, mask, coordinates = stem(scaled(modality, raw.data), raw.mask, raw.coordinates)
    where, shape, channels = f"the stem of {modality.name!r} must give", tuple(data.shape), modality.data_channels
    if data.dim() != modality.input_axis + 2 or shape[-1] != channels:
        raise ValueError(f"{where} (batch, {modality.input_axis} axes, {channels} channels), got {shape}")
    if mask is not None and mask.shape != data.shape[:-1]:
        raise ValueError(f"{where} a mask {shape[:-1]}, got {tuple(mask.shape)}")
    return Tokens(data, mask, modality.check_coordinates(coordinates, shape))


def scaled(modality: InputModality, data: Tensor) -> Tensor:
    """What a stem reads of a modality's (embedded) data."""
    scale, offset = modality.affine(data.device, short=True)
    data = data if scale is None else data * scale
    return data if offset is None else data + offset


def _narrowed(tokens: Tokens, first: int, count: int) -> Tokens:
    """Some of the tokens of a batch, along the first axis."""
    places = tokens.coordinates and [
        place if place is None or axis else place.narrow(min(place.dim() - 1, 1), first, count)
        for axis, place in enumerate(tokens.coordinates)
    ]
    mask = None if tokens.mask is None else tokens.mask.narrow(1, first, count)
    return Tokens(tokens.data.narrow(1, first, count), mask, places)


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
        inputs: Mapping[str, Tensor | StreamedInput | MixedInput],
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
        data: Tensor | StreamedInput | MixedInput,
        mask: Tensor | None,
        coordinates: Coordinates | None,
    ) -> Tokens:
        if isinstance(data, StreamedInput):
            found = self._streamed(modality, data, mask, coordinates)
            self._learn_stem(modality, [found])
            return found
        if isinstance(data, MixedInput):
            rows = {
                row: self._streamed(modality, stream, None, self._places(modality, stream, data.coordinates.get(row)))
                for row, stream in data.rows.items()
            }
            raw = Tokens(data.data, mask, coordinates)
            self._learn_stem(modality, [raw, *rows.values()])
            return replace(self._stemmed(modality, raw), rows=rows)
        return self._stemmed(modality, Tokens(data, mask, coordinates))

    def _places(self, modality: InputModality, stream: StreamedInput, given: Coordinates | None) -> Coordinates | None:
        shape = stream.shape[: 1 + modality.input_axis]
        return modality.check_coordinates(given, shape) if self._encode_positions else None

    def _streamed(
        self, modality: InputModality, stream: StreamedInput, mask: Tensor | None, coordinates: Coordinates | None
    ) -> Tokens:
        self._reach(modality)  # or an error
        if self._is_embedded(modality):
            modality.token_ids(stream.like())
        else:
            _checks.input_shape(modality.name, stream.like(), modality.input_axis, modality.input_channels)
        device = self._device()
        return Tokens(torch.empty(stream.shape[0], 0, modality.data_channels, device=device), mask, coordinates, stream)

    def _device(self) -> torch.device:
        first = self.latents if isinstance(self.latents, Tensor) else self.latents[0]
        return first.device

    def _reach(self, modality: InputModality) -> Reach | None:
        """Which cells a token of the modality's stem depends on; None where there is no stem.

        Raises:
            ValueError: it may be all of them.
        """
        if modality.name not in self.stems:
            return None
        reach = getattr(self.stems[modality.name], "reach", None)
        if reach is None:
            raise ValueError(
                f"input {modality.name!r} cannot be streamed: its stem does not say by `reach` which cells a token "
                "depends on"
            )
        return reach

    def _learn_stem(self, modality: InputModality, tokens: Sequence[Tokens]) -> None:
        """Lets the stem take note of a first train batch, some of which comes in pieces."""
        if modality.name not in self.stems:
            return
        stem = self.stems[modality.name]
        if not isinstance(stem, Stem) or not stem.training:
            return

        def cells(reach: Reach) -> Iterator[Cells]:
            for each in tokens:
                if each.stream is None:
                    yield scaled(modality, each.data), each.mask, 0, (each.data.shape[1] - 1) // reach.stride + 1
                    continue
                for piece in each.stream.pieces(each.mask, None, placed=False, reach=reach):
                    yield scaled(modality, self._read(modality, piece.data)), piece.mask, piece.first, piece.count

        with full_precision(self._device()):  # statistics are not to be rounded, nor weights kept without gradient
            stem.learn(cells)

    def pieces(self, name: str, tokens: Tokens) -> Iterator[Tokens]:
        """The tokens of a modality that come in pieces, a piece at a time, after its stem.

        Args:
            name: of the modality.
            tokens: with a ``stream``.
        """
        modality, stream = self.modalities[name], tokens.stream
        assert stream is not None
        reach = self._reach(modality)
        for piece in stream.pieces(tokens.mask, tokens.coordinates, placed=self._encode_positions, reach=reach):
            found = self._stemmed(modality, Tokens(self._read(modality, piece.data), piece.mask, piece.coordinates))
            yield found if reach is None else _narrowed(found, piece.first, piece.count)

    def parameters_of(self, name: str) -> tuple[nn.Parameter, ...]:
        """The parameters that tokens of a modality are made with."""
        modules = [parts[name] for parts in (self.stems, self.embeddings if self._embed else {}) if name in parts]
        return tuple(parameter for module in modules for parameter in module.parameters())

    def contexts(self, tokens: Mapping[str, Tokens]) -> list[list[AnyContext]]:
        """Per layer, the contexts of `tokens`, in the order of the names; behind them those of rows in pieces."""
        by_modality = [self._per_layer(name, tokens[name]) for name in sorted(tokens)]
        in_pieces = [
            self._streamed_per_layer(name, each, row, len(tokens[name].data))
            for name in sorted(tokens)
            for row, each in sorted(tokens[name].rows.items())
        ]
        return [list(layer) for layer in zip(*by_modality, *in_pieces, strict=True)]

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

    def _accepted(
        self, modality: InputModality, data: Tensor | StreamedInput | MixedInput
    ) -> Tensor | StreamedInput | MixedInput:
        """What `_read` gives; a streamed input's pieces are read later."""
        if isinstance(data, StreamedInput):
            return data
        if isinstance(data, MixedInput):
            return replace(data, data=self._read(modality, data.data))
        return self._read(modality, _checks.tensor(f"input {modality.name!r}", data))

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

    def _per_layer(self, name: str, tokens: Tokens) -> Sequence[AnyContext]:
        """The modality's context in each layer: the same one, unless its channels are split over the layers."""
        if tokens.stream is not None:
            return self._streamed_per_layer(name, tokens)
        modality = self.modalities[name]
        given = modality, tokens.data, tokens.mask, tokens.coordinates
        if self._is_split(modality):
            return [self._context(*given, layer) for layer in range(self.depth)]
        return [self._context(*given, 0)] * self.depth

    def _streamed_per_layer(
        self, name: str, tokens: Tokens, row: int | None = None, batch: int = 1
    ) -> list[StreamedContext]:
        """The same of tokens in pieces: those of one row of a batch, or of all rows."""
        modality = self.modalities[name]
        data = tokens.data if row is None else tokens.data.expand(batch, -1, -1)

        def pieces(layer: int) -> Iterator[Context]:
            for piece in self.pieces(name, tokens):
                yield self._context(modality, piece.data, piece.mask, piece.coordinates, layer)

        codes = () if self.modality_codes is None else (self.modality_codes,)
        made = dict.fromkeys(self.parameters_of(name) + codes)  # each once
        return [
            StreamedContext(partial(pieces, i), self.max_modality_dim, data, (*made,), row) for i in range(self.depth)
        ]

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
