"""Predictions as a table, and as a file of one."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perceiver_pytorch._files import write_whole
from perceiver_pytorch.data import BadRow
from perceiver_pytorch.data.table import arrow_array

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".csv", ".parquet")


def check_output(path: Path) -> None:
    """Raises ValueError for a file type that predictions cannot be written to, or a folder that is not there."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"predictions are written to {' or '.join(SUFFIXES)} files, got {path}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"the folder of {path} does not exist")


def predictions_table(columns: Mapping[str, Any], bad: Mapping[int, BadRow] | None = None) -> "pyarrow.Table":
    """`prediction_columns` as an Arrow table.

    Args:
        columns: of the rows that could be read.
        bad: {row: what is wrong with it}, of those that could not; not None: there is a column ``error``, and bad rows
            have their place among the others, without a prediction.
    """
    import pyarrow

    table = pyarrow.table({name: _cells(values) for name, values in columns.items()})
    if bad is None:
        return table
    reasons = [f"{entry.column}: {entry.reason}" if entry.column else entry.reason for entry in bad.values()]
    error = pyarrow.nulls(len(table), pyarrow.string())
    left_out = pyarrow.table({"row": pyarrow.array(list(bad), pyarrow.int64()), "error": reasons})
    together = pyarrow.concat_tables([table.append_column("error", error), left_out], promote_options="default")
    return together.sort_by("row")


def write_table(path: Path, table: "pyarrow.Table") -> None:
    """Writes a CSV or Parquet file."""
    import pyarrow.csv
    import pyarrow.parquet

    writer = pyarrow.csv.write_csv if path.suffix.lower() == ".csv" else pyarrow.parquet.write_table
    write_whole(path, lambda partial: writer(table, str(partial)))


def _cells(values: Any) -> Any:
    """A column for Arrow."""
    import pyarrow

    if isinstance(values, np.ndarray):
        return arrow_array(values) if values.dtype.kind in "if" else pyarrow.array(values)
    texts = all(value is None or isinstance(value, str) for value in values)
    return arrow_array(values) if texts else pyarrow.array(values)
