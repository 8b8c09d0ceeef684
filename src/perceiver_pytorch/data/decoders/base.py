"""What all decoders share: the encoded cell, the interface, and their JSON form."""

from __future__ import annotations

import dataclasses
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
    """One modality of one row as an array.

    Attributes:
        values: (*axes, channels), or (*axes,) for token ids (text and categories).
        mask: bool (*axes), True where a token is real; None if all are.
        cut: the cell was longer than the modality and lost its end.
    """

    values: np.ndarray
    mask: np.ndarray | None = None
    cut: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return self.values.nbytes + (0 if self.mask is None else self.mask.nbytes)


class ModalitySpec(Protocol):
    """One modality: its columns, its array's shape, and how a row becomes that array."""

    kind: ClassVar[str]
    """`"image"`, `"audio"`, `"text"`, `"number"` or `"category"`, as the columns' kinds."""
    dtype: ClassVar[str]
    """dtype of the collated array."""
    shared: ClassVar[bool]
    """Worth decoding equal cells once."""

    @property
    def name(self) -> str:
        """The modality's name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The table columns it is made of."""

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the token axes."""

    @property
    def channels(self) -> int:
        """Values per token."""

    @property
    def num_tokens(self) -> int:
        """The product of `axes`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row's array: `(*axes, channels)`, or `axes` for token ids."""

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """A row's array, None where its cells are missing; `DataError` where they cannot be read."""

    def note(self) -> str:
        """What was learned from the train rows, in a few words."""


SpecT = TypeVar("SpecT")


def to_json(spec: Any) -> dict[str, Any]:
    """A spec's fields as JSON values (tuples as lists)."""
    return {field.name: _listed(getattr(spec, field.name)) for field in dataclasses.fields(spec)}


def from_json(cls: type[SpecT], given: Any, place: str) -> SpecT:
    """Build a spec from JSON values, checking every field's presence and type.

    Raises:
        DataError: a field is missing, unknown, of another type, or out of range; `place` says where.
    """
    if not isinstance(given, Mapping):
        raise DataError(f"{place}: an object was expected, got {type(given).__name__}")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    wrong = sorted(set(names) ^ set(given))
    if wrong:
        raise DataError(f"{place}: the fields {names} were expected, got {sorted(given)}; {wrong[0]!r} does not fit")
    fields = {name: _typed(given[name], hints[name], f"{place}.{name}") for name in names}
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
