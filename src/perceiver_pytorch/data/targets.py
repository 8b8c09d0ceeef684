"""The target column: its classes, learned from the train rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import DataError
from .table import Table
from .values import as_label, is_missing

_MANY = 20  # more classes than this, and more than half as many as rows, are no classes


def fit_classes(table: Table, target: str, rows: np.ndarray) -> tuple[str, ...]:
    """The classes of the train rows in string form, sorted: numbers by value, then the others as text.

    Raises:
        DataError: a target is missing, all are equal, or they look like measurements rather than classes.
    """
    cells = table.take(target, rows)
    require_targets(table, target, rows, cells)
    classes = {as_label(cell) for cell in cells}
    place = f"{table.source}: target {target!r}"
    if len(classes) < 2:
        raise DataError(f"{place} has one value only in the train rows ({', '.join(classes)}); two classes are needed")
    if len(classes) > _MANY and 2 * len(classes) > len(cells):
        reason = f"has {len(classes)} different values in {len(cells)} train rows"
        raise DataError(f"{place} {reason}; only classification targets are supported so far", column=target)
    if _continuous(cells, len(classes)):
        reason = f"has {len(classes)} different values with decimals"
        raise DataError(f"{place} {reason}; only classification targets are supported so far", column=target)
    return tuple(sort_labels(classes))


def require_targets(table: Table, target: str, rows: np.ndarray, cells: list[Any]) -> None:
    """Raise a `DataError` that names the first row whose target is missing."""
    missing = [int(row) for row, cell in zip(rows, cells, strict=True) if is_missing(cell)]
    if missing:
        more = f" ({len(missing)} such rows in all)" if len(missing) > 1 else ""
        raise DataError(
            f"{table.source}: row {missing[0]}: the target {target!r} is missing{more}; "
            "fill it in, leave the row out, or put it into the test split",
            row=missing[0],
            column=target,
            reason="the target is missing",
        )


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Finite numbers first, by value, then the others as text."""
    return sorted(labels, key=_order)


def _order(label: str) -> tuple[bool, float, str]:
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    return (False, value, label) if math.isfinite(value) else (True, 0.0, label)


def _continuous(cells: list[Any], num_classes: int) -> bool:
    decimals = any(isinstance(cell, float) and math.isfinite(cell) and cell != int(cell) for cell in cells)
    return decimals and (num_classes > _MANY or 2 * num_classes > len(cells))
