"""What was learned from the train rows: classes, and how every modality's cells become arrays. Saved with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .columns import KINDS, Kind
from .decoders import AudioSpec, CategoriesSpec, ImageSpec, ModalitySpec, NumbersSpec, TextSpec
from .decoders.base import from_json, to_json
from .errors import DataError, did_you_mean
from .fitting import fit_modalities
from .options import SpecOptions
from .table import Table
from .targets import fit_classes

_VERSION = 1
_SPECS: dict[str, type] = {spec.kind: spec for spec in (ImageSpec, AudioSpec, TextSpec, NumbersSpec, CategoriesSpec)}


@dataclass(frozen=True)
class InputSpec:
    """The preprocessing of a table for one target.

    Attributes:
        target: the column to predict.
        classes: its values in string form; a target's index is its place here. Numbers first, by
            value, then the others as text.
        modalities: the inputs, in the order of the table's columns, all numbers and all categories last.
        kinds: each column's kind, ignored columns included.
    """

    target: str
    classes: tuple[str, ...]
    modalities: tuple[ModalitySpec, ...]
    kinds: dict[str, Kind]

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise DataError(f"classes was expected to hold two or more different names, got {self.classes}")
        names = [modality.name for modality in self.modalities]
        if not names or len(set(names)) != len(names):
            raise DataError(f"modalities was expected to hold one or more of different names, got {names}")

    @classmethod
    def fit(
        cls,
        table: Table,
        kinds: Mapping[str, Kind],
        *,
        target: str,
        rows: np.ndarray,
        options: SpecOptions | None = None,
        allow_outside: bool = False,
    ) -> InputSpec:
        """Learn everything from the train rows.

        Args:
            table: the table.
            kinds: each column's kind, from `recognise_columns`.
            target: the column to predict.
            rows: int64 row numbers of the train split; no other row is looked at.
            options: sizes and limits.
            allow_outside: let paths in cells lead out of the table's folder.

        Raises:
            DataError: the target is missing in a row, has one class only or is not a set of classes; no column is left
                to learn from; or a column has no cell that can be read.
        """
        classes = fit_classes(table, target, rows)
        modalities = fit_modalities(table, kinds, rows, options or SpecOptions(), allow_outside=allow_outside)
        return cls(target, classes, modalities, dict(kinds))

    @cached_property
    def class_index(self) -> dict[str, int]:
        """{class: its index}."""
        return {name: i for i, name in enumerate(self.classes)}

    @property
    def columns(self) -> list[str]:
        """All columns that the modalities are made of."""
        return [column for modality in self.modalities for column in modality.columns]

    def modality(self, name: str) -> ModalitySpec:
        """The modality of that name.

        Raises:
            DataError: there is none.
        """
        for modality in self.modalities:
            if modality.name == name:
                return modality
        known = [modality.name for modality in self.modalities]
        raise DataError(f"no modality {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")

    def describe(self) -> list[tuple[str, str, str, str, str]]:
        """Rows of (modality, kind, columns, shape, what was learned), as text, for a report."""
        return [(m.name, m.kind, ", ".join(m.columns), _shape_text(m), m.note()) for m in self.modalities]

    def to_dict(self) -> dict[str, Any]:
        """JSON values from which `from_dict` builds an equal spec."""
        return {
            "version": _VERSION,
            "target": self.target,
            "classes": list(self.classes),
            "kinds": dict(self.kinds),
            "modalities": [{"kind": modality.kind, **to_json(modality)} for modality in self.modalities],
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> InputSpec:
        """Build a spec from what `to_dict` gave, checking every value.

        Raises:
            DataError: a value is missing, unknown or not as expected; the message says which.
        """
        expected = {"version", "target", "classes", "kinds", "modalities"}
        if not isinstance(given, Mapping) or set(given) != expected:
            found = sorted(given) if isinstance(given, Mapping) else type(given).__name__
            raise DataError(f"input spec: the fields {sorted(expected)} were expected, got {found}")
        if given["version"] != _VERSION:
            raise DataError(f"input spec: version {_VERSION} was expected, got {given['version']!r}")
        if not isinstance(given["target"], str):
            raise DataError(f"input spec.target: a column name was expected, got {given['target']!r}")
        return cls(
            given["target"], _names(given["classes"]), _modalities(given["modalities"]), _checked_kinds(given["kinds"])
        )


def _names(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise DataError(f"input spec.classes: a list of names was expected, got {given!r}")
    return tuple(given)


def _checked_kinds(given: Any) -> dict[str, Kind]:
    if not isinstance(given, Mapping) or not all(kind in KINDS for kind in given.values()):
        raise DataError(f"input spec.kinds: an object of column: one of {', '.join(KINDS)} was expected, got {given!r}")
    return dict(given)


def _modalities(given: Any) -> tuple[ModalitySpec, ...]:
    if not isinstance(given, list | tuple):
        raise DataError(f"input spec.modalities: a list was expected, got {given!r}")
    modalities: list[ModalitySpec] = []
    for i, entry in enumerate(given):
        place = f"input spec.modalities[{i}]"
        kind = entry.get("kind") if isinstance(entry, Mapping) else None
        if kind not in _SPECS:
            raise DataError(f"{place}: an object with a kind of {', '.join(_SPECS)} was expected, got {entry!r}")
        fields = {name: value for name, value in entry.items() if name != "kind"}
        modalities.append(from_json(_SPECS[kind], fields, place))
    return tuple(modalities)


def _shape_text(modality: ModalitySpec) -> str:
    tokens = f"{modality.num_tokens} token{'s' * (modality.num_tokens != 1)}"
    if len(modality.axes) > 1:
        tokens = f"{'x'.join(map(str, modality.axes))} = {tokens}"
    if modality.shape == modality.axes:
        return f"{tokens}, ids"
    return f"{tokens} of {modality.channels} value{'s' * (modality.channels != 1)}"
