"""What all decoders share: the encoded cell, the interface, and their JSON form."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from ..cells import Where
from ..errors import DataError


@dataclass(frozen=True, eq=False)
class Encoded:
    """One modality of one row as an array, as long as the cell is: batches pad it.

    Attributes:
        values: (*axes, channels), or (*axes,) for token ids (text and categories); an axis may be shorter than the
            modality's.
        mask: bool (*axes), True where a token is real; None if all are.
        coordinates: per axis None, or float32 (length,) or (length, count) where the spec's `own_coordinates` says so.
        changes: keys of `CHANGES`: what was done to the cell to make it fit.
    """

    values: np.ndarray
    mask: np.ndarray | None = None
    coordinates: tuple[np.ndarray | None, ...] | None = None
    changes: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = [self.values, self.mask, *(self.coordinates or ())]
        return sum(array.nbytes for array in arrays if array is not None)


CHANGES = {
    "cut": "lost their end: they are longer than the model reads",
    "resized": "were resized",
    "padded": "do not fill the box, which is padded and masked",
    "stretched": "were stretched to other proportions",
    "thinned": "were thinned out: they have more points than the model reads",
    "holes": "have points that are not finite numbers, which are left out",
    "clipped": "lie partly outside what the train rows had, or over 10 deviations from their mean, and were clipped",
}
"""What decoders do to cells that do not fit, as a report words it after "12 cells of 'photo' "."""


class ModalitySpec(Protocol):
    """One modality: its columns, its array's shape, and how a row becomes that array."""

    kind: ClassVar[str]
    """`"image"`, `"audio"`, `"text"` .., as the columns' kinds."""
    dtype: ClassVar[str]
    """dtype of the collated array."""

    @property
    def shared(self) -> bool:
        """Worth decoding equal cells once."""

    @property
    def name(self) -> str:
        """The modality's name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The table columns it is made of."""

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the token axes, at most."""

    @property
    def channels(self) -> int:
        """Values per token."""

    @property
    def num_tokens(self) -> int:
        """The product of `axes`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row's array: `(*axes, channels)`, or `axes` for token ids."""

    @property
    def resolution(self) -> float:
        """How many places along an axis the position encoding tells apart."""

    @property
    def own_coordinates(self) -> tuple[int, ...]:
        """Per axis how many coordinates a token brings itself, 0 where `grid` places it."""

    def grid(self, axis: int) -> np.ndarray | None:
        """float32 (axes[axis],): where the tokens of an axis are; None: equally spaced from -1 to 1."""

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """A row's array, None where its cells are missing; `DataError` where they cannot be read."""

    def note(self) -> str:
        """What was learned from the train rows, in a few words."""


class Spec:
    """What specs have in common unless they say otherwise: equally spaced tokens."""

    shared: ClassVar[bool] = True

    @property
    def axes(self) -> tuple[int, ...]:
        raise NotImplementedError

    @property
    def num_tokens(self) -> int:
        return math.prod(self.axes)

    @property
    def resolution(self) -> float:
        return float(max(self.axes))

    @property
    def own_coordinates(self) -> tuple[int, ...]:
        return (0,) * len(self.axes)

    def grid(self, axis: int) -> np.ndarray | None:
        return None


@dataclass(frozen=True)
class ColumnsSpec(Spec):
    """Several columns of one kind as tokens `(number of columns, channels)`, standardised.

    Attributes:
        name: the modality's name.
        columns: the columns, in token order.
        means, stds: what each column is standardised by.
    """

    name: str
    columns: tuple[str, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]

    dtype: ClassVar[str] = "float32"
    shared: ClassVar[bool] = False
    channels: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not len(self.columns) == len(self.means) == len(self.stds) > 0:
            raise ValueError("one mean and one std per column were expected")
        if min(self.stds) <= 0:
            raise ValueError(f"stds were expected to be positive, got {self.stds}")

    @property
    def axes(self) -> tuple[int, ...]:
        return (len(self.columns),)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.columns), self.channels)


class Timed(Protocol):
    """A modality whose first axis is time."""

    @property
    def clock(self) -> float:
        """Seconds of the time axis shared with other modalities; 0: its own."""

    @property
    def axes(self) -> tuple[int, ...]: ...


def clock_grid(spec: Timed, step: float) -> np.ndarray | None:
    """Where tokens every `step` seconds are on the shared time axis, -1 at its start and 1 at its end."""
    if not spec.clock:
        return None
    return (2 * step / spec.clock * np.arange(spec.axes[0]) - 1).astype(np.float32)


def clock_resolution(spec: Timed, step: float) -> float:
    """Places to tell apart: tokens every `step` seconds of the shared time axis, and those of other axes."""
    return max(spec.clock / step, float(max(spec.axes)))


def clock_note(spec: Timed) -> str:
    """For `note`."""
    return f", on a clock of {spec.clock:.2f} s" if spec.clock else ""


SpecT = TypeVar("SpecT")


def to_json(spec: Any) -> dict[str, Any]:
    """A spec's fields as JSON values (tuples as lists)."""
    return {field.name: _listed(getattr(spec, field.name)) for field in dataclasses.fields(spec)}


def from_json(cls: type[SpecT], given: Any, place: str) -> SpecT:
    """Build a spec from JSON values, checking every field's presence and type; one with a default may be missing, as
    it is where a run is older than the field.

    Raises:
        DataError: a field is missing, unknown, of another type, or out of range; `place` says where.
    """
    if not isinstance(given, Mapping):
        raise DataError(f"{place}: an object was expected, got {type(given).__name__}")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    needed = {field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}  # type: ignore[arg-type]
    wrong = sorted((needed - set(given)) | (set(given) - set(names)))
    if wrong:
        raise DataError(f"{place}: the fields {names} were expected, got {sorted(given)}; {wrong[0]!r} does not fit")
    fields = {name: _typed(given[name], hints[name], f"{place}.{name}") for name in given}
    try:
        return cls(**fields)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error


def check_positive(spec: Any, *names: str) -> None:
    """Raise `ValueError` unless the named fields are positive."""
    for name in names:
        value = getattr(spec, name)
        if not value > 0:
            raise ValueError(f"{name} was expected to be positive, got {value}")


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def _typed(value: Any, hint: Any, place: str) -> Any:
    """`value` as the annotated type: a scalar, a tuple of one type, or a union of scalars with None."""
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise DataError(f"{place}: a list was expected, got {value!r}")
        inner = typing.get_args(hint)[0]
        return tuple(_typed(v, inner, f"{place}[{i}]") for i, v in enumerate(value))
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in options and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) not in options or (isinstance(value, float) and not np.isfinite(value)):
        expected = " or ".join(option.__name__ for option in options)
        raise DataError(f"{place}: {expected} was expected, got {value!r}")
    return value
