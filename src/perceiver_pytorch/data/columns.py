"""Recognise what each column of a table holds, which ones may give the answer away, and what would stay unread."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from .arrays import looks_like_array, timed_cell
from .cells import Where, file_path, media_cell, media_source
from .decoders.audio_file import AudioFacts
from .errors import DataError, did_you_mean, listed, need
from .sniff import Media, sniff_bytes, sniff_path
from .splits import SPLIT_NAMES, split_column
from .table import Table
from .targets.columns import target_names
from .values import as_date, as_label, as_number, is_missing

if TYPE_CHECKING:
    import pyarrow

Kind = Literal[
    "image", "audio", "video", "video+audio", "text", "series", "points", "number", "category", "date", "ignore"
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_MEDIA_KINDS: dict[Media | Literal["other"], Kind] = {
    "image": "image",
    "audio": "audio",
    "video": "video",
    "other": "ignore",
}
_TEXT_SUFFIXES = (".txt", ".md", ".html", ".htm", ".xml", ".json", ".rtf", ".doc", ".docx", ".odt", ".tex", ".srt")
_SAMPLE = 300  # cells looked at per column
_NUM_ARRAYS = 32  # arrays looked at per column
_NUM_FILES = 8  # files of a column looked at for what would stay unread
_NEARLY_ALL = 0.95
_MOST = 0.9
_MAX_WORDS, _MAX_LENGTH = 3, 40  # a category's name is short
_POINT_NAMES = frozenset(
    ["point", "points", "pointcloud", "pointclouds", "cloud", "clouds", "xyz", "lidar", "vertices"]
)
_ISO_DATE = re.compile(r"\s*\d{4}-\d{2}(-\d{2}|$)")
_IDENTIFIERS = frozenset({"", "id", "index", "idx", "uid", "uuid", "guid", "key", "row", "rowid", "unnamed: 0"})


def recognise_columns(
    table: Table,
    *,
    target: str | Sequence[str] | None,
    split: str | None,
    overrides: Mapping[str, Kind] | None = None,
) -> dict[str, Kind]:
    """Each column's kind, by its values.

    - image, audio, video: files (bytes, or bytes and path) by their first bytes, paths by their suffix
    - series: lists of numbers (of lists: steps x channels), JSON text of such, NumPy files, values with their times
    - points: lists of three numbers each, in no order, or in a column called points, cloud, xyz ..
    - number: numbers, times of day, durations, and strings that are all numbers
    - date: dates, dates with times, and ISO 8601 strings
    - category: true/false, and short strings of few different values
    - text: other strings
    - ignore: empty or constant columns, identifiers (a name like `id` or `*_id`, and no value twice), other files

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
            raise DataError(f"{table.source}: {why}{did_you_mean(name, names)}; kinds can be given for {listed(names)}")
        if kind not in KINDS:
            raise DataError(
                f"column {name!r}: unknown kind {kind!r}{did_you_mean(str(kind), list(KINDS))}; "
                f"the kinds are {', '.join(KINDS)}"
            )
    return {name: overrides[name] if name in overrides else _recognise(table, name) for name in names}


def leaks(table: Table, kinds: Mapping[str, Kind], target: str, rows: np.ndarray) -> list[str]:
    """Category, text, number and date columns whose value alone settles the target in all of the given rows.

    A column counts if it has at least 2 and at most len(rows) / 3 different values (else a distinct value is no
    evidence), and a value in at least half of the rows. Such a column may be the answer in another form.

    Args:
        table: the table.
        kinds: each column's kind.
        target: the column to predict.
        rows: int64 row numbers of the train split.
    """
    answers = [as_label(value) for value in table.take(target, rows)]
    if len(set(answers)) < 2:
        return []
    names = [name for name, kind in kinds.items() if kind in ("category", "text", "number", "date")]
    return [name for name in names if _settles(table.take(name, rows), answers)]


def _settles(cells: list[Any], answers: list[str]) -> bool:
    known: dict[Any, str] = {}
    present = 0
    for cell, answer in zip(cells, answers, strict=True):
        if is_missing(cell):
            continue
        present += 1
        if known.setdefault(as_label(cell), answer) != answer:
            return False
    return 2 <= len(known) <= len(cells) / 3 and 2 * present >= len(cells)


def unheard(table: Table, kinds: Mapping[str, Kind], rows: np.ndarray, *, allow_outside: bool = False) -> list[str]:
    """Columns of kind `video` whose films have sound, as far as some of them tell.

    Args:
        table: the table.
        kinds: each column's kind.
        rows: int64 row numbers of the train split.
        allow_outside: let paths in cells lead out of the table's folder.
    """
    chosen = _some(rows)

    def sounds(name: str) -> bool:
        for row, cells in table.iterate(chosen, [name]):
            try:
                source = media_source(cells[name], name, Where(table.source, table.root, row, allow_outside))
                if source is not None and AudioFacts.look(source):
                    return True
            except ValueError:  # no sound track; or a bad cell, which is told when it is decoded
                continue
        return False

    return [name for name, kind in kinds.items() if kind == "video" and sounds(name)]


def unopened(table: Table, kinds: Mapping[str, Kind], rows: np.ndarray) -> list[str]:
    """Columns of text that are paths of text files, which are not opened; as far as some of the given rows tell."""
    chosen = _some(rows)

    def leads_to_texts(name: str) -> bool:
        cells = [cell for cell in table.take(name, chosen) if isinstance(cell, str) and cell]
        paths = [file_path(table.root, cell) for cell in cells if cell.lower().endswith(_TEXT_SUFFIXES)]
        return bool(cells) and len(paths) == len(cells) and any(map(os.path.isfile, paths))

    return [name for name, kind in kinds.items() if kind in ("text", "category") and leads_to_texts(name)]


def _some(rows: np.ndarray) -> np.ndarray:
    return rows[np.unique(np.linspace(0, len(rows) - 1, _NUM_FILES).astype(np.int64))]


def unnamed_splits(table: Table, kinds: Mapping[str, Kind]) -> list[str]:
    """Columns to learn from that say which rows are train and which are not."""
    found = []
    for name, kind in kinds.items():
        if kind in ("category", "text"):
            values = table.rows.column(name).unique().to_pylist()
            parts = {SPLIT_NAMES.get(str(value).strip().lower()) for value in values[: len(SPLIT_NAMES)]}
            if "train" in parts and len(parts) > 1 and None not in parts and len(values) <= len(SPLIT_NAMES):
                found.append(name)
    return found


def _recognise(table: Table, name: str) -> Kind:
    types = need("pyarrow.types", "read tables")
    column = table.rows.column(name)
    if column.null_count == len(column):
        return "ignore"
    type_ = column.type.value_type if types.is_dictionary(column.type) else column.type
    sample = _sample(column)
    if _is_list(type_) or (types.is_struct(type_) and {"values", "value"} & {field.name for field in type_}):
        return _arrays(table, name, sample)
    if types.is_binary(type_) or types.is_large_binary(type_) or types.is_struct(type_):
        return _files(table, name, sample)
    if types.is_boolean(type_):
        return "ignore" if _num_distinct(column) + (column.null_count > 0) == 1 else "category"
    if types.is_string(type_) or types.is_large_string(type_):
        return _strings(table, name, column.cast(type_), sample)
    if types.is_timestamp(type_) or types.is_date(type_):
        return "ignore" if _tells_nothing(name, column) else "date"
    if types.is_floating(type_) or types.is_integer(type_) or types.is_decimal(type_) or types.is_temporal(type_):
        return "ignore" if _tells_nothing(name, column) or _all_nan(sample) else "number"
    return "ignore"


def _files(table: Table, name: str, sample: list[Any]) -> Kind:
    """The kind of a column of bytes, or bytes and path."""
    found = []
    for value in sample:
        try:
            cell = media_cell(value)
        except TypeError:
            return "ignore"
        if cell is not None:
            found.append(sniff_path(cell) if isinstance(cell, str) else sniff_bytes(cell))
    media = _usual(found)
    return "ignore" if media is None else _MEDIA_KINDS.get(media) or _arrays(table, name, sample)


def _usual(found: list[Media | Literal["other"] | None]) -> Media | Literal["other"] | None:
    """What most files of a column are, so that an odd one is told by its row; None if they are no files."""
    known = Counter(media for media in found if media is not None)
    return known.most_common(1)[0][0] if found and known.total() >= _NEARLY_ALL * len(found) else None


def _arrays(table: Table, name: str, sample: list[Any]) -> Kind:
    """The kind of a column of arrays: series, points, or what no decoder reads."""
    arrays = []
    for value in sample[:_NUM_ARRAYS]:
        try:
            array, _ = timed_cell(value, name, Where(table.source, table.root, 0))
        except DataError:
            continue
        if array is not None and array.size:
            arrays.append(array)
    if not arrays or any(array.ndim not in (1, 2) for array in arrays):
        return "ignore"
    if any(array.ndim == 1 or array.shape[1] != 3 for array in arrays):
        return "series"
    named = re.split(r"[^a-z]+", name.lower())
    return "points" if _POINT_NAMES & {*named, "".join(named)} or _in_no_order(arrays) else "series"


def _in_no_order(arrays: list[np.ndarray]) -> bool:
    """Neighbouring rows are no closer to each other than any two: a series would go on where it was."""
    ratios = []
    for array in arrays:
        rows = array[np.isfinite(array).all(axis=1)]
        if len(rows) < 16:
            continue
        near = np.linalg.norm(np.diff(rows, axis=0), axis=1).mean()
        other = np.linalg.norm(rows - np.random.default_rng(0).permutation(rows), axis=1).mean()
        ratios.append(near / other if other else 0.0)
    return bool(ratios) and float(np.median(ratios)) > 0.9


def _is_list(type_: pyarrow.DataType) -> bool:
    types = need("pyarrow.types", "read tables")
    return types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_)


def _strings(table: Table, name: str, column: pyarrow.ChunkedArray, sample: list[str]) -> Kind:
    sample = [value for value in sample if value]
    media = _usual([sniff_path(value) for value in sample])
    if media in _MEDIA_KINDS:
        return _MEDIA_KINDS[media]
    if sample and sum(map(looks_like_array, sample)) >= _NEARLY_ALL * len(sample):
        return _arrays(table, name, sample)
    if not sample or _tells_nothing(name, column):
        return "ignore"
    if _all_dates(sample):
        return "date"
    if _all_numbers(sample) and _all_numbers(column.unique().to_pylist()):
        return "number"
    short = sum(len(value.split()) <= _MAX_WORDS and len(value) <= _MAX_LENGTH for value in sample)
    distinct, present = _num_distinct(column), len(column) - column.null_count
    few = distinct <= present / 2 and distinct <= max(50, present / 20)
    return "category" if few and short >= _MOST * len(sample) else "text"


def _tells_nothing(name: str, column: pyarrow.ChunkedArray) -> bool:
    """Constant, or an identifier."""
    distinct = _num_distinct(column)
    if distinct + (column.null_count > 0) == 1:
        return True
    lower = name.strip().lower()
    return (lower in _IDENTIFIERS or lower.endswith("_id")) and distinct == len(column) > 1


def _sample(column: pyarrow.ChunkedArray) -> list[Any]:
    """Some non-null cells, evenly spread: a table may be sorted."""
    present = np.flatnonzero(column.is_valid().to_numpy())
    chosen = present[np.unique(np.linspace(0, len(present) - 1, _SAMPLE).astype(np.int64))]
    return column.take(chosen).to_pylist()


def _num_distinct(column: pyarrow.ChunkedArray) -> int:
    """Different values, missing cells aside."""
    return len(column.drop_null().unique())


def _all_numbers(values: Iterable[str | None]) -> bool:
    """All are numbers or spell a missing one, and one at least is a number."""
    try:
        numbers = [as_number(value) for value in values]
    except ValueError:
        return False
    return any(number is not None for number in numbers)


def _all_dates(values: list[str]) -> bool:
    """All are ISO 8601 dates."""
    if not all(_ISO_DATE.match(value) for value in values):
        return False
    try:
        return all(as_date(value) is not None for value in values)
    except ValueError:
        return False


def _all_nan(sample: list[Any]) -> bool:
    return all(isinstance(value, float) and math.isnan(value) for value in sample)
