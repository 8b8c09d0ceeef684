"""Predictions as a table file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perceiver_pytorch._files import write_whole
from perceiver_pytorch.data import BadRow, ClassTarget, LabelsTarget, TargetSpec
from perceiver_pytorch.training.table.evaluation import Predictions

SUFFIXES = (".csv", ".parquet")


def check_output(path: Path) -> None:
    """Raises ValueError for a file type that predictions cannot be written to, or a folder that is not there."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"predictions are written to {' or '.join(SUFFIXES)} files, got {path}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"the folder of {path} does not exist")


def write_predictions(path: Path, predictions: Predictions, bad: Mapping[int, BadRow] | None = None) -> None:
    """Writes ``row`` (number in the table, from 0) and the columns of each target.

    ``prediction`` holds the most probable class; the labels of probability 0.5 or more, joined as in the train table
    (``|`` where that had lists); or the number, or date. Classes and labels have ``p_NAME`` each. With several targets
    ``TARGET_`` stands before each of these.

    Args:
        path: CSV or Parquet file.
        predictions: of the rows that could be read.
        bad: {row: what is wrong with it}, of those that could not; not None: there is a column ``error``, and bad rows
            have their place among the others, without a prediction.
    """
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    columns: dict[str, Any] = {"row": predictions.rows.numpy()}
    for target in predictions.targets:
        prefix = f"{target.name}_" if len(predictions.targets) > 1 else ""
        for name, values in _columns(target, predictions.values(target)).items():
            columns[_free_name(prefix + name, columns)] = values
    table = pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()})
    if bad is not None:
        reasons = [f"{entry.column}: {entry.reason}" if entry.column else entry.reason for entry in bad.values()]
        error = pyarrow.nulls(len(table), pyarrow.string())
        left_out = pyarrow.table({"row": pyarrow.array(list(bad), pyarrow.int64()), "error": reasons})
        together = pyarrow.concat_tables([table.append_column("error", error), left_out], promote_options="default")
        table = together.sort_by("row")
    writer = pyarrow.csv.write_csv if path.suffix.lower() == ".csv" else pyarrow.parquet.write_table
    write_whole(path, lambda partial: writer(table, str(partial)))


def _columns(target: TargetSpec, values: Tensor) -> dict[str, Any]:
    if isinstance(target, ClassTarget):
        chosen = [target.classes[i] for i in values.argmax(-1).tolist()]
        return {"prediction": chosen, **_probabilities(target.classes, values)}
    if isinstance(target, LabelsTarget):
        separator = target.separator or "|"
        joint = ", " if separator == "," else separator
        chosen = [joint.join(target.labels[i] for i in torch.nonzero(row).flatten().tolist()) for row in values >= 0.5]
        return {"prediction": chosen, **_probabilities(target.labels, values)}
    return {"prediction": target.cells(values[:, 0].numpy())}


def _probabilities(names: tuple[str, ...], values: Tensor) -> dict[str, Any]:
    return {f"p_{name}": values[:, i].contiguous().numpy() for i, name in enumerate(names)}


def _free_name(name: str, taken: dict[str, Any]) -> str:
    """``name``, or with underscores behind it where another target's columns have it already."""
    while name in taken:
        name += "_"
    return name
