"""What evaluate and predict share: a run's model on rows of another table."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from perceiver_pytorch.cli import console
from perceiver_pytorch.data import BadRow, Table, TableDataset, load_table, split_column
from perceiver_pytorch.data.splits import SPLIT_NAMES
from perceiver_pytorch.training.build import TableModel
from perceiver_pytorch.training.config import DataConfig
from perceiver_pytorch.training.fit import make_dataset
from perceiver_pytorch.training.run_folder import RunFolder

M = TypeVar("M", bound=nn.Module)
SPLITS = ("train", "val", "test", "all")


def open_run(run: RunFolder) -> TableModel:
    """The run's model, on the accelerator if there is one."""
    return on_accelerator(run.model())


def on_accelerator(model: M) -> M:
    """The model, on the accelerator if there is one."""
    return model.to("cuda") if torch.cuda.is_available() else model


def load_rows(source: str, data: DataConfig, split: str | None, default: str) -> tuple[Table, np.ndarray, str]:
    """A table, the chosen rows of it, and the name of the choice.

    Args:
        split: train, val, test or all; None: ``default`` where the table has such rows, else all.

    Raises:
        ValueError: for another split, or one that the table does not have.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"--split must be one of {', '.join(SPLITS)}, got {split!r}")
    table = load_table(source)
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


def complete(table: Table, columns: Sequence[str]) -> Table:
    """The table with those of ``columns`` that it lacks, empty; each is warned about.

    Raises:
        ValueError: if it has none of them.
    """
    import pyarrow

    missing = [name for name in columns if name not in table.column_names]
    if len(missing) == len(columns):
        raise ValueError(f"{table.source} has none of the columns that the model reads: {', '.join(columns)}")
    rows = table.rows
    for name in missing:
        console.warn(f"{table.source} has no column {name!r}; it counts as missing in every row")
        rows = rows.append_column(name, pyarrow.nulls(len(table)))
    return Table(table.source, table.root, rows)


def prepared(
    table: Table, rows: np.ndarray, run: RunFolder, data: DataConfig, *, require_target: bool
) -> tuple[TableDataset, list[BadRow]]:
    """The rows, decoded, and those that were left out."""
    spec = run.spec()
    dataset = make_dataset(complete(table, spec.columns), rows, spec, data, require_target=require_target)
    with console.reporter().step("decoding rows") as progress:
        bad_rows = dataset.prepare(progress)
    for bad in bad_rows[:10]:
        console.warn(f"row {bad.row} is left out: {bad.reason}")
    if len(bad_rows) > 10:
        console.warn(f".. and {len(bad_rows) - 10} more rows")
    return dataset, bad_rows


def overridden(data: DataConfig, on_error: str | None, allow_outside: bool) -> DataConfig:
    """The run's data settings with those of the command."""
    import dataclasses

    changes: dict[str, Any] = {"allow_outside": data.allow_outside or allow_outside}
    if on_error is not None:
        changes["on_error"] = on_error
    return dataclasses.replace(data, **changes)
