"""What a model needs to know about each kind of input, and how a tensor becomes a context."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.models import split_rules
from perceiver_pytorch.nn.fourier import fourier_encode, position_table
from perceiver_pytorch.nn.stems import Coordinates, stem_config, stem_from_config
from perceiver_pytorch.ops import Context


@dataclass(frozen=True)
class TokenChannels:
    """How many channels of a token are its data, its position and its modality's code; padding fills up the rest."""

    data: int
    position: int
    code: int

    @property
    def used(self) -> int:
        """All but the padding."""
        return self.data + self.position + self.code


@dataclass
class InputModality:
    """One kind of input: its channels, its axes and how their positions are encoded.

    Args:
        name: key of this modality in a model's input; may not hold a dot.
        input_channels: raw channels per token (3 for RGB, 1 for mono sound).
        input_axis: number of axes (1: sound or text, 2: image, 3: video).
        num_freq_bands: Fourier bands per axis; an axis takes ``2 * num_freq_bands + 1`` channels.
        max_freq: sampling rate to resolve along an axis; the highest band is half of it.
        freq_base: base of the logarithmic band spacing.
        scale, offset: the model sees ``data * scale + offset``; one number, or one per channel. With uint8 images,
            ``scale=2 / 255, offset=-1`` normalises to [-1, 1] without a float copy of the batch.
        coordinates_per_axis: coordinates that place a token along an axis; one number, or one per axis. More than 1
            (3 for a point cloud, whose one axis counts points in space) have no default: `forward` needs them.
        stem: a module that turns the data into the tokens that the model attends to, such as a few convolutions: see
            `perceiver_pytorch.nn.stems.Stem`. A model registers it as ``stems.<name>``. None: the data are the tokens.

    Raises:
        ValueError, TypeError: for values out of range, or a stem that does not say its ``channels``.
    """

    name: str
    input_channels: int
    input_axis: int
    num_freq_bands: int
    max_freq: float
    freq_base: float = 2
    scale: float | Sequence[float] = field(default=1.0, kw_only=True)
    offset: float | Sequence[float] = field(default=0.0, kw_only=True)
    coordinates_per_axis: int | Sequence[int] = field(default=1, kw_only=True)
    stem: nn.Module | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "." in self.name:
            raise ValueError(f"a modality's name must be a non-empty string without dots, got {self.name!r}")
        where = f"modality {self.name!r}:"
        _checks.positive_int(f"{where} input_channels", self.input_channels)
        _checks.within(f"{where} input_axis", _checks.positive_int(f"{where} input_axis", self.input_axis), most=60)
        _checks.positive_int(f"{where} num_freq_bands", self.num_freq_bands, minimum=0)
        if _checks.number32(f"{where} max_freq", self.max_freq) <= 0:
            raise ValueError(f"{where} max_freq must be positive, got {self.max_freq}")
        if _checks.number32(f"{where} freq_base", self.freq_base) <= 0 or self.freq_base == 1:
            raise ValueError(f"{where} freq_base must be positive and not 1, got {self.freq_base}")
        for key in ("scale", "offset"):
            value = getattr(self, key)
            if isinstance(value, str) or not isinstance(value, Sequence):
                _checks.number32(f"{where} {key}", value)
                continue
            setattr(self, key, tuple(_checks.number32(f"{where} each {key}", v) for v in value))
            if len(value) != self.input_channels:
                raise ValueError(f"{where} {key} must be a number or {self.input_channels} of them, got {len(value)}")
        if isinstance(self.coordinates_per_axis, Sequence) and not isinstance(self.coordinates_per_axis, str):
            self.coordinates_per_axis = tuple(self.coordinates_per_axis)
            if len(self.coordinates_per_axis) != self.input_axis:
                raise ValueError(
                    f"{where} coordinates_per_axis must be a number or {self.input_axis} of them, "
                    f"got {self.coordinates_per_axis}"
                )
        for count in self.axis_coordinates:
            _checks.positive_int(f"{where} coordinates_per_axis", count)
        if self.stem is not None:
            if not isinstance(self.stem, nn.Module):
                raise TypeError(f"{where} stem must be a torch.nn.Module, got {type(self.stem).__name__}")
            _checks.positive_int(f"{where} channels of the stem", getattr(self.stem, "channels", None))

    @property
    def axis_coordinates(self) -> tuple[int, ...]:
        """Coordinates of each axis."""
        count = self.coordinates_per_axis
        return count if isinstance(count, tuple) else (count,) * self.input_axis  # type: ignore[return-value]

    @property
    def position_dim(self) -> int:
        """Channels of the position encoding."""
        return sum(self.axis_coordinates) * (2 * self.num_freq_bands + 1)

    @property
    def input_dim(self) -> int:
        """Channels of a token without padding and modality code: its data and position encoding."""
        return self.position_dim + self.data_channels

    @property
    def data_channels(self) -> int:
        """Channels of a token's data: those of the stem, or the raw ones."""
        return self.input_channels if self.stem is None else int(self.stem.channels)  # type: ignore[arg-type]

    @property
    def is_split(self) -> bool:
        """Whether each layer sees a part of the data's channels."""
        return False

    def channels_in_layer(self, depth: int) -> int:
        """Channels of the data that one of ``depth`` layers sees."""
        return self.data_channels

    def to_config(self) -> dict[str, Any]:
        """Fields as JSON values; `modality_from_config` reads them back."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("embedding", "stem")}
        return values if self.stem is None else {**values, "stem": stem_config(self.stem)}

    def positions(
        self, axes: Sequence[int], scale: str, device: torch.device, coordinates: Coordinates | None = None
    ) -> tuple[Tensor, ...]:
        """One position table per axis, ``(length, 2 * num_freq_bands + 1)`` for each of its coordinates a token.

        Args:
            axes: length of each axis.
            scale: ``"log"`` or ``"linear"``.
            device: where the tables are made.
            coordinates: per axis None (equally spaced from -1 to 1), or what `check_coordinates` lets pass; a table is
                ``(batch, length, ...)`` where the samples have their own.
        """
        return tuple(
            position_table(length, self.max_freq, self.num_freq_bands, self.freq_base, scale, device)
            if given is None
            else self._own_table(given, count, scale, device)
            for length, count, given in zip(
                axes, self.axis_coordinates, coordinates or (None,) * len(axes), strict=True
            )
        )

    def check_coordinates(self, given: Any, shape: Sequence[int]) -> Coordinates | None:
        """``given``, if it fits data of ``shape`` ``(batch, *axes)``.

        Raises:
            TypeError, ValueError: for another number of axes, wrong shapes or dtypes, coordinates that are not finite
                (only checked where values are known), or none where an axis has more than one.
        """
        where = f"coordinates of {self.name!r}"
        given = (None,) * self.input_axis if given is None else given
        if isinstance(given, Tensor) or not isinstance(given, Sequence) or len(given) != self.input_axis:
            raise TypeError(
                f"{where} must be a sequence with a tensor or None per axis ({self.input_axis}), got {given!r}"
            )
        for axis, (value, count) in enumerate(zip(given, self.axis_coordinates, strict=True)):
            length, place = shape[1 + axis], f"{where}, axis {axis},"
            if value is None:
                if count > 1:
                    raise ValueError(f"{place} are needed: it has {count} per token, which have no default")
                continue
            if not _checks.tensor(place, value).is_floating_point():
                raise TypeError(f"{place} must be floating point, got {value.dtype}")
            allowed = [(shape[0], length, count)] + ([(length,), (shape[0], length)] if count == 1 else [])
            same_axes = [each for each in allowed if len(each) == value.dim()]  # others would be compared in part
            if tuple(value.shape) not in same_axes:
                raise ValueError(f"{place} must be {' or '.join(map(str, allowed))}, got {tuple(value.shape)}")
            if is_eager(value) and not value.isfinite().all():
                raise ValueError(f"{place} must be finite, also where the mask is False")
        return given

    def _own_table(self, coordinates: Tensor, count: int, scale: str, device: torch.device) -> Tensor:
        """Fourier features of given coordinates, in torch's default dtype as those of the default ones."""
        values = coordinates.to(device=device, dtype=torch.get_default_dtype())
        if count > 1:  # (batch, length, count, features) -> one row per token
            return fourier_encode(values, self.max_freq, self.num_freq_bands, self.freq_base, scale).flatten(-2)
        values = values.squeeze(-1) if values.dim() == 3 else values
        return fourier_encode(values, self.max_freq, self.num_freq_bands, self.freq_base, scale)

    def affine(self, device: torch.device, *, short: bool = False) -> tuple[Tensor | None, Tensor | None]:
        """Per-channel scale and offset ``(input_channels,)``, or None where they change nothing.

        Args:
            device: of both.
            short: one number where all channels have the same, by which large data are multiplied sooner.
        """
        scale, offset = _each_channel(self.scale, self.input_channels), _each_channel(self.offset, self.input_channels)
        if short:
            scale, offset = (each[:1] if len(set(each)) == 1 else each for each in (scale, offset))
        like: Any = {"dtype": torch.get_default_dtype(), "device": device}  # of whole numbers too
        return (
            None if set(scale) == {1.0} else torch.tensor(scale, **like),
            None if set(offset) == {0.0} else torch.tensor(offset, **like),
        )


@dataclass
class InputModalityWithEmbedding(InputModality):
    """A modality of token ids, looked up in an embedding of which each layer sees a part.

    Args:
        embedding: the embedding; a model registers it as ``embeddings.<name>``. None: the modality is read as its raw
            channels, like an `InputModality`.
        split_embedding: True (release 1.4.0): layer i of depth layers sees chunk i, of ``embedding_dim // depth``
            channels; channels that remain are seen by no layer, which is warned about. False: every layer sees the
            whole embedding. What a stem makes without an embedding is split in the same way.
        split_rule: which channels a layer sees of an embedding that is split: its ``"chunks"``; a ``"shared"`` chunk
            and one of its own; chunks of a fixed random order of the channels, ``"permuted"``.

    ``input_channels`` of a modality with an embedding is that of its input, 1.
    """

    embedding: nn.Embedding | None = None
    split_embedding: bool = field(default=True, kw_only=True)
    split_rule: str = field(default="chunks", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.choice(f"modality {self.name!r}: split_rule", self.split_rule, split_rules.RULES)
        if self.embedding is None:
            return
        if not isinstance(self.embedding, nn.Embedding):
            raise TypeError(
                f"modality {self.name!r}: embedding must be a torch.nn.Embedding, got {type(self.embedding).__name__}"
            )
        if self.input_axis != 1:
            raise ValueError(
                f"modality {self.name!r}: an embedding goes with one axis (token ids), got input_axis={self.input_axis}"
            )
        if (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError(f"modality {self.name!r}: scale and offset do not apply to token ids")

    @property
    def data_channels(self) -> int:
        if self.stem is not None or self.embedding is None:
            return super().data_channels
        return self.embedding.embedding_dim

    @property
    def is_split(self) -> bool:
        return self.split_embedding and not (self.embedding is None and self.stem is None)

    def channels_in_layer(self, depth: int) -> int:
        if not self.is_split:
            return self.data_channels
        return split_rules.channels_in_layer(self.split_rule, self.data_channels, depth)

    def embedding_dim(self, depth: int) -> int:
        """Channels of a token in one of ``depth`` layers, without padding and modality code."""
        return self.channels_in_layer(depth) + self.position_dim

    def embedding_for_layer(
        self, embedded: Float[Tensor, "batch *axes channels"], layer_index: int, depth: int
    ) -> Float[Tensor, "batch *axes part"]:
        """The channels of ``embedded`` that layer ``layer_index`` sees."""
        if not self.is_split:
            return embedded
        return embedded[..., split_rules.seen_channels(self.split_rule, self.data_channels, depth, layer_index)]

    def maybe_embed(self, data: Shaped[Tensor, "batch *shape"]) -> Shaped[Tensor, "batch *axes channels"]:
        """Looks up token ids ``(batch, length)`` or ``(batch, length, 1)``; data without an embedding passes through.

        Raises:
            TypeError: if the ids are no integers.
            ValueError: for another shape, or ids outside the embedding (only checked where values are known).
        """
        return data if self.embedding is None else self.embedding(self.token_ids(data))

    def token_ids(self, data: Shaped[Tensor, "batch *axes"]) -> Int[Tensor, "batch length"]:
        """Checked ids ``(batch, length)`` int64, from those or ``(batch, length, 1)``; raises as `maybe_embed`."""
        where = f"input {self.name!r}"
        if data.dtype.is_floating_point or data.dtype.is_complex or data.dtype == torch.bool:
            raise TypeError(f"{where} must hold integer token ids, got {data.dtype}")
        if not (data.dim() == 2 or (data.dim() == 3 and data.shape[-1] == 1)) or 0 in data.shape[1:]:
            raise ValueError(
                f"{where} must be token ids of shape (batch, length) or (batch, length, 1), got {tuple(data.shape)}"
            )
        ids = data.reshape(data.shape[:2]).long()
        if is_eager(ids):
            self._check_range(ids)
        return ids

    def warn_unseen(self, depth: int) -> None:
        """Warns if the embedding's last channels are seen by no layer."""
        if not self.is_split:
            return
        size, chunks = self.data_channels, split_rules.num_chunks(self.split_rule, depth)
        if size < chunks:
            raise ValueError(
                f"modality {self.name!r}: an embedding of {size} channels cannot be split over {chunks} layers"
                if chunks == depth
                else f"modality {self.name!r}: an embedding of {size} channels cannot be split into {chunks} chunks"
            )
        if size % chunks:
            what = "layers" if chunks == depth else "chunks"
            warnings.warn(
                f"modality {self.name!r}: {size} embedding channels over {chunks} {what} are {size // chunks} each; "
                f"the last {size % chunks} are seen by no layer. Use a multiple of {chunks}, or split_embedding=False.",
                UserWarning,
                stacklevel=4,
            )

    def to_config(self) -> dict[str, Any]:
        values = super().to_config()
        if self.split_rule == "chunks":  # earlier versions know no other
            del values["split_rule"]
        if self.embedding is not None:
            embedding = self.embedding
            values["embedding"] = {
                "num_embeddings": embedding.num_embeddings,
                "embedding_dim": embedding.embedding_dim,
                "padding_idx": embedding.padding_idx,
            }
        return values

    def _check_range(self, ids: Int[Tensor, "batch length"]) -> None:
        assert self.embedding is not None
        size = self.embedding.num_embeddings
        wrong = ((ids < 0) | (ids >= size)).nonzero()
        if wrong.numel():
            sample, position = wrong[0].tolist()
            raise ValueError(
                f"input {self.name!r}: token id {int(ids[sample, position])} at sample {sample}, position {position} "
                f"is outside the embedding, which has ids 0 to {size - 1}"
            )


def modality_from_config(value: InputModality | Mapping[str, Any]) -> InputModality:
    """A modality from `InputModality.to_config`'s mapping; a modality passes through.

    Raises:
        TypeError: for anything else.
        ValueError: for unknown fields.
    """
    if isinstance(value, InputModality):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(f"a modality must be an InputModality or a mapping of its fields, got {type(value).__name__}")
    known = [f.name for f in fields(InputModalityWithEmbedding)]
    config = dict(_checks.known_keys("a modality", value, known))
    if isinstance(config.get("stem"), Mapping):
        config["stem"] = stem_from_config(config["stem"])
    if not {"embedding", "split_embedding"} & config.keys():
        return InputModality(**config)
    embedding = config.get("embedding")
    if isinstance(embedding, Mapping):
        keys = ("num_embeddings", "embedding_dim", "padding_idx")
        config["embedding"] = nn.Embedding(**_checks.known_keys("an embedding", embedding, keys))
    return InputModalityWithEmbedding(**config)


def modality_encoding(
    batch_size: int,
    axes: Sequence[int],
    modality_index: int,
    num_modalities: int,
    device: torch.device | str = torch.device("cpu"),  # noqa: B008  (release 1.4.0's signature; immutable)
) -> Float[Tensor, "batch *axes modalities"]:
    """One-hot code of a modality for every token, ``(batch_size, *axes, num_modalities)`` (a view: no memory).

    Models give the code to the context once instead; this is for code that builds input arrays itself.
    """
    one_hot = torch.eye(num_modalities, device=device)[modality_index]
    return one_hot.expand(batch_size, *axes, num_modalities)


def make_context(
    modality: InputModality,
    data: Shaped[Tensor, "batch *axes channels"],
    *,
    width: int,
    code: Float[Tensor, " code"] | None,
    freq_scale: str,
    mask: Tensor | None = None,
    coordinates: Coordinates | None = None,
    encode_positions: bool = True,
) -> Context:
    """The context of one modality's (embedded) data, or of what its stem made of them, padded to ``width`` channels.

    Args:
        modality: whose data it is.
        data: ``(batch, *axes, channels)``.
        width: channels of every token of the model.
        code: modality code, or None.
        freq_scale: ``"log"`` or ``"linear"``.
        mask: ``(batch, *axes)`` bool or None.
        coordinates: where the tokens are, see `Coordinates`; None: equally spaced.
        encode_positions: False: tokens without positions.
    """
    scale, offset = modality.affine(data.device) if modality.stem is None else (None, None)
    code_dim = 0 if code is None else code.shape[0]
    tables: tuple[Tensor, ...] = ()
    if encode_positions:
        tables = modality.positions(data.shape[1:-1], freq_scale, data.device, coordinates)
    return Context(
        data,
        tables=tables,
        code=code,
        padding=width - data.shape[-1] - sum(table.shape[-1] for table in tables) - code_dim,
        mask=mask,
        scale=scale,
        offset=offset,
    )


def _each_channel(value: float | Sequence[float], channels: int) -> Sequence[float]:
    return value if isinstance(value, Sequence) else (value,) * channels
