"""Samples to arrays of a batch: one per modality, and masks only where something is missing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from perceiver_pytorch.data.dataset import Sample
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.input_spec import InputSpec
from perceiver_pytorch.data.kinds.base import Encoded, ModalitySpec
from perceiver_pytorch.data.kinds.long_cells import RowPieces


@dataclass(frozen=True, eq=False)
class Stacked:
    """The arrays of a batch of samples.

    Attributes:
        inputs: {modality: (batch, *axes, channels)}, uint8 for images, float32 for sounds and numbers; for text and
            categories int64 ids (batch, length) or (batch, columns). Every modality is there; missing cells are zeros.
        masks: {modality: bool (batch, *axes)}, True where a token is real, for modalities where some are not.
        targets: {target: int64 (batch,) classes, -1 where unknown; float32 (batch, labels) of 0 and 1 or (batch,)
            standardised numbers, NaN where unknown}.
        rows: int64 (batch,), row numbers in the table.
        pieces: {modality: {place in the batch: what is read in pieces}}; the values of such a row are missing from
            ``inputs``, and its mask is False.
        coordinates: {modality: per axis None, or where the tokens are}, float32 (length,) for the whole batch, (batch,
            length), or (batch, length, count), for modalities that are not equally spaced from -1 to 1 in this batch.
    """

    inputs: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]
    rows: np.ndarray
    coordinates: dict[str, tuple[np.ndarray | None, ...]]
    pieces: dict[str, dict[int, "Long"]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Long:
    """A modality of a row that is read in pieces, and where its tokens are, as in `Stacked`."""

    pieces: RowPieces
    coordinates: tuple[np.ndarray | None, ...]


def stack(samples: Sequence[Sample], spec: InputSpec) -> Stacked:
    """Stack samples; each modality is as long as its longest sample, and masked where a sample is shorter or lacks it.

    Tokens keep their places when a batch is shorter than the modality: a row's result does not depend on its batch.

    Raises:
        DataError: there is no sample.
    """
    if not samples:
        raise DataError("a batch needs one sample at least, got none")
    batch = Stacked({}, {}, {}, np.array([sample.row for sample in samples], dtype=np.int64), {})
    for modality in spec.modalities:
        name = modality.name
        every = [sample.inputs[name] for sample in samples]
        long = {place: each.pieces for place, each in enumerate(every) if each is not None and each.pieces is not None}
        encoded = [None if place in long else each for place, each in enumerate(every)]
        if long:
            batch.pieces[name] = {place: _long(pieces, modality) for place, pieces in long.items()}
        lengths = _lengths(encoded, modality)
        batch.inputs[name], mask = _padded(encoded, modality, lengths)
        if not mask.all():
            batch.masks[name] = mask
        coordinates = tuple(_places(encoded, modality, axis, length) for axis, length in enumerate(lengths))
        if any(axis is not None for axis in coordinates):
            batch.coordinates[name] = coordinates
    for target in spec.targets:
        values = np.stack([sample.targets[target.name] for sample in samples])
        batch.targets[target.name] = values.astype(target.dtype)
    return batch


def _long(pieces: RowPieces, modality: ModalitySpec) -> Long:
    lengths = pieces.shape[: len(modality.axes)]
    return Long(pieces, tuple(common_places(modality, axis, length) for axis, length in enumerate(lengths)))


def evenly_spaced(length: int) -> np.ndarray:
    """float32 ``(length,)`` from -1 to 1, with the bits of ``torch.linspace``: it starts from either end, and rounds a
    product and a sum once."""
    step = np.float64(np.float32(2.0) / np.float32(max(length - 1, 1)))
    place = np.arange(length)
    return np.where(place < max(length // 2, 1), step * place - 1.0, 1.0 - step * (length - 1 - place)).astype(
        np.float32
    )


def _lengths(encoded: Sequence[Encoded | None], modality: ModalitySpec) -> tuple[int, ...]:
    """Length of each axis in the batch; 1 where no sample has the modality."""
    shapes = [sample.values.shape for sample in encoded if sample is not None]
    return tuple(max((shape[axis] for shape in shapes), default=1) for axis in range(len(modality.axes)))


def _padded(
    encoded: Sequence[Encoded | None], modality: ModalitySpec, lengths: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The values of all samples, and where they are real."""
    values = np.zeros((len(encoded), *lengths, *modality.shape[len(lengths) :]), dtype=modality.dtype)
    mask = np.zeros((len(encoded), *lengths), dtype=bool)
    for i, sample in enumerate(encoded):
        if sample is not None:
            region = tuple(slice(length) for length in sample.values.shape[: len(lengths)])
            values[i][region] = sample.values
            mask[i][region] = True if sample.mask is None else sample.mask
    return values, mask


def common_places(modality: ModalitySpec, axis: int, length: int) -> np.ndarray | None:
    """Where the first tokens of an axis are that has no coordinates of its own; None as of `_places`."""
    grid, whole = modality.grid(axis), modality.axes[axis]
    if grid is None:
        return None if length == whole else evenly_spaced(whole)[:length]
    return grid[:length]


def _places(encoded: Sequence[Encoded | None], modality: ModalitySpec, axis: int, length: int) -> np.ndarray | None:
    """Where the tokens of an axis are; None where they are equally spaced from -1 to 1."""
    count = modality.own_coordinates[axis]
    if not count:
        return common_places(modality, axis, length)
    places = np.zeros((len(encoded), length, count), dtype=np.float32)
    for i, sample in enumerate(encoded):
        if sample is not None:
            assert sample.coordinates is not None
            own = sample.coordinates[axis]
            assert own is not None
            places[i, : len(own)] = own.reshape(len(own), count)
    return places.squeeze(-1) if count == 1 else places
