"""What was learned from a table, as JSON: the fields of a spec, checked when they are read back."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from perceiver_pytorch._settings import typed
from perceiver_pytorch.data.errors import DataError

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
        raise DataError(f"{place} must be an object, got {type(given).__name__}")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    needed = {field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}  # type: ignore[arg-type]
    wrong = sorted((needed - set(given)) | (set(given) - set(names)))
    if wrong:
        raise DataError(f"{place} must have the fields {names}, got {sorted(given)}; {wrong[0]!r} does not fit")
    fields = {name: _typed(f"{place}.{name}", value, hints[name]) for name, value in given.items()}
    try:
        return cls(**fields)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def _typed(name: str, value: Any, hint: Any) -> Any:
    """`value` as the annotated type; its numbers must be finite: JSON as Python reads it has NaN and Infinity."""
    try:
        fits = typed(name, value, hint)
    except TypeError as error:
        raise DataError(str(error)) from error
    for number in fits if isinstance(fits, tuple) else (fits,):
        if isinstance(number, float) and not math.isfinite(number):
            raise DataError(f"{name} must be finite, got {number}")
    return fits
