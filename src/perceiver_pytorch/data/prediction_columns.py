"""Columns of a file of predictions, whatever computed them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from perceiver_pytorch.data.targets import Target


def prediction_columns(
    rows: np.ndarray,
    targets: Sequence[Target],
    values: Mapping[str, np.ndarray],
    regions: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """{column: its cells}: ``row`` (number in the table, from 0) and each target's.

    With several targets ``TARGET_`` stands before the names of their columns.

    Args:
        rows: int64 ``(rows,)``.
        targets: what was predicted.
        values: {target: `Target.values` of the rows, as an array}.
        regions: {target: `Target.regions` of the rows}, whose columns stand behind the prediction.
    """
    columns: dict[str, Any] = {"row": rows}
    for target in targets:
        prefix = f"{target.name}_" if len(targets) > 1 else ""
        beside = target.region_columns(regions[target.name]) if regions and target.name in regions else {}
        prediction, *others = target.columns(values[target.name]).items()
        for name, cells in (prediction, *beside.items(), *others):
            columns[_free_name(prefix + name, columns)] = cells
    return columns


def with_reasons(columns: Mapping[str, Any], reasons: Sequence[str]) -> dict[str, Any]:
    """The columns, and last ``unusual``: what about a row is unlike the train rows, None where nothing is."""
    return {**columns, _free_name("unusual", columns): [reason or None for reason in reasons]}


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    """``name``, or with underscores behind it where another target's columns have it already."""
    while name in taken:
        name += "_"
    return name
