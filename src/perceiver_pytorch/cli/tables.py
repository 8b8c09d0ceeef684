"""What evaluate and predict share: a run's model on rows of another table."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from perceiver_pytorch.cli import console
from perceiver_pytorch.data import TableDataset, TableLike, load_table, split_column
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.splits import SPLIT_NAMES
from perceiver_pytorch.training.start.published import RunModel
from perceiver_pytorch.training.table.datasets import decode_where_it_fits, make_dataset, read_options
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import DataConfig

M = TypeVar("M", bound=nn.Module)
SPLITS = ("train", "val", "test", "all")


def open_run(run: TableRun) -> RunModel:
    """The run's model, on the accelerator if there is one."""
    return on_accelerator(run.model())


def on_accelerator(model: M) -> M:
    """The model, on the accelerator if there is one."""
    return model.to("cuda") if torch.cuda.is_available() else model


def load_rows(source: str, data: DataConfig, split: str | None, default: str) -> tuple[TableLike, np.ndarray, str]:
    """A table, the chosen rows of it, and the name of the choice.

    Args:
        split: train, val, test or all; None: ``default`` where the table has such rows, else all.

    Raises:
        ValueError: for another split, or one that the table does not have.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"--split must be one of {', '.join(SPLITS)}, got {split!r}")
    table = load_table(source, read_options(data))
    for note in table.notes:
        console.warn(note)
    wanted = split or default
    everything = np.arange(len(table))
    name = data.split if data.split in table.column_names else split_column(table, None)
    if wanted == "all" or (name is None and split is None):
        return table, everything, "all"
    if name is None:
        raise ValueError(f"{source} has no split column, so that it has no {wanted} rows; use --split all")
    parts = [SPLIT_NAMES.get(str(value).strip().lower()) for value in table.column(name)]
    rows = np.flatnonzero(np.array([part == wanted for part in parts]))
    if len(rows):
        return table, rows, wanted
    if split is None:
        return table, everything, "all"
    raise ValueError(f"{source}: the split column {name!r} has no {wanted} rows")


def complete(table: TableLike, columns: Sequence[str]) -> TableLike:
    """The table with those of ``columns`` that it lacks, empty; they are warned about.

    Raises:
        ValueError: if it has none of them.
    """
    missing = [name for name in columns if name not in table.column_names]
    if len(missing) == len(columns):
        raise ValueError(f"{table.source} has none of the columns that the model reads: {listed(columns)}")
    if missing:
        which = f"column {missing[0]!r}; it counts" if len(missing) == 1 else f"columns {listed(missing)}; they count"
        console.warn(f"{table.source} has no {which} as missing in every row")
    return table.with_empty(missing)


def opened(
    table: TableLike, rows: np.ndarray, run: TableRun, data: DataConfig, workers: int | None, *, require_target: bool
) -> TableDataset:
    """The rows, decoded where they fit into memory."""
    spec = run.spec()
    table = complete(table, spec.columns)
    dataset = make_dataset(table, rows, spec, data, require_target=require_target, workers=workers)
    decode_where_it_fits(dataset, "decoding rows", console.reporter())
    return dataset


def tell_bad_rows(dataset: TableDataset) -> None:
    """Warns about the rows that were left out."""
    bad = list(dataset.bad.values())
    for entry in bad[:10]:
        column = "" if entry.column is None else f"column {entry.column!r}: "
        console.warn(f"row {entry.row} is left out: {column}{entry.reason}")
    if len(bad) > 10:
        console.warn(f".. and {len(bad) - 10} more rows")


def overridden(data: DataConfig, on_error: str | None, allow_outside: bool, encoding: str | None) -> DataConfig:
    """The run's data settings with those of the command; how the train table was written says nothing of another."""
    import dataclasses

    return dataclasses.replace(
        data,
        allow_outside=data.allow_outside or allow_outside,
        on_error=on_error or data.on_error,
        encoding=encoding,
        delimiter=None,
    )
