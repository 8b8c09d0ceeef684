"""The rows of a table as a PyTorch data set of encoded samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch.utils.data import Dataset

from .cells import Where, cell_key
from .decoders import Encoded, ModalitySpec
from .errors import DataError
from .input_spec import InputSpec
from .table import TableLike
from .target_specs import TargetSpec, is_known

_REPORT_EVERY = 256  # rows between two calls of a progress function
_OBJECT_BYTES = 300  # what Python's objects around a small array cost, so that a limit in bytes holds


@dataclass(frozen=True, eq=False)
class Sample:
    """One encoded row.

    Attributes:
        inputs: {modality: its array, None where its cells are missing}.
        targets: {target: its encoded cell}; what its spec gives for `unknown` where it is missing.
        row: the row number in the table.
    """

    inputs: dict[str, Encoded | None]
    targets: dict[str, np.ndarray]
    row: int


@dataclass(frozen=True)
class BadRow:
    """A row that was left out: its number, the column to blame (None: the whole row) and the reason."""

    row: int
    column: str | None
    reason: str


class TableDataset(Dataset[Sample]):
    """Encodes rows of a table as an `InputSpec` says; `prepare` does it once and keeps the samples.

    Args:
        table: the table; it needs the spec's columns.
        rows: int64 row numbers of the table.
        spec: the preprocessing.
        on_error: `"skip"` lets `prepare` leave bad rows out, `"raise"` lets it stop at the first.
        allow_outside: let paths in cells lead out of the table's folder.
        cache_bytes: keep decoded samples in memory up to this many bytes.
        require_target: a row without any of the targets, or with a class or label that the train rows never had, is an
            error; else such a target is unknown (and no target column need be there).

    Attributes:
        changes: {modality: {change: rows}}, counted by `prepare`: what was done to cells to make them fit, see
            `decoders.CHANGES`.

    Raises:
        DataError: the table has no such column.
    """

    def __init__(
        self,
        table: TableLike,
        rows: np.ndarray,
        spec: InputSpec,
        *,
        on_error: Literal["raise", "skip"] = "raise",
        allow_outside: bool = False,
        cache_bytes: int = 1 << 30,
        require_target: bool = True,
    ):
        if on_error not in ("raise", "skip"):
            raise DataError(f"on_error was expected to be 'raise' or 'skip', got {on_error!r}")
        self.table = table
        self.rows = np.asarray(rows, dtype=np.int64)
        self.spec = spec
        self.on_error = on_error
        self.allow_outside = allow_outside
        self.require_target = require_target
        self.changes: dict[str, Counter[str]] = {}
        targets = [target.name for target in spec.targets if target.name in table.column_names]
        self._columns = spec.columns + (targets or [spec.targets[0].name] if require_target else targets)
        for column in self._columns:
            table.require(column)
        self._samples: dict[int, Sample] = {}
        self._decoded: dict[Hashable, Encoded | None] = {}
        self._free_bytes = cache_bytes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Sample:
        """The i-th sample.

        Raises:
            DataError: a cell cannot be read (the row, the column and the reason are named), or its target is unknown.
        """
        row = int(self.rows[i])
        if row in self._samples:
            return self._samples[row]
        _, cells = next(self.table.iterate(np.array([row]), self._columns))
        return self._sample(row, cells)

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> list[BadRow]:
        """Decode every row once, keep the samples that fit into memory, and leave out bad rows if that was asked for.

        Args:
            progress: called with (rows done, rows in all) now and then, and at the end.

        Returns:
            The rows left out.

        Raises:
            DataError: the first bad row, unless `on_error` is `"skip"`; or every row is bad.
        """
        bad: list[BadRow] = []
        first_error: DataError | None = None
        self.changes = {modality.name: Counter() for modality in self.spec.modalities}
        for done, (row, cells) in enumerate(self.table.iterate(self.rows, self._columns)):
            if progress and done % _REPORT_EVERY == 0:
                progress(done, len(self.rows))
            try:
                self._keep(self._sample(row, cells))
            except DataError as error:
                if self.on_error == "raise":
                    raise
                first_error = first_error or error
                bad.append(BadRow(row, error.column, error.reason))
        if progress:
            progress(len(self.rows), len(self.rows))
        if first_error and len(bad) == len(self.rows):
            raise DataError(f"{self.table.source}: none of the {len(bad)} rows can be used; the first: {first_error}")
        self.rows = self.rows[~np.isin(self.rows, [entry.row for entry in bad])]
        return bad

    def _keep(self, sample: Sample) -> None:
        for name, encoded in sample.inputs.items():
            self.changes[name].update(() if encoded is None else encoded.changes)
        if sample.row in self._samples:
            return
        own = [sample.inputs[modality.name] for modality in self.spec.modalities if not modality.shared]
        if self._claim(_OBJECT_BYTES + sum(_cost(encoded) for encoded in own)):
            self._samples[sample.row] = sample

    def _claim(self, num_bytes: int) -> bool:
        """Take memory from what is left of the limit, if there is enough."""
        fits = num_bytes <= self._free_bytes
        self._free_bytes -= num_bytes if fits else 0
        return fits

    def _sample(self, row: int, cells: Mapping[str, Any]) -> Sample:
        where = Where(self.table.source, self.table.root, row, self.allow_outside)
        targets = {target.name: self._target(target, cells.get(target.name), where) for target in self.spec.targets}
        if self.require_target and not any(map(is_known, targets.values())):
            reason = "the target is missing" if len(targets) == 1 else f"all targets are missing ({', '.join(targets)})"
            raise where.error(self.spec.targets[0].name, reason)
        inputs = {modality.name: self._encode(modality, cells, where) for modality in self.spec.modalities}
        return Sample(inputs, targets, row)

    def _encode(self, modality: ModalitySpec, cells: Mapping[str, Any], where: Where) -> Encoded | None:
        if not modality.shared:
            return modality.encode(cells, where)
        key = (modality.name, cell_key(cells[modality.columns[0]]))
        if key not in self._decoded:
            encoded = modality.encode(cells, where)
            if not self._claim(_cost(encoded)):
                return encoded
            self._decoded[key] = encoded
        return self._decoded[key]

    def _target(self, target: TargetSpec, value: Any, where: Where) -> np.ndarray:
        try:
            return target.encode(value)
        except ValueError as error:
            if self.require_target:
                raise where.error(target.name, str(error)) from error
            return target.unknown()


def _cost(encoded: Encoded | None) -> int:
    return _OBJECT_BYTES + (0 if encoded is None else encoded.nbytes)
