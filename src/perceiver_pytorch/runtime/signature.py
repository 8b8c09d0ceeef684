"""What an exported model takes: its inputs by name, and the arrays of a batch in their form."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.kinds.base import ModalitySpec
from perceiver_pytorch.data.stacking import Stacked, evenly_spaced

DATA, MASK, PLACE, QUERIES = "data", "mask", "place", "queries"
MOST_ROWS = 4096
"""Of a batch that a graph takes."""


@dataclass(frozen=True)
class GraphInput:
    """One input of a graph.

    Attributes:
        name: in the graph.
        modality: whose it is.
        part: ``"data"``; ``"mask"``, bool, True where a token is real; ``"place"``, where the tokens of an axis are,
            from -1 to 1; or ``"queries"`` of an output that is named instead of a modality.
        dtype: NumPy's name for it.
        least, most: bounds of each dimension, the batch first; both are the same where it is fixed.
        axis: of a place.
    """

    name: str
    modality: str
    part: str
    dtype: str
    least: tuple[int, ...]
    most: tuple[int, ...]
    axis: int = 0

    @property
    def has_batch(self) -> bool:
        """Whether its first dimension is the batch; places that all rows share have none."""
        return self.part != PLACE or len(self.most) > 1


def dims_of(inputs: Sequence[GraphInput]) -> dict[str, tuple[str | int, ...]]:
    """{name of an input: what its dimensions are}: ``batch``, ``MODALITY_tokens`` of one axis, ``MODALITY_axis0`` and
    so on of several, ``OUTPUT_queries``, and lengths that are fixed."""
    axes = {entry.modality: len(entry.most) - 1 for entry in inputs if entry.part == MASK}
    return {entry.name: _dims(entry, axes.get(entry.modality, 1)) for entry in inputs}


def _dims(entry: GraphInput, count: int) -> tuple[str | int, ...]:
    plain = re.sub(r"\W", lambda match: f"_{ord(match.group()):x}_", entry.modality)
    names = [f"{plain}_tokens"] if count == 1 else [f"{plain}_axis{axis}" for axis in range(count)]
    if entry.part == PLACE:
        names = names[entry.axis : entry.axis + 1]
    elif entry.part == QUERIES:
        names = [f"{plain}_queries"]
    names = ["batch", *names] if entry.has_batch else names
    names += [""] * (len(entry.most) - len(names))  # of channels, which are fixed
    sides = zip(names, entry.least, entry.most, strict=True)
    return tuple(high if low == high else name for name, low, high in sides)


def varies(modality: ModalitySpec) -> bool:
    """Whether rows of a modality may be shorter than its axes; columns of a table never are."""
    return modality.head != "columns"


def arrays_of(stacked: Stacked, spec: InputSpec, inputs: Sequence[GraphInput]) -> dict[str, np.ndarray]:
    """A batch in the form that a graph takes: {name of an input: its array}.

    Axes are filled up with masked tokens to what the graph takes at least. A modality that no row has is one masked
    token, or as many as the graph wants.

    Raises:
        DataError: a row is read in pieces.
    """
    for name, long in stacked.pieces.items():
        raise DataError(
            f"row {stacked.rows[min(long)]}, column {name!r}: is too long for memory, and an exported model reads no "
            "pieces; predict it with the run itself"
        )
    wanted = {entry.modality: entry for entry in inputs if entry.part == MASK}
    found = {}
    for entry in inputs:
        modality = spec.modality(entry.modality)
        mask = stacked.masks.get(modality.name)
        data = stacked.inputs[modality.name]
        shape = data.shape[: 1 + len(modality.axes)]
        lengths = tuple(map(max, shape[1:], wanted[modality.name].least[1:]))
        if entry.part == DATA:
            found[entry.name] = _filled(data, lengths)
        elif entry.part == MASK:
            found[entry.name] = _filled(np.ones(shape, dtype=bool) if mask is None else mask, lengths)
        else:
            given = stacked.coordinates.get(modality.name)
            place = None if given is None else given[entry.axis]
            place = _default_place(modality, entry.axis) if place is None else place
            found[entry.name] = _long_enough(place, modality, entry.axis, lengths[entry.axis])
    return found


def _filled(values: np.ndarray, lengths: tuple[int, ...]) -> np.ndarray:
    missing = [(0, 0), *((0, wanted - length) for length, wanted in zip(values.shape[1:], lengths, strict=False))]
    missing += [(0, 0)] * (values.ndim - len(missing))
    return np.pad(values, missing) if any(after for _, after in missing) else values


def _default_place(modality: ModalitySpec, axis: int) -> np.ndarray:
    return evenly_spaced(modality.axes[axis])


def _long_enough(place: np.ndarray, modality: ModalitySpec, axis: int, length: int) -> np.ndarray:
    """float32 places of so many tokens: ``(length,)``, or ``(batch, length[, count])`` where rows have their own."""
    if not modality.own_coordinates[axis]:
        grid = modality.grid(axis)
        place = _default_place(modality, axis) if grid is None else grid
        return np.asarray(place[:length], dtype=np.float32)
    missing = [(0, 0), (0, length - place.shape[1]), *[(0, 0)] * (place.ndim - 2)]
    return np.pad(place, missing).astype(np.float32)


def inputs_to_json(inputs: Sequence[GraphInput]) -> list[dict[str, Any]]:
    """What `inputs_from_json` reads; ``shape`` is there for people."""
    dims = dims_of(inputs)
    return [
        {**vars(entry), "least": list(entry.least), "most": list(entry.most), "shape": list(dims[entry.name])}
        for entry in inputs
    ]


def inputs_from_json(given: Any, modalities: Sequence[str] | None = None) -> tuple[GraphInput, ...]:
    """The inputs that a file names, checked.

    Args:
        given: of the file.
        modalities: names of those that it must have; None: whichever it has.

    Raises:
        DataError: for what is not as expected.
    """
    if not isinstance(given, list) or not given:
        raise DataError(f"inputs must be a list of one or more, got {given!r:.80}")
    found = tuple(_input(entry) for entry in given)
    named = [entry.modality for entry in found if entry.part == DATA] if modalities is None else modalities
    for modality in named:
        parts = [entry.part for entry in found if entry.modality == modality]
        if sorted(parts)[:2] != [DATA, MASK] or parts.count(MASK) != 1:
            raise DataError(f"inputs must have data and a mask of {modality!r}, got {parts}")
    return found


def _input(given: Any) -> GraphInput:
    types = {"name": str, "modality": str, "part": str, "dtype": str, "least": list, "most": list, "axis": int}
    if not isinstance(given, Mapping) or {*given} - {"shape"} != {*types}:
        raise DataError(f"an input must have {', '.join(types)}, got {given!r:.120}")
    given = {key: given[key] for key in types}
    for key, kind in types.items():
        if not isinstance(given[key], kind):
            raise DataError(f"{key} of an input must be {kind.__name__}, got {given[key]!r:.80}")
    bounds = [*given["least"], *given["most"]]
    parts = (DATA, MASK, PLACE, QUERIES)
    if not all(isinstance(size, int) and 0 < size < 1 << 31 for size in bounds) or given["part"] not in parts:
        raise DataError(f"an input must have bounds above 0 and a part of {', '.join(parts)}, got {given!r:.120}")
    if len(given["least"]) != len(given["most"]):
        raise DataError(f"least and most of an input must be equally long, got {given!r:.120}")
    return GraphInput(**{**given, "least": tuple(given["least"]), "most": tuple(given["most"])})
