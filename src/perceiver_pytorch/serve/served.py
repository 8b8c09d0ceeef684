"""What is served: a model, one row at a time on the way in, and many at a time through the model."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.data.kinds.base import ModalitySpec
from perceiver_pytorch.data.table import arrow_array
from perceiver_pytorch.serve.maps import Map, Mapper

if TYPE_CHECKING:
    from perceiver_pytorch.data.input_spec import InputSpec
    from perceiver_pytorch.tables.predictor import Predictor

NOWHERE = Path("/nonexistent")
"""The folder that paths in cells would start at; none is read."""

Answer = dict[str, Any]
"""What the model says of a row, as JSON values: ``targets``, {target: what is said of it}, and what else there is."""
OF_THE_ROW = ("unusual",)
"""Columns of predictions that are about a row as a whole."""


@dataclass(frozen=True, eq=False)
class ReadRow:
    """A row as the model reads it.

    Attributes:
        inputs: {modality: its arrays, None where it is missing}.
        cells: {column: cell}, that they were read from.
        notes: what was done to its cells to make them fit, in words.
    """

    inputs: Mapping[str, Any]
    cells: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def present(self) -> list[str]:
        """The modalities that it has."""
        return [name for name, given in self.inputs.items() if given is not None]

    @property
    def in_pieces(self) -> list[str]:
        """The modalities that are too long for memory."""
        return [name for name in self.present if self.inputs[name].pieces is not None]

    def without(self, names: Collection[str]) -> "ReadRow":
        """The row with some modalities missing."""
        kept = {name: None if name in names else given for name, given in self.inputs.items()}
        return ReadRow(kept, self.cells, self.notes)


class Served(Protocol):
    """A model that answers rows; a row's answer does not depend on the others."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def modalities(self) -> Sequence[ModalitySpec]:
        """Its inputs, as they are read from rows that are sent."""

    @property
    def targets(self) -> list[dict[str, Any]]:
        """What it predicts: JSON values with ``name``, ``kind`` and ``note`` of each."""

    def read(self, cells: Mapping[str, Any], where: Where) -> ReadRow:
        """A row; `DataError` where a cell cannot be read.

        Args:
            cells: {column: cell}, of every column that the model reads.
            where: says that nothing but the cells is read.
        """

    def answer(self, rows: Sequence[ReadRow]) -> list[Answer]:
        """What the model says of each row; `ValueError` where that is no number."""

    def maps(self, row: ReadRow, target: str, where: Where) -> list[Map]:
        """What of a row speaks for the answer about a target; none where that cannot be told."""


def uploaded(spec: "InputSpec") -> "InputSpec":
    """A run's spec for rows that are sent."""
    return replace(spec, modalities=tuple(modality.uploaded() for modality in spec.modalities))


def fields_of(served: Served) -> dict[str, tuple[Field, list[str]]]:
    """{column: what can be given for it, and the modalities that read it}; the first of them says what."""
    found: dict[str, tuple[Field, list[str]]] = {}
    for modality in served.modalities:
        for each in modality.fields():
            found.setdefault(each.column, (each, []))[1].append(modality.name)
    return found


@dataclass(frozen=True, eq=False)
class ServedPredictor:
    """A run of `perceiver fit`, or what was exported of one.

    Args:
        predictor: the model.
        name: what people call it.
        trained_on: the table that it was trained on, as it was named then; empty: unknown.
        mapper: says what the model looked at; None: nothing does.
        coverage: of the sets and intervals beside predictions, if the model knows how sure it may be; 0: of none.
    """

    predictor: "Predictor"
    name: str
    trained_on: str = ""
    mapper: Mapper | None = None
    coverage: float = 0.0

    @cached_property
    def _spec(self) -> "InputSpec":
        return uploaded(self.predictor.spec)

    @property
    def modalities(self) -> Sequence[ModalitySpec]:
        return self._spec.modalities

    @property
    def targets(self) -> list[dict[str, Any]]:
        return [{"name": each.name, "kind": each.kind, "note": each.note()} for each in self._spec.targets]

    def read(self, cells: Mapping[str, Any], where: Where) -> ReadRow:
        spelled = {name: self._spelled(name, cell) for name, cell in cells.items()}
        inputs = {modality.name: modality.encode(spelled, where) for modality in self.modalities}
        return ReadRow(inputs, spelled, tuple(self._notes(inputs)))

    @cached_property
    def _asked_coverage(self) -> float | None:
        return self.coverage if self.coverage and self.predictor.calibration is not None else None

    def _spelled(self, column: str, cell: Any) -> Any:
        """A text as it is meant, where the run learned how the column's are written."""
        spellings = self._spec.spellings
        if spellings is None or not isinstance(cell, str):
            return cell
        return spellings.read(column, arrow_array([cell]))[0].as_py()

    def _notes(self, inputs: Mapping[str, Any]) -> list[str]:
        """What was done to the cells, as far as it loses something."""
        notes = []
        for modality in self.modalities:
            encoded = inputs[modality.name]
            for change in () if encoded is None else encoded.changes:
                what, column, _ = change if isinstance(change, tuple) else (change, "", "")
                if what not in modality.harmless:
                    column = column or ", ".join(modality.columns)
                    notes.append(f"cells of {column!r} {modality.changes.get(what, what)}")
        return list(dict.fromkeys(notes))

    def maps(self, row: ReadRow, target: str, where: Where) -> list[Map]:
        from perceiver_pytorch.serve.sent_rows import SentRows

        if self.mapper is None or not row.present:
            return []
        (sample,), _ = SentRows(self._spec, [row.inputs]).samples([0])
        return self.mapper(sample, row.cells, where, target)

    def answer(self, rows: Sequence[ReadRow]) -> list[Answer]:
        from perceiver_pytorch.serve.sent_rows import SentRows

        dataset = SentRows(self._spec, [row.inputs for row in rows])
        columns = self.predictor.columns(dataset, coverage=self._asked_coverage)
        names = [(target.name, target.kind) for target in self._spec.targets]
        return [_answer(row, columns, names) for row in range(len(rows))]


def _answer(row: int, columns: Mapping[str, Any], targets: Sequence[tuple[str, str]]) -> Answer:
    """A row of a file of predictions as JSON values.

    Args:
        row: its place.
        columns: of `Predictor.columns`; each target's begin with its prediction.
        targets: name and kind of each, in their order.
    """
    left, found, prefix = list(targets), Answer(targets={}), ""
    told: dict[str, Any] = {}
    for name, cells in columns.items():
        if name == "row":
            continue
        if name.rstrip("_") in OF_THE_ROW and not left:
            found[name.rstrip("_")] = _plain(cells[row]) or None
            continue
        if left and name.rstrip("_") == f"{_prefix(left[0][0], targets)}prediction":
            target, kind = left.pop(0)
            prefix = _prefix(target, targets)
            told = found["targets"][target] = {"kind": kind}
        short = name.removeprefix(prefix)
        if short.startswith("p_"):
            told.setdefault("probabilities", {})[short.removeprefix("p_")] = _plain(cells[row])
        else:
            told[short] = _plain(cells[row])
    return found


def _prefix(target: str, targets: Sequence[Any]) -> str:
    """What stands before the names of a target's columns."""
    return f"{target}_" if len(targets) > 1 else ""


def _plain(value: Any) -> Any:
    """A cell of a column of predictions as a JSON value."""
    if hasattr(value, "dtype") and value.dtype.kind == "M":
        return None if np.isnat(value) else str(value)
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
