"""A run's model on rows of another table: which rows, and what is told about them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch import _checks
from perceiver_pytorch.data import InputSpec, TableDataset, TableLike, split_column
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.losses import told
from perceiver_pytorch.data.splits import SPLIT_NAMES
from perceiver_pytorch.tables.forms import Form, open_table
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.datasets import decode_where_it_fits, make_dataset, read_options
from perceiver_pytorch.training.table.settings import DataConfig

SPLITS = ("train", "val", "test", "all")


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Rows of a table.

    Attributes:
        table: all rows.
        rows: int64, the numbers of those that were chosen.
        split: what was chosen: train, val, test or all.
        form: of a table in memory, else None.
    """

    table: TableLike
    rows: np.ndarray
    split: str
    form: Form | None

    @classmethod
    def load(
        cls,
        given: Any,
        data: DataConfig,
        split: str | None,
        default: str,
        root: str | Path | None,
        reporter: Reporter,
        spec: InputSpec | None = None,
    ) -> "ChosenRows":
        """Reads a table.

        Args:
            given: a table of any form.
            data: how to read it; ``data.split`` is the split column that the train table had.
            split: train, val, test or all; None: ``default`` where the table has such rows, else all.
            root: of a table in memory, where paths in cells start.
            reporter: how to warn.
            spec: what the run learned, by which cells are read as they are written.

        Raises:
            ValueError: for another split, or one that the table does not have.
        """
        if split is not None:
            _checks.choice("split", split, SPLITS)
        table, form = open_table(given, read_options(data, spec), root)
        for note in table.notes:
            reporter.warn(note)
        table = table if spec is None or spec.spellings is None else table.spelled(spec.spellings)
        wanted = split or default
        everything = cls(table, np.arange(len(table)), "all", form)
        name = data.split if data.split in table.column_names else split_column(table, None)
        if wanted == "all" or (name is None and split is None):
            return everything
        if name is None:
            raise ValueError(f"{table.source} has no split column, so it has no {wanted} rows; the split must be all")
        parts = [SPLIT_NAMES.get(str(value).strip().lower()) for value in table.column(name)]
        rows = np.flatnonzero(np.array([part == wanted for part in parts]))
        if len(rows):
            return cls(table, rows, wanted, form)
        if split is None:
            return everything
        raise ValueError(f"{table.source}: the split column {name!r} has no {wanted} rows")

    def dataset(
        self, spec: InputSpec, data: DataConfig, workers: int | None, reporter: Reporter, *, require_target: bool
    ) -> TableDataset:
        """The rows as a model of ``spec`` reads them, decoded where they fit into memory."""
        table = _complete(self.table, spec.columns, reporter)
        dataset = make_dataset(table, self.rows, spec, data, require_target=require_target, workers=workers)
        decode_where_it_fits(dataset, "decoding rows", reporter)
        return dataset


def _complete(table: TableLike, columns: Sequence[str], reporter: Reporter) -> TableLike:
    """The table with those of ``columns`` that it lacks, empty; they are warned about.

    Raises:
        ValueError: if it has none of them.
    """
    there = frozenset(table.column_names)
    missing = [name for name in columns if name not in there]
    if len(missing) == len(columns):
        raise ValueError(f"{table.source} has none of the columns that the model reads: {listed(columns)}")
    if missing:
        which = f"column {missing[0]!r}; it counts" if len(missing) == 1 else f"columns {listed(missing)}; they count"
        reporter.warn(f"{table.source} has no {which} as missing in every row")
    return table.with_empty(missing)


def warn_about_rows(dataset: TableDataset, reporter: Reporter) -> None:
    """Names the first rows that were left out, and tells what the cells of the others lost."""
    bad = list(dataset.bad.values())
    for entry in bad[:10]:
        column = "" if entry.column is None else f"column {entry.column!r}: "
        reporter.warn(f"row {entry.row} is left out: {column}{entry.reason}")
    if len(bad) > 10:
        reporter.warn(f".. and {len(bad) - 10} more rows")
    for line in told(dataset.losses.lines()):
        reporter.warn(line)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How another table than the train table is read: the arguments of `Run.evaluate` and `Run.predict` that say so."""

    on_error: str | None = None
    allow_outside: bool = False
    encoding: str | None = None
    skip_lines: int | None = None
    header: bool | None = None
    quoting: str | None = None
    table_mb: int | None = None
    cell_mb: int | None = None
    allow_web: Sequence[str] | None = None
    where: str | None = None

    def __post_init__(self) -> None:
        if self.allow_web is not None:  # what a caller does to the list later is no matter of this reading
            object.__setattr__(self, "allow_web", tuple(self.allow_web))

    def adapt(self, data: DataConfig) -> DataConfig:
        """A run's data settings for that table; how the train table was written, and which of its
        rows were used, says little about it."""
        return dataclasses.replace(
            data,
            on_error=self.on_error or data.on_error,
            allow_outside=data.allow_outside or self.allow_outside,
            allow_web=[*data.allow_web, *(self.allow_web or ())],
            where=self.where,
            cell_mb=data.cell_mb if self.cell_mb is None else self.cell_mb,
            encoding=self.encoding,
            delimiter=None,
            skip_lines=self.skip_lines or 0,
            header=data.header if self.header is None else self.header,
            quoting=self.quoting or data.quoting,
            table_mb=self.table_mb or data.table_mb,
        )
