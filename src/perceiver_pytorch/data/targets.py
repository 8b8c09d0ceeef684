"""The columns to predict: what kind each is, and what was learned about it from the train rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import filterfalse
from typing import Any, Literal, get_args

import numpy as np

from .errors import DataError, did_you_mean
from .labels import find_separator, is_list_text
from .table import TableLike
from .target_specs import ClassTarget, LabelsTarget, NumberTarget, TargetSpec
from .values import as_label, as_number, is_infinite, is_missing

TargetKind = Literal["class", "labels", "number"]
TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)

_MANY = 20  # more different values than this are measurements if they are numbers
_NEARLY_ALL = 0.95


def target_names(table: TableLike, given: str | Sequence[str]) -> tuple[str, ...]:
    """The target columns of a table: a name, several, or several in one text with commas.

    Raises:
        DataError: there is no such column, or none or one twice is given.
    """
    wanted = [given] if isinstance(given, str) else list(given)
    names: list[str] = []
    for text in wanted:
        whole = text in table.column_names or "," not in text
        names += [text] if whole else [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        table.require(name)
    if not names or len(set(names)) != len(names):
        raise DataError(f"{table.source}: one or more different target columns were expected, got {names}")
    return tuple(names)


def target_kinds(
    table: TableLike,
    names: str | Sequence[str],
    overrides: Mapping[str, str] | None = None,
    separator: str | None = None,
) -> dict[str, TargetKind]:
    """Each target's kind, by its values.

    - labels: lists, lists as text, or text with a separator whose parts come back in several combinations
    - number: numbers of more than 20 different values
    - class: everything else

    Args:
        table: the table.
        names: the target columns.
        overrides: {target: kind} that win over what is recognised.
        separator: what stands between the labels of a text, where it is known.

    Raises:
        DataError: an unknown target or kind.
    """
    names, overrides = target_names(table, names), overrides or {}
    for name, kind in overrides.items():
        if name not in names:
            known = list(names)
            raise DataError(f"a kind is given for {name!r}{did_you_mean(name, known)}; the targets are {known}")
        if kind not in TARGET_KINDS:
            known = list(TARGET_KINDS)
            raise DataError(
                f"target {name!r}: unknown kind {kind!r}{did_you_mean(str(kind), known)}; "
                f"the kinds are {', '.join(known)}"
            )
    return {name: overrides.get(name) or _recognised(table.column(name), separator) for name in names}  # type: ignore[misc]


def fit_targets(
    table: TableLike, kinds: Mapping[str, TargetKind], rows: np.ndarray, *, separator: str | None = None
) -> tuple[TargetSpec, ...]:
    """What the train rows say about each target.

    Args:
        table: the table.
        kinds: {target: kind}.
        rows: int64 row numbers of the train split; no other row is looked at.
        separator: what stands between the labels of a text; None: what is recognised.

    Raises:
        DataError: a target has no value, one value only, or too many to be classes.
    """
    return tuple(_fit(table, name, kind, rows, separator) for name, kind in kinds.items())


def _fit(table: TableLike, name: str, kind: TargetKind, rows: np.ndarray, separator: str | None) -> TargetSpec:
    cells = [cell for cell in table.take(name, rows) if not is_missing(cell)]
    place = f"{table.source}: target {name!r}"
    if not cells:
        raise DataError(f"{place} is missing in all {len(rows)} train rows", column=name)
    try:
        if kind == "number":
            return NumberTarget.fit(name, cells)
        if kind == "labels":
            return LabelsTarget.fit(name, cells, find_separator(cells) if separator is None else separator)
        spec = ClassTarget.fit(name, cells)
    except ValueError as error:
        raise DataError(f"{place} {error}", column=name) from None
    if len(spec.classes) > _MANY and 2 * len(spec.classes) > len(cells):
        raise DataError(
            f"{place} has {len(spec.classes)} different values in {len(cells)} train rows, too many for classes; "
            f"is it another kind (--target-kind {name}=number or labels), or no target at all?",
            column=name,
        )
    return spec


def require_targets(table: TableLike, names: str | Sequence[str], rows: np.ndarray) -> None:
    """Raise a `DataError` that names the first row in which all of the targets are missing."""
    names = target_names(table, names)
    cells = zip(*(table.take(name, rows) for name in names), strict=True)
    missing = [int(row) for row, values in zip(rows, cells, strict=True) if all(map(is_missing, values))]
    if missing:
        more = f" ({len(missing)} such rows in all)" if len(missing) > 1 else ""
        which = f"the target {names[0]!r} is" if len(names) == 1 else f"all of the targets {', '.join(names)} are"
        raise DataError(
            f"{table.source}: row {missing[0]}: {which} missing{more}; "
            "fill it in, leave the row out, or skip such rows with --on-error skip",
            row=missing[0],
            column=names[0],
            reason=f"{which} missing",
        )


def strata(table: TableLike, names: str | Sequence[str], rows: np.ndarray) -> list[str]:
    """A group per row, to draw from in proportion: the class of the first target that has classes."""
    for name in target_names(table, names):
        cells = table.take(name, rows)
        if _recognised(cells) == "class":
            return [as_label(cell) for cell in cells]
    return [""] * len(rows)


def _recognised(column: Iterable[Any], separator: str | None = None) -> TargetKind:
    cells = [cell for cell in column if not is_missing(cell)]
    lists = sum(isinstance(cell, list | tuple) or is_list_text(cell) for cell in cells)
    if cells and lists >= _NEARLY_ALL * len(cells):
        return "labels"
    if _measured(cells):
        return "number"
    if separator is not None and any(separator in cell for cell in cells if isinstance(cell, str)):
        return "labels"
    return "labels" if find_separator(cells) is not None else "class"


def _measured(cells: list[Any]) -> bool:
    """Numbers with many different values, or with decimals and hardly a value twice."""
    if any(isinstance(cell, bool) for cell in cells):
        return False
    try:
        numbers = [number for number in map(as_number, filterfalse(is_infinite, cells)) if number is not None]
    except ValueError:
        return False
    distinct = len(set(numbers))
    return distinct > _MANY or (any(number % 1 for number in numbers) and distinct > max(2, len(numbers) / 2))
