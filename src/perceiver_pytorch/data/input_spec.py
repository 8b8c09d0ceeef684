"""What was learned from the train rows: targets, and how every modality's cells become arrays. Saved with the model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perceiver_pytorch._checks import did_you_mean
from perceiver_pytorch.data.cell_memory import CELL_BYTES
from perceiver_pytorch.data.errors import DataError, listed
from perceiver_pytorch.data.kinds import IGNORE, kind_names, specs
from perceiver_pytorch.data.kinds.base import ModalitySpec
from perceiver_pytorch.data.learning import fit_modalities
from perceiver_pytorch.data.spec_json import from_json, to_json
from perceiver_pytorch.data.spec_options import SpecOptions
from perceiver_pytorch.data.spelling.spellings import Spellings
from perceiver_pytorch.data.table import Table
from perceiver_pytorch.data.targets import Target, target_types
from perceiver_pytorch.data.targets.target_columns import check_unique, fit_targets, target_kinds

_VERSION = 2
_MOST_VALUES = 1 << 28
"""Of one modality in one row, or in one piece of it; an hour of sound has about half as many."""

_LONGEST = 1 << 31
"""Places of an axis; a day of raw samples has about as many."""


@dataclass(frozen=True)
class InputSpec:
    """The preprocessing of a table for one or more targets.

    Attributes:
        targets: the columns to predict.
        modalities: the inputs, in the order of the table's columns, all numbers and all categories last.
        kinds: each column's kind, ignored columns included.
        spellings: how the table's cells are written; None: they are read as they are, as runs of early versions do.
    """

    targets: tuple[Target, ...]
    modalities: tuple[ModalitySpec, ...]
    kinds: dict[str, str]
    spellings: Spellings | None = None

    def __post_init__(self) -> None:
        check_unique(self.targets)
        names = [modality.name for modality in self.modalities]
        if not names or len(set(names)) != len(names):
            raise DataError(f"modalities must be one or more of different names, got {names}")

    @classmethod
    def fit(
        cls,
        table: Table,
        kinds: Mapping[str, str],
        *,
        target: str | Sequence[str],
        rows: np.ndarray,
        options: SpecOptions | None = None,
        allow_outside: bool = False,
        cell_bytes: int = CELL_BYTES,
        kinds_of_targets: Mapping[str, str] | None = None,
        label_separator: str | None = None,
        spellings: Spellings | None = None,
    ) -> "InputSpec":
        """Learn everything from the train rows.

        Args:
            table: the table.
            kinds: each column's kind, from `recognise_columns`.
            target: the column to predict, or several.
            rows: int64 row numbers of the train split; no other row is looked at.
            options: sizes and limits.
            allow_outside: let paths in cells lead out of the table's folder.
            cell_bytes: memory that decoding a cell may take.
            kinds_of_targets: {target: kind} that win over what is recognised.
            label_separator: what stands between the labels of a text; None: what is recognised.
            spellings: by which the table's cells were read.

        Raises:
            DataError: a target is missing, has one value only or too many for classes; no column is left to learn
                from; or a column has no cell that can be read.
        """
        recognised = target_kinds(table, target, kinds_of_targets, label_separator)
        targets = fit_targets(table, recognised, rows, separator=label_separator)
        modalities = fit_modalities(
            table, kinds, rows, options or SpecOptions(), allow_outside=allow_outside, cell_bytes=cell_bytes
        )
        return cls(targets, modalities, dict(kinds), spellings)

    @property
    def columns(self) -> list[str]:
        """All columns that the modalities are made of."""
        return [column for modality in self.modalities for column in modality.columns]

    @property
    def unused(self) -> list[str]:
        """Columns that nothing is learned from."""
        used = frozenset(self.columns)
        return [name for name, kind in self.kinds.items() if kind == IGNORE and name not in used]

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

    def describe(self, most: int = 1000) -> list[tuple[str, str, str, str, str]]:
        """Rows of (modality, kind, columns, shape, what was learned), as text; of the columns no more than `most`."""
        return [(m.name, m.kind, listed(m.columns, most), _shape_text(m), m.note()) for m in self.modalities]

    def to_dict(self) -> dict[str, Any]:
        """JSON values from which `from_dict` builds an equal spec."""
        return {
            "version": _VERSION,
            "targets": [{"kind": target.kind, **to_json(target)} for target in self.targets],
            "kinds": dict(self.kinds),
            "modalities": _said_once([{"kind": each.kind, **to_json(each)} for each in self.modalities]),
            **({} if self.spellings is None else {"spellings": self.spellings.to_dict()}),
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "InputSpec":
        """Build a spec from what `to_dict` gave, checking every value.

        Raises:
            DataError: a value is missing, unknown or not as expected; the message says which.
        """
        expected = {"version", "targets", "kinds", "modalities"}
        if not isinstance(given, Mapping) or set(given) - {"spellings"} != expected:
            found = sorted(given) if isinstance(given, Mapping) else type(given).__name__
            raise DataError(f"input spec must have the fields {sorted(expected)}, got {found}")
        if given["version"] != _VERSION:
            raise DataError(
                f"input spec must have version {_VERSION}, got {given['version']!r}: the run was "
                "written by another version of this package; fit it again, or use that version"
            )
        targets = _specs(given["targets"], dict(sorted(target_types().items())), "input spec.targets")
        modalities = _specs(_said_by_each(given["modalities"]), specs(), "input spec.modalities")
        for modality in modalities:
            size = math.prod(modality.held_axes) * (1 if modality.vocab_size else modality.channels)
            if size > _MOST_VALUES:
                raise DataError(f"{modality.name} must have at most {_MOST_VALUES:,} values a row, got {size:,}")
            if max(modality.axes) > _LONGEST:
                raise DataError(
                    f"an axis of {modality.name} must have at most {_LONGEST:,} places, got {modality.axes}"
                )
        spellings = Spellings.from_dict(given["spellings"], "input spec.spellings") if "spellings" in given else None
        return cls(tuple(targets), tuple(modalities), _checked_kinds(given["kinds"]), spellings)


def _checked_kinds(given: Any) -> dict[str, str]:
    known = kind_names()
    if not isinstance(given, Mapping):
        raise DataError(f"input spec.kinds must be an object of column: kind, got {given!r}")
    for name, kind in given.items():
        if kind not in known:
            raise DataError(
                f"input spec.kinds.{name} must be one of {', '.join(known)}, got {kind!r}; "
                "if a package adds that kind, install it"
            )
    return dict(given)


def _specs(given: Any, known: Mapping[str, type], place: str) -> list[Any]:
    """A list of objects, each of the class that its kind names."""
    if not isinstance(given, list | tuple):
        raise DataError(f"{place} must be a list, got {given!r}")
    specs: list[Any] = []
    for i, entry in enumerate(given):
        kind = entry.get("kind") if isinstance(entry, Mapping) else None
        if not isinstance(kind, str) or kind not in known:
            raise DataError(
                f"{place}[{i}] must be an object with a kind of {', '.join(known)}, got {entry!r}; "
                "if a package adds that kind, install it"
            )
        fields = {name: value for name, value in entry.items() if name != "kind"}
        specs.append(from_json(known[kind], fields, f"{place}[{i}]"))
    return specs


def _said_once(modalities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What several modalities have in common stands in the first of them; the others have its name there."""
    known, first = specs(), dict[tuple[str, Any], str]()
    for entry in modalities:
        field = known[entry["kind"]].in_common
        if field is not None:
            owner = first.setdefault((field, entry[field]), entry["name"])
            entry[field] = entry[field] if owner == entry["name"] else {"of": owner}
    return modalities


def _said_by_each(given: Any) -> Any:
    """`_said_once` undone; what is not as expected is left, to be refused by name."""
    if not isinstance(given, list | tuple) or not all(isinstance(entry, Mapping) for entry in given):
        return given
    known, owners = specs(), {str(entry.get("name")): entry for entry in given}

    def whole(entry: Mapping[str, Any]) -> Mapping[str, Any]:
        field = getattr(known.get(str(entry.get("kind"))), "in_common", None)
        said = entry.get(field) if field is not None else None
        owner = owners.get(str(said.get("of"))) if isinstance(said, Mapping) else None
        return entry if owner is None else {**entry, str(field): owner.get(field)}

    return [whole(entry) for entry in given]


def _shape_text(modality: ModalitySpec) -> str:
    tokens = f"{modality.num_tokens} token{'s' * (modality.num_tokens != 1)}"
    if len(modality.axes) > 1:
        tokens = f"{'x'.join(map(str, modality.axes))} = {tokens}"
    if modality.dtype == "int64":
        return f"{tokens}, ids"
    return f"{tokens} of {modality.channels} value{'s' * (modality.channels != 1)}"
