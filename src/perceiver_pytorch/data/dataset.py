"""The rows of a table as a data set of encoded samples; PyTorch takes it for one of its own."""

import copy
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from perceiver_pytorch._processes import DecodingMemoryError
from perceiver_pytorch.data.cell_memory import CELL_BYTES
from perceiver_pytorch.data.cells import Where, cell_key, of_the_cell, reason_of
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.input_spec import InputSpec
from perceiver_pytorch.data.kinds.base import Encoded, ModalitySpec
from perceiver_pytorch.data.losses import EMPTY, Change, Losses
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.table import TableLike
from perceiver_pytorch.data.targets import Target
from perceiver_pytorch.data.values import is_missing
from perceiver_pytorch.data.workers import in_workers, usual_workers

_REPORT_EVERY = 0.2  # seconds between two calls of a progress function
_MEASURED = 16  # rows decoded to tell how much memory all would take
_WORTH_WORKERS = 2.0  # seconds that decoding should take, if processes are to be started for it
_PORTION_BYTES = 4 << 20  # of the samples that a process hands over at a time
_MAX_PORTION = 256  # rows
_WORKER_BYTES = 64 << 20  # of decoded cells that a process keeps while it prepares rows, for rows with equal cells
_OBJECT_BYTES = 300  # what Python's objects around a small array cost, so that a limit in bytes holds


@dataclass(frozen=True, eq=False)
class Sample:
    """One encoded row.

    Attributes:
        inputs: {modality: its array, None where its cells are missing}.
        targets: {target: its encoded cell}; what its spec gives for `unknown` where it is missing.
        row: the row number in the table.
        emptied: the modalities that are missing although their cells hold something.
    """

    inputs: dict[str, Encoded | None]
    targets: dict[str, np.ndarray]
    row: int
    emptied: tuple[str, ...] = ()

    @property
    def in_pieces(self) -> list[str]:
        """The modalities that are too long for memory."""
        return [name for name, encoded in self.inputs.items() if encoded is not None and encoded.pieces is not None]

    @property
    def unusual(self) -> list[tuple[str, Oddity]]:
        """What about its cells is unlike the train rows, each with the modality's name."""
        there = ((name, encoded) for name, encoded in self.inputs.items() if encoded is not None)
        return [(name, oddity) for name, encoded in there for oddity in encoded.unusual]

    @property
    def changes(self) -> list[tuple[str, Change]]:
        """What was done to its cells, each with the modality's name."""
        emptied = [(name, Change(EMPTY)) for name in self.emptied]
        return emptied + [
            (name, change if isinstance(change, Change) else Change(change))
            for name, encoded in self.inputs.items()
            if encoded is not None
            for change in encoded.changes
        ]


@dataclass(frozen=True)
class BadRow:
    """A row that was left out: its number, the column to blame (None: the whole row) and the reason."""

    row: int
    column: str | None
    reason: str


Outcomes = Generator[tuple[int, "Sample | DataError"], None, None]
"""Each row's number and its sample, or why it has none."""
Keys = list[tuple[str, Hashable]]
"""Modalities of a row whose cells may be those of other rows, each with its cell's key."""


@dataclass(frozen=True)
class UsualRow:
    """What a row costs: bytes of its sample, and seconds to decode it."""

    nbytes: float
    seconds: float


class TableDataset:
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
        cell_bytes: memory that decoding one cell may take; one that needs more is an error.

    Attributes:
        prepared: all rows have been decoded once.
        bad: {row: `BadRow`}, the rows that were left out, as far as they were met.
        losses: counts what was done to the cells of the rows, as far as they were met.
        oddities: {row: `Sample.unusual`}, of the rows that were read in batches and have any.

    Raises:
        DataError: the table has no such column, or an argument is not as expected.
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
        cell_bytes: int = CELL_BYTES,
    ):
        if on_error not in ("raise", "skip"):
            raise DataError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        if workers is not None and workers < 0:
            raise DataError(f"workers must be 0 or more, got {workers}")
        self.table = table
        self.rows = np.asarray(rows, dtype=np.int64)
        self.spec = spec
        self.on_error = on_error
        self.allow_outside = allow_outside
        self.require_target = require_target
        self.workers = workers
        self.cell_bytes = cell_bytes
        self.prepared = False
        self.bad: dict[int, BadRow] = {}
        self.oddities: dict[int, list[tuple[str, Oddity]]] = {}
        self.losses = Losses(spec.modalities, len(table))
        targets = [target.name for target in spec.targets if target.name in table.column_names]
        self._columns = spec.columns + (targets or [spec.targets[0].name] if require_target else targets)
        for column in self._columns:
            table.require(column)
        self._samples: dict[int, Sample] = {}
        self._judged: dict[int, Sample | DataError] = {}
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

    @property
    def all_kept(self) -> bool:
        """Whether every row has been decoded and is in memory."""
        return self.prepared and len(self._samples) >= len(self.rows)

    def error(self, bad: BadRow) -> DataError:
        """What a bad row raises."""
        where = self.where(bad.row)
        column = "" if bad.column is None else f", column {bad.column!r}"
        message = f"{where.source}: row {bad.row}{column}: {bad.reason}"
        remedy = "; --on-error skip leaves such rows out" if self.on_error == "raise" else ""
        return DataError(message + remedy, row=bad.row, column=bad.column, reason=bad.reason)

    def fits(self) -> bool:
        """Whether all samples can be kept in memory, judged by some of them."""
        fits = len(self) * self._usual_row.nbytes <= self._free_bytes
        if not fits:
            self._judged.clear()
        return fits

    @cached_property
    def _usual_row(self) -> UsualRow:
        """The mean of some rows that can be read."""
        places = np.unique(np.linspace(0, len(self) - 1, _MEASURED).astype(np.int64))
        sizes, times = [], [time.monotonic()]
        for row, outcome in self._read(self.rows[places]):
            times.append(time.monotonic())
            if len(self) <= _MEASURED:
                self._judged[row] = outcome
            if isinstance(outcome, Sample):
                sizes.append(_OBJECT_BYTES + sum(_cost(encoded) for encoded in outcome.inputs.values()))
        seconds = float(np.median(np.diff(times)))  # the first row also loads libraries
        return UsualRow(sum(sizes) / max(1, len(sizes)), seconds)

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
        workers, told = self._preparing_workers(), -_REPORT_EVERY
        with closing(self._read_in_workers(workers) if workers else self._read_all()) as outcomes:
            for done, (row, outcome) in enumerate(outcomes):
                if progress and (now := time.monotonic()) - told >= _REPORT_EVERY:
                    progress(done, len(self.rows))
                    told = now
                if isinstance(outcome, Sample):
                    self.losses.count(row, outcome.changes)
                    self._keep(outcome)
                else:
                    bad.append(BadRow(row, outcome.column, outcome.reason))
                    if self.on_error == "raise":
                        raise self.error(bad[0]) from outcome
        if progress:
            progress(len(self.rows), len(self.rows))
        if bad and len(bad) == len(self.rows):
            first = self.error(bad[0])
            raise DataError(f"{self.table.source}: none of the {len(bad)} rows can be used; the first: {first}")
        self.rows = self.rows[~np.isin(self.rows, [entry.row for entry in bad])]
        self.bad |= {entry.row: entry for entry in bad}
        self.prepared = True
        return bad

    def _preparing_workers(self) -> int:
        """Processes that are worth starting to decode all rows."""
        if len(self) <= _MEASURED:
            return 0
        workers = usual_workers() if self.workers is None else self.workers
        if workers < (2 if self.workers is None else 1):
            return 0
        return workers if len(self) * self._usual_row.seconds > _WORTH_WORKERS else 0

    def _read_in_workers(self, workers: int) -> Outcomes:
        """What `_read` gives for all rows."""
        rows = int(np.clip(_PORTION_BYTES / max(1.0, self._usual_row.nbytes), 1, _MAX_PORTION))
        portions = [self.rows[start : start + rows] for start in range(0, len(self.rows), rows)]
        with closing(in_workers(self._for_worker()._portion, portions, workers)) as found:
            for row, outcome, keys in (entry for portion in found for entry in portion):
                if isinstance(outcome, BadRow):
                    yield row, self.error(outcome)
                else:
                    inputs = outcome.inputs | {name: self._once(key, outcome.inputs[name]) for name, key in keys}
                    yield row, replace(outcome, inputs=inputs)

    def _for_worker(self) -> "TableDataset":
        """A copy that keeps a few decoded cells, and no samples."""
        there = copy.copy(self)
        there._samples, there._decoded, there._free_bytes = {}, {}, min(self._free_bytes, _WORKER_BYTES)
        return there

    def _portion(self, rows: np.ndarray) -> list[tuple[int, Sample | BadRow, Keys]]:
        """Some rows, as they are handed from a process to another: an error that crosses over loses what it says."""
        found: list[tuple[int, Sample | BadRow, Keys]] = []
        shared = [modality for modality in self.spec.modalities if modality.shared]
        for row, cells in self._cells(rows):
            outcome = self._outcome(row, cells)
            if isinstance(outcome, Sample):
                found.append((row, outcome, [(modality.name, _key(modality, cells)) for modality in shared]))
            else:
                found.append((row, BadRow(row, outcome.column, outcome.reason), []))
        return found

    def _read_all(self) -> Outcomes:
        """What `_read` gives for all rows; few rows were all decoded to judge them."""
        judged, self._judged = self._judged, {}
        yield from judged.items() if judged.keys() == {*self.rows.tolist()} else self._read(self.rows)

    def _read(self, rows: np.ndarray) -> Outcomes:
        """Each row's number and its sample, or why it has none."""
        for row, cells in self._cells(rows):
            yield row, self._outcome(row, cells)

    def _outcome(self, row: int, cells: dict[str, Any] | DataError) -> Sample | DataError:
        if isinstance(cells, DataError):
            return cells
        try:
            return self._sample(row, cells)
        except DataError as error:
            return error

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
        where = self.where(row)
        targets = {target.name: self._target(target, cells.get(target.name), where) for target in self.spec.targets}
        if self.require_target and not any(target.known(targets[target.name][None])[0] for target in self.spec.targets):
            reason = "the target is missing" if len(targets) == 1 else f"all targets are missing ({', '.join(targets)})"
            raise where.error(self.spec.targets[0].name, reason)
        inputs = {modality.name: self._encode(modality, cells, where) for modality in self.spec.modalities}
        emptied = [m.name for m in self.spec.modalities if inputs[m.name] is None and m.shared and _holds(m, cells)]
        return Sample(inputs, targets, row, tuple(emptied))

    def where(self, row: int) -> Where:
        """The place of a row, for messages and for files that its cells lead to."""
        table = self.table
        return Where(table.place(row), table.root, row, self.allow_outside, self.cell_bytes, hosts=table.hosts)

    def _encode(self, modality: ModalitySpec, cells: Mapping[str, Any], where: Where) -> Encoded | None:
        if not modality.shared:
            return _encoded(modality, cells, where)
        key = _key(modality, cells)
        return self._decoded[key] if key in self._decoded else self._once(key, _encoded(modality, cells, where))

    def _once(self, key: Hashable, encoded: Encoded | None) -> Encoded | None:
        """The one array of all cells that are equal, kept if there is room."""
        if key not in self._decoded and self._claim(_cost(encoded)):
            self._decoded[key] = encoded
        return self._decoded.get(key, encoded)

    def _target(self, target: Target, value: Any, where: Where) -> np.ndarray:
        try:
            return target.encode(value)
        except ValueError as error:
            if self.require_target:
                raise where.error(target.name, str(error)) from error
            return target.unknown()


def _holds(modality: ModalitySpec, cells: Mapping[str, Any]) -> bool:
    """Whether the cell of a modality of one column has something in it."""
    cell = cells[modality.columns[0]]
    if isinstance(cell, Mapping):
        return not all(map(is_missing, cell.values()))
    return not is_missing(cell) and cell != []


def _encoded(modality: ModalitySpec, cells: Mapping[str, Any], where: Where) -> Encoded | None:
    """The modality's array of a row. A file that the system does not open is the row's fault, missing memory is not."""
    column = modality.columns[0]
    try:
        return modality.encode(cells, where)
    except MemoryError as error:
        raise DecodingMemoryError.at(f"row {where.row}, column {column!r}", str(error)) from error
    except OSError as error:
        if not of_the_cell(error):
            raise
        raise where.error(column, f"a file cannot be read ({reason_of(error)})", cells.get(column)) from error


def _key(modality: ModalitySpec, cells: Any) -> Hashable:
    """Equal for cells that need decoding once."""
    return modality.name, cell_key(cells[modality.columns[0]])


def _cost(encoded: Encoded | None) -> int:
    return _OBJECT_BYTES + (0 if encoded is None else encoded.nbytes)
