"""Which rows train, which validate, which test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perceiver_pytorch.data.drawing_rows import draw_covering, draw_in_proportion
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.parts import PARTS
from perceiver_pytorch.data.table import TableLike
from perceiver_pytorch.data.targets.target_columns import groups, require_targets, strata, target_kinds, target_names
from perceiver_pytorch.data.values import is_missing

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "eval": "test",
}


@dataclass(frozen=True, eq=False)
class Splits:
    """Row numbers of each split, int64, ascending; `test` may be empty."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def split_column(table: TableLike, split: str | None) -> str | None:
    """The split column: the named one, else `split` (in any capitals) if the table has it, else None.

    Raises:
        DataError: there is no such column.
    """
    if split is not None:
        table.require(split)
        return split
    found = [name for name in table.column_names if name.strip().lower() == "split"]
    return "split" if "split" in found else found[0] if len(found) == 1 else None


def split_rows(
    table: TableLike,
    *,
    target: str | Sequence[str],
    split: str | None,
    val_fraction: float,
    seed: int,
    require_target: bool = True,
    draw: str = "covering",
    kinds_of_targets: Mapping[str, str] | None = None,
    label_separator: str | None = None,
    most: Mapping[str, int] | None = None,
) -> Splits:
    """Split a table by its split column, drawing the val rows from the train rows where it names none.

    Args:
        table: the table.
        target: the column to predict, or several.
        split: the split column, with train/training, val/valid/validation/dev and test/eval in any case; None for the
            column `split` if there is one. Without one, val is drawn from all rows and test is empty.
        val_fraction: the part of the train rows to draw, where val rows are drawn.
        seed: fixes the draw.
        require_target: a train or val row without any of the targets is an error.
        draw: "covering": val rows are drawn in proportion from each class or label of the targets, at least one of each
            that two rows have; "proportional": in proportion from each class of the first target that has classes.
        kinds_of_targets: {target: kind} that win over what is recognised.
        label_separator: what stands between the labels of a text; None: what is recognised.
        most: {split: number of rows}; of a split that has more, so many are drawn. Train rows are drawn with one of
            each class and label, as far as their number goes.

    Raises:
        DataError: an unknown split name, no target in a train or val row, no train rows, or a `val_fraction`
            outside 0..1.
    """
    if not 0 < val_fraction < 1:
        raise DataError(f"val_fraction must lie between 0 and 1, got {val_fraction}")
    targets = target_names(table, target)
    column = split_column(table, split)
    if column in targets:
        raise DataError(f"{table.source}: the column {column!r} cannot be both the target and the split")
    parts = _named_parts(table, column)
    train, val, test = (np.flatnonzero(parts == name) for name in PARTS)
    if not len(train):
        raise DataError(f"{table.source}: column {column!r} puts no row into the train split")
    for rows in (train, val) if require_target else ():
        require_targets(table, targets, rows)
    if not len(val):
        if len(train) < 2:
            raise DataError(
                f"{table.source}: one train row only, so that no val row can be drawn from it{_by_columns(table)}"
            )
        rng = np.random.default_rng(seed)
        if draw == "covering":
            kinds = target_kinds(table, targets, kinds_of_targets, label_separator)
            chosen = draw_covering(groups(table, kinds, train, label_separator), val_fraction, rng)
        else:
            chosen = draw_in_proportion(strata(table, targets, train), val_fraction, rng)
        train, val = np.delete(train, chosen), train[chosen]
    whole = Splits(train, val, test)
    if not most:
        return whole
    kinds = target_kinds(table, targets, kinds_of_targets, label_separator)
    return _limited(whole, most, seed, lambda rows: groups(table, kinds, rows, label_separator))


def _limited(
    splits: Splits, most: Mapping[str, int], seed: int, groups_of: Callable[[np.ndarray], list[list[tuple[str, str]]]]
) -> Splits:
    """The splits with at most so many rows."""
    found = {}
    for i, name in enumerate(PARTS):
        rows = getattr(splits, name)
        count = most.get(name, len(rows))
        if count < len(rows):
            rows = rows[np.random.default_rng([seed, i]).permutation(len(rows))]
            if name == "train":
                rows = np.concatenate(_first_of_each(rows, groups_of(rows)))
            rows = np.sort(rows[:count])
        found[name] = rows
    return Splits(**found)


def _first_of_each(rows: np.ndarray, groups_of_rows: list[list[tuple[str, str]]]) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are the first with one of their groups, and the others."""
    seen: set[tuple[str, str]] = set()
    is_first = np.zeros(len(rows), dtype=bool)
    for place, row in enumerate(groups_of_rows):
        is_first[place] = not seen.issuperset(row)
        seen.update(row)
    return rows[is_first], rows[~is_first]


def _by_columns(table: TableLike) -> str:
    """What to do about a file that holds columns where rows are expected, for the end of a message."""
    if len(table) != 1 or not all(isinstance(cell, list | dict) for cell in table.row(0).values()):
        return ""
    return "; it seems to hold columns: write an object per row (in pandas: to_json(path, orient='records'))"


def _named_parts(table: TableLike, column: str | None) -> np.ndarray:
    """ "train", "val" or "test" for every row; all "train" without a split column."""
    if column is None:
        return np.full(len(table), "train")
    parts = []
    for row, value in enumerate(table.column(column)):
        part = None if is_missing(value) else SPLIT_NAMES.get(str(value).strip().lower())
        if part is None:
            given = "is empty" if is_missing(value) else f"says {value!r}"
            raise DataError(
                f"{table.source}: row {row}: the split column {column!r} {given}; "
                f"it must say one of {', '.join(SPLIT_NAMES)}. "
                "If it is no split, rename it or name another column (--split)",
                row=row,
                column=column,
            )
        parts.append(part)
    return np.array(parts)
