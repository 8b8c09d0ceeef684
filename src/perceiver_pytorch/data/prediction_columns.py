"""Columns of a file of predictions, whatever computed them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from perceiver_pytorch.data.targets import Target


def prediction_columns(rows: np.ndarray, targets: Sequence[Target], values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """{column: its cells}: ``row`` (number in the table, from 0) and each target's.

    With several targets ``TARGET_`` stands before the names of their columns.

    Args:
        rows: int64 ``(rows,)``.
        targets: what was predicted.
        values: {target: `Target.values` of the rows, as an array}.
    """
    columns: dict[str, Any] = {"row": rows}
    for target in targets:
        prefix = f"{target.name}_" if len(targets) > 1 else ""
        for name, cells in target.columns(values[target.name]).items():
            columns[_free_name(prefix + name, columns)] = cells
    return columns


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    """``name``, or with underscores behind it where another target's columns have it already."""
    while name in taken:
        name += "_"
    return name
