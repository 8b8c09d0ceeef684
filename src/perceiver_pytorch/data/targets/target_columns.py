"""The columns to predict: what kind each is, and what was learned about it from the train rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from perceiver_pytorch._checks import did_you_mean
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.table import TableLike
from perceiver_pytorch.data.targets import Target, target_types
from perceiver_pytorch.data.values import is_missing


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
        raise DataError(f"{table.source}: one or more different target columns must be given, got {names}")
    return tuple(names)


def target_kinds(
    table: TableLike,
    names: str | Sequence[str],
    overrides: Mapping[str, str] | None = None,
    separator: str | None = None,
) -> dict[str, str]:
    """Each target's kind: the first of `target_types` that recognises its cells.

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
        if kind not in target_types():
            known = sorted(target_types())
            raise DataError(
                f"target {name!r}: unknown kind {kind!r}{did_you_mean(str(kind), known)}; "
                f"the kinds are {', '.join(known)}"
            )
    return {name: overrides.get(name) or _recognised(table.column(name), separator).kind for name in names}


def fit_targets(
    table: TableLike, kinds: Mapping[str, str], rows: np.ndarray, *, separator: str | None = None
) -> tuple[Target, ...]:
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


def _fit(table: TableLike, name: str, kind: str, rows: np.ndarray, separator: str | None) -> Target:
    cells = _with_value(table.take(name, rows))
    place = f"{table.source}: target {name!r}"
    if not cells:
        raise DataError(f"{place} is missing in all {len(rows)} train rows", column=name)
    try:
        return target_types()[kind].fit(name, cells, separator)
    except ValueError as error:
        raise DataError(f"{place} {error}", column=name) from None


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
    """A group per row, to draw from in proportion: that of the first target whose kind has groups."""
    for name in target_names(table, names):
        cells = table.take(name, rows)
        groups = _recognised(cells).strata(cells)
        if groups is not None:
            return groups
    return [""] * len(rows)


def groups(
    table: TableLike, kinds: Mapping[str, str], rows: np.ndarray, separator: str | None = None
) -> list[list[tuple[str, str]]]:
    """Per row its classes and labels, each as (target, class or label).

    Args:
        table: the table.
        kinds: {target: kind}.
        rows: int64 row numbers.
        separator: what stands between the labels of a text; None: what is recognised.
    """
    each = {name: target_types()[kind].groups(table.take(name, rows), separator) for name, kind in kinds.items()}
    found: list[list[tuple[str, str]]] = [[] for _ in rows]
    for name, cells in each.items():
        for row, cell in zip(found, cells, strict=True):
            row.extend((name, group) for group in cell)
    return found


def check_unique(targets: Iterable[Target]) -> None:
    """Raise a `DataError` unless there are one or more targets of different names."""
    names = [target.name for target in targets]
    if not names or len(set(names)) != len(names):
        raise DataError(f"targets must hold one or more of different names, got {names}")


def _recognised(column: Iterable[Any], separator: str | None = None) -> type[Target]:
    cells = _with_value(column)
    return next(target for target in target_types().values() if target.recognises(cells, separator))


def _with_value(column: Iterable[Any]) -> list[Any]:
    return [cell for cell in column if not is_missing(cell)]
