"""Recognise what each column of a table holds, which ones may give the answer away, and what would stay unread."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch._checks import did_you_mean
from perceiver_pytorch.data.cells import file_path
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.errors import DataError, listed, near_column, need
from perceiver_pytorch.data.kinds import IGNORE, kind_names, kinds, recognised
from perceiver_pytorch.data.splits import SPLIT_NAMES, split_column
from perceiver_pytorch.data.table import Table, arrow_array
from perceiver_pytorch.data.targets.target_columns import target_names
from perceiver_pytorch.data.train_rows import spread
from perceiver_pytorch.data.values import as_label, as_number, is_missing

_TEXT_SUFFIXES = (".txt", ".md", ".html", ".htm", ".xml", ".json", ".rtf", ".doc", ".docx", ".odt", ".tex", ".srt")
_PANDAS_INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0(\.\d+|_level_\d+)?|")
_SAME, _ENOUGH = 0.9999, 10  # correlation, and rows, that tell that a column is the target in another unit
_NARROW = 1e-3  # of a standard deviation
_NEXT = 2  # distance of whole numbers from the next one that are numbered through; some rows are in other splits
_CODE = re.compile(r"(?=\S*\d)[^\s/\\]{1,64}")
"""A word with a digit: paths have other meanings."""
_MANY_CELLS = 2_000  # looked at for identifiers
_NUM_FILES = 8  # cells of a column looked at for paths of texts


def recognise_columns(
    table: Table,
    *,
    target: str | Sequence[str] | None,
    split: str | None,
    overrides: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Each column's kind, by its values: that of the first of `perceiver_pytorch.data.kinds` that recognises it.

    `ignore` are columns that no kind recognises: empty or constant ones, identifiers (a name like `id` or `*_id`, and
    no value twice), other files, and the index of a data frame of pandas.

    Args:
        table: the table.
        target: the column to predict, or several, left out of the result.
        split: the split column, left out as well; None for the column `split` if there is one.
        overrides: {column: kind} that win over what is recognised.

    Returns:
        {column: kind} in the table's order.

    Raises:
        DataError: an unknown column or kind.
    """
    targets = () if target is None else target_names(table, target)
    left_out = {*targets, split_column(table, split)}
    names = [name for name in table.column_names if name not in left_out]
    overrides = overrides or {}
    for name, kind in overrides.items():
        if name not in names:
            why = f"{name!r} is the target or split column" if name in left_out else f"no column {name!r}"
            raise DataError(f"{table.source}: {why}{near_column(name, names)}; kinds can be given for {listed(names)}")
        if kind not in kind_names():
            raise DataError(
                f"column {name!r}: unknown kind {kind!r}{did_you_mean(str(kind), list(kind_names()))}; "
                f"the kinds are {', '.join(kind_names())}"
            )
    indices = pandas_indices(table)
    found = {**{name: IGNORE for name in names if name in indices}, **overrides}
    return {name: found[name] if name in found else recognised(Column(table, name)) for name in names}


def pandas_indices(table: Table) -> list[str]:
    """Columns that pandas wrote besides those of a frame: its index, which tells where a row stood."""
    try:
        told = json.loads((table.rows.schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
    except (ValueError, KeyError, TypeError):
        told = []
    names = {name for name in told if isinstance(name, str)} if isinstance(told, list) else set()
    return [name for name in table.column_names if name in names or _PANDAS_INDEX.fullmatch(name)]


def leaks(table: Table, kind_of: Mapping[str, str], target: str, rows: np.ndarray) -> list[str]:
    """Columns of plain values (words, numbers, dates) that settle the target in all of the given rows.

    A column counts if it has at least 2 and at most len(rows) / 3 different values (else a distinct value is no
    evidence), and a value in at least half of the rows. Such a column may be the answer in another form.

    Args:
        table: the table.
        kind_of: each column's kind.
        target: the column to predict.
        rows: int64 row numbers of the train split.
    """
    answers = [as_label(value) for value in table.take(target, rows)]
    if len(set(answers)) < 2:
        return []
    return [name for name in _plain(kind_of) if _settles(table.take(name, rows), answers)]


def proportional(table: Table, kind_of: Mapping[str, str], target: str, rows: np.ndarray) -> list[str]:
    """Columns of numbers that are the target in another unit: they correlate with it by more than 0.9999.

    A column counts if 10 rows at least, and half of them, have it and the target.

    Args:
        table: the table.
        kind_of: each column's kind.
        target: the column to predict; none goes with it where it has no numbers.
        rows: int64 row numbers of the train split.
    """
    answers = _as_numbers(table, target, rows)
    return [name for name in _plain(kind_of) if _goes_with(_as_numbers(table, name, rows), answers)]


def identifiers(table: Table, kind_of: Mapping[str, str], rows: np.ndarray) -> list[tuple[str, str]]:
    """Columns of plain values that are read, though they seem to number or name the rows: whole numbers of which none
    comes twice and which are close together, or single words with digits of which none comes twice.

    Args:
        table: the table.
        kind_of: each column's kind.
        rows: int64 row numbers of the train split.

    Returns:
        ``(column, why)`` for each.
    """
    chosen = spread(rows, _MANY_CELLS)
    apart = _NEXT * len(rows) / max(1, len(chosen))
    found = ((name, _names_rows(table.take(name, chosen), apart)) for name in _plain(kind_of))
    return [(name, why) for name, why in found if why]


def _names_rows(cells: list[Any], apart: float) -> str:
    """Why cells seem to be identifiers; empty where they do not. Row numbers are mostly no further ``apart``."""
    known = [cell for cell in cells if not is_missing(cell)]
    if len(known) < max(2 * _ENOUGH, len(cells) / 2) or len({*map(as_label, known)}) < len(known):
        return ""
    numbers = np.array([_number(cell) for cell in known])
    if np.isfinite(numbers).all():
        gaps = np.diff(np.sort(numbers))
        is_run = (numbers % 1 == 0).all() and np.median(gaps) <= apart * len(cells) / len(known)
        return "has whole numbers of which none comes twice, as row numbers and identifiers do" if is_run else ""
    words = [cell for cell in known if isinstance(cell, str) and _CODE.fullmatch(cell.strip())]
    return "has codes of which none comes twice, as identifiers do" if len(words) >= 0.9 * len(known) else ""


def outlying(table: Table, kind_of: Mapping[str, str], rows: np.ndarray) -> dict[str, list[tuple[int, Any]]]:
    """Columns of numbers in which a few cells are so far from the others that those can hardly be told apart: nine of
    ten lie within a thousandth of the standard deviation.

    Args:
        table: the table.
        kind_of: each column's kind.
        rows: int64 row numbers of the train split.

    Returns:
        {column: [(row, cell), ..] of the few}.
    """
    found = {}
    for name in (name for name in _plain(kind_of) if kind_of[name] == "number"):
        numbers = _as_numbers(table, name, rows)
        known = numbers[np.isfinite(numbers)]
        if len(known) < _ENOUGH:
            continue
        low, middle, high = np.quantile(known, (0.05, 0.5, 0.95), method="nearest")
        with np.errstate(over="ignore", invalid="ignore"):  # told when they are learned
            if 0 < high - low < _NARROW * known.std():
                far = np.flatnonzero(np.abs(numbers - middle) > (high - low) / _NARROW)
                found[name] = list(zip(rows[far].tolist(), table.take(name, rows[far]), strict=True))
    return found


def _as_numbers(table: Table, name: str, rows: np.ndarray) -> np.ndarray:
    """float64 (rows,): NaN where a cell is missing, or is no number. No cell becomes a Python value but different
    texts."""
    arrow, types = need("pyarrow", "read tables"), need("pyarrow.types", "read tables")
    cells = table.rows.column(name).take(arrow_array(np.asarray(rows, dtype=np.int64)))
    if types.is_floating(cells.type) or types.is_integer(cells.type):
        numbers = cells.cast(arrow.float64(), safe=False).to_numpy()
        return np.where(np.isfinite(numbers), numbers, np.nan)
    if not types.is_string(cells.type):
        return np.array(list(map(_number, cells.to_pylist())), dtype=np.float64)
    texts = cells.combine_chunks().dictionary_encode()
    known = np.array([*map(_number, texts.dictionary.to_pylist()), np.nan])
    return known[texts.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


def _number(cell: Any) -> float:
    """NaN where a cell is missing, or is no number."""
    try:
        number = as_number(cell)
    except ValueError:
        return np.nan
    return np.nan if number is None else number


def _goes_with(numbers: np.ndarray, answers: np.ndarray) -> bool:
    both = np.isfinite(numbers) & np.isfinite(answers)
    if both.sum() < max(_ENOUGH, len(answers) / 2):
        return False
    with np.errstate(all="ignore"):  # of columns that do not vary, or whose squares are too large
        return bool(abs(np.corrcoef(numbers[both], answers[both])[0, 1]) > _SAME)


def _plain(kind_of: Mapping[str, str]) -> list[str]:
    """Columns of plain values."""
    return [name for name, kind in kind_of.items() if kind in kinds() and kinds()[kind].plain]


def _settles(cells: list[Any], answers: list[str]) -> bool:
    known: dict[Any, str] = {}
    present = 0
    for cell, answer in zip(cells, answers, strict=True):
        if is_missing(cell):
            continue
        present += 1
        if known.setdefault(as_label(cell), answer) != answer or len(known) > len(cells) / 3:
            return False
    return len(known) >= 2 and 2 * present >= len(cells)


def unopened(table: Table, kind_of: Mapping[str, str], rows: np.ndarray) -> list[str]:
    """Columns of text that are paths of text files, which are not opened; as far as some of the given rows tell."""
    chosen, root = spread(rows, _NUM_FILES), table.root
    if not isinstance(root, Path):  # each look would ask a store
        return []

    def leads_to_texts(name: str) -> bool:
        cells = [cell for cell in table.take(name, chosen) if isinstance(cell, str) and cell]
        paths = [file_path(root, cell) for cell in cells if cell.lower().endswith(_TEXT_SUFFIXES)]
        return bool(cells) and len(paths) == len(cells) and any(map(os.path.isfile, paths))

    return [name for name in _plain(kind_of) if leads_to_texts(name)]


def unnamed_splits(table: Table, kind_of: Mapping[str, str]) -> list[str]:
    """Columns to learn from that say which rows are train and which are not."""
    found = []
    for name in _plain(kind_of):
        values = table.rows.column(name).unique().to_pylist()
        parts = {SPLIT_NAMES.get(str(value).strip().lower()) for value in values[: len(SPLIT_NAMES)]}
        if "train" in parts and len(parts) > 1 and None not in parts and len(values) <= len(SPLIT_NAMES):
            found.append(name)
    return found
