"""The rows of a table as a PyTorch data set of encoded samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
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
_MEASURED = 16  # rows decoded to tell how much memory all would take
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

    Where `prepare` is not called, rows are decoded when they are asked for, and the first ones are kept.

    Args:
        table: the table; it needs the spec's columns.
        rows: int64 row numbers of the table.
        spec: the preprocessing.
        on_error: `"skip"` lets `prepare` leave bad rows out, `"raise"` lets it stop at the first.
        allow_outside: let paths in cells lead out of the table's folder.
        cache_bytes: keep decoded samples in memory up to this many bytes.
        require_target: a row without any of the targets, or with a class or label that the train rows never had, is an
            error; else such a target is unknown (and no target column need be there).
        workers: processes that decode; None: as many as are worth it.

    Attributes:
        prepared: all rows have been decoded once.
        bad: {row: `BadRow`}, the rows that were left out, as far as they were met.
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
        workers: int | None = None,
    ):
        if on_error not in ("raise", "skip"):
            raise DataError(f"on_error was expected to be 'raise' or 'skip', got {on_error!r}")
        self.table = table
        self.rows = np.asarray(rows, dtype=np.int64)
        self.spec = spec
        self.on_error = on_error
        self.allow_outside = allow_outside
        self.require_target = require_target
        self.workers = workers
        self.prepared = False
        self.bad: dict[int, BadRow] = {}
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
        samples, bad = self.samples([i])
        if bad:
            raise self.error(bad[0])
        return samples[0]

    def samples(self, places: Sequence[int]) -> tuple[list[Sample], list[BadRow]]:
        """The samples at some places, and the rows among them that cannot be read."""
        wanted = self.rows[np.asarray(places, dtype=np.int64)]
        unknown = np.array([row for row in wanted.tolist() if row not in self._samples], dtype=np.int64)
        found: dict[int, Sample] = {}
        bad: list[BadRow] = []
        for row, outcome in self._read(unknown):
            if isinstance(outcome, DataError):
                bad.append(BadRow(row, outcome.column, outcome.reason))
            else:
                found[row] = outcome
                self._keep(outcome)
        rows = (self._samples.get(row) or found.get(row) for row in wanted.tolist())
        return [sample for sample in rows if sample is not None], bad

    def error(self, bad: BadRow) -> DataError:
        """What a bad row raises."""
        where = self._where(bad.row)
        if bad.column is not None:
            return where.error(bad.column, bad.reason)
        return DataError(f"{where.source}: row {bad.row}: {bad.reason}", row=bad.row, reason=bad.reason)

    def fits(self) -> bool:
        """Whether all samples can be kept in memory, judged by some of them."""
        places = np.unique(np.linspace(0, len(self) - 1, _MEASURED).astype(np.int64))
        sizes = [
            _OBJECT_BYTES + sum(_cost(encoded) for encoded in outcome.inputs.values())
            for _, outcome in self._read(self.rows[places])
            if isinstance(outcome, Sample)
        ]
        return not sizes or len(self) * sum(sizes) / len(sizes) <= self._free_bytes

    def share_cache(self, count: int) -> None:
        """Keep no more than a part of what may be kept: `count` processes have this data set each."""
        self._free_bytes //= count

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
        self.changes = {modality.name: Counter() for modality in self.spec.modalities}
        for done, (row, outcome) in enumerate(self._read(self.rows)):
            if progress and done % _REPORT_EVERY == 0:
                progress(done, len(self.rows))
            if isinstance(outcome, Sample):
                self._count(outcome)
                self._keep(outcome)
            elif self.on_error == "raise":
                raise outcome
            else:
                bad.append(BadRow(row, outcome.column, outcome.reason))
        if progress:
            progress(len(self.rows), len(self.rows))
        if bad and len(bad) == len(self.rows):
            first = self.error(bad[0])
            raise DataError(f"{self.table.source}: none of the {len(bad)} rows can be used; the first: {first}")
        self.rows = self.rows[~np.isin(self.rows, [entry.row for entry in bad])]
        self.bad |= {entry.row: entry for entry in bad}
        self.prepared = True
        return bad

    def _read(self, rows: np.ndarray) -> Iterator[tuple[int, Sample | DataError]]:
        """Each row's number and its sample, or why it has none."""
        for row, cells in self._cells(rows):
            if isinstance(cells, DataError):
                yield row, cells
                continue
            try:
                yield row, self._sample(row, cells)
            except DataError as error:
                yield row, error

    def _cells(self, rows: np.ndarray) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
        """Each row's cells; one by one where a block of a table in shards cannot be read."""
        start = 0
        try:
            for row, cells in self.table.iterate(rows, self._columns):
                start += 1
                yield row, cells
        except DataError as error:
            if len(rows) == 1:
                yield int(rows[0]), error
                return
            for row in rows[start:].tolist():
                yield from self._cells(np.array([row]))

    def _count(self, sample: Sample) -> None:
        for name, encoded in sample.inputs.items():
            self.changes[name].update(() if encoded is None else encoded.changes)

    def _keep(self, sample: Sample) -> None:
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
        where = self._where(row)
        targets = {target.name: self._target(target, cells.get(target.name), where) for target in self.spec.targets}
        if self.require_target and not any(map(is_known, targets.values())):
            reason = "the target is missing" if len(targets) == 1 else f"all targets are missing ({', '.join(targets)})"
            raise where.error(self.spec.targets[0].name, reason)
        inputs = {modality.name: self._encode(modality, cells, where) for modality in self.spec.modalities}
        return Sample(inputs, targets, row)

    def _where(self, row: int) -> Where:
        return Where(self.table.place(row), self.table.root, row, self.allow_outside)

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
