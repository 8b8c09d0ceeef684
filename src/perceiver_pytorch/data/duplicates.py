"""Rows that have the same inputs as others: of another split, or with another target."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perceiver_pytorch.data.cells import cell_key, file_path
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.input_spec import InputSpec
from perceiver_pytorch.data.splits import Splits
from perceiver_pytorch.data.table import Table, TableLike
from perceiver_pytorch.data.table_fingerprint import file_ends, file_size

if TYPE_CHECKING:
    import pyarrow

_NAMED = 5  # rows that a warning names
_DISTINCT = 0.2  # share of train rows that must differ: where few values make the rows, equal ones say nothing
_ENDS = 1 << 14  # bytes at either end of files of equal size that are compared
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of SplitMix64


def duplicate_warnings(table: TableLike, splits: Splits, spec: InputSpec) -> list[str]:
    """Sentences about rows with equal inputs; in time that grows with the cells.

    Args:
        table: of one in shards nothing is told, since all of it would have to be read.
        splits: which rows train, validate and test.
        spec: which columns are inputs and targets.
    """
    if not isinstance(table, Table):
        return []
    files = {name for modality in spec.modalities for name in modality.file_columns}
    keys = row_keys(table, spec.columns, files)
    train, first = np.unique(keys[splits.train], return_index=True)
    if len(train) < _DISTINCT * len(splits.train):
        return []
    found = []
    for name, rows in (("validation", splits.val), ("test", splits.test)):
        places = np.minimum(np.searchsorted(train, keys[rows]), len(train) - 1)
        same = train[places] == keys[rows]
        if same.any():
            pairs = zip(rows[same][:_NAMED], splits.train[first[places[same]]][:_NAMED], strict=True)
            which = ", ".join(f"row {row} is row {other}" for row, other in pairs)
            more = " .." if same.sum() > _NAMED else ""
            found.append(
                f"{same.sum():,} of {len(rows):,} {name} rows have the inputs of train rows ({which}{more}): their "
                "score says little about new rows; leave such rows out, or give them the same split"
            )
    targets = [target.name for target in spec.targets]
    known = np.all([table.rows.column(name).is_valid().to_numpy() for name in targets], axis=0)
    return found + _contradictions(keys, row_keys(table, targets), splits.train[known[splits.train]])


def _contradictions(keys: np.ndarray, answers: np.ndarray, rows: np.ndarray) -> list[str]:
    """A sentence about train rows whose inputs are those of others, and whose targets are not."""
    if not len(rows):
        return []
    order = np.lexsort((rows, answers[rows], keys[rows]))
    sorted_keys, sorted_answers = keys[rows][order], answers[rows][order]
    new = np.append(True, sorted_keys[1:] != sorted_keys[:-1])
    group = np.cumsum(new) - 1
    first = sorted_answers[np.flatnonzero(new)][group]
    mixed = np.zeros(group[-1] + 1, dtype=bool)
    mixed[group[sorted_answers != first]] = True
    count = int(mixed[group].sum())
    if not count:
        return []
    some = ", ".join(map(str, np.sort(rows[order][mixed[group]])[:_NAMED]))
    return [
        f"{count:,} of {len(rows):,} train rows have the inputs of others and another target (rows {some}"
        f"{' ..' * (count > _NAMED)}): no model can tell them apart"
    ]


def row_keys(table: Table, columns: Iterable[str], files: Iterable[str] = ()) -> np.ndarray:
    """uint64 (rows,): equal for rows with equal cells, and hardly ever for others.

    Args:
        table: in memory.
        columns: whose cells count.
        files: of these, those whose cells may be paths of files, which are then compared by size and ends.
    """
    keys, files = np.zeros(len(table), dtype=np.uint64), set(files)
    for name in columns:
        codes = _codes(table.rows.column(name), table.root if name in files and isinstance(table.root, Path) else None)
        keys = _mixed(keys * np.uint64(31) + codes + np.uint64(1))
    return keys


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Every bit of a key decides every bit of the result."""
    keys = (keys ^ (keys >> np.uint64(30))) * _FACTORS[0]
    keys = (keys ^ (keys >> np.uint64(27))) * _FACTORS[1]
    return keys ^ (keys >> np.uint64(31))


def _codes(column: "pyarrow.ChunkedArray", root: Path | None) -> np.ndarray:
    """uint64 (rows,): equal for equal cells of a column, 0 where they are missing."""
    arrow, types = need("pyarrow", "read tables"), need("pyarrow.types", "read tables")
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if root is not None and types.is_string(column.type):
        return _numbered(_file_keys(column.to_pylist(), root))
    if types.is_list(column.type) or types.is_large_list(column.type):
        return _numbered([key for chunk in column.chunks for key in _list_keys(chunk)])
    try:
        encoded = column.dictionary_encode().unify_dictionaries()
    except (arrow.ArrowNotImplementedError, arrow.ArrowInvalid):  # files with their paths
        return _numbered([None if cell is None else cell_key(cell) for cell in column.to_pylist()])
    indices = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    return (np.concatenate(indices).astype(np.int64) + 1).astype(np.uint64)


def _list_keys(cells: Any) -> list[Any]:
    """A key for each cell with a list of numbers, or of lists of them."""
    types, bounds, values = need("pyarrow.types", "read tables"), np.arange(len(cells) + 1), cells
    while types.is_list(values.type) or types.is_large_list(values.type):
        bounds, values = values.offsets.to_numpy()[bounds], values.values
    if not types.is_floating(values.type) and not types.is_integer(values.type):
        return [None if cell is None else repr(cell) for cell in cells.to_pylist()]
    numbers = values.to_numpy(zero_copy_only=False)
    parts = [numbers[start:end] for start, end in pairwise(bounds)]
    return [blake2b(part.tobytes(), digest_size=16).digest() if len(part) else None for part in parts]


def _numbered(keys: Sequence[Any]) -> np.ndarray:
    known: dict[Any, int] = {None: 0}
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.uint64)


def _file_keys(cells: Sequence[str | None], root: Path) -> list[Any]:
    """What files are told apart by: their path, and where others have the same size, this and their ends."""
    paths = {cell: file_path(root, cell) for cell in cells if cell}
    sizes = {cell: file_size(path) for cell, path in paths.items()}
    counts: dict[int, int] = {}
    for size in sizes.values():
        counts[size] = counts.get(size, 0) + 1

    def key(cell: str) -> Any:
        size = sizes[cell]
        if size < 0 or counts[size] == 1:
            return cell
        return size, blake2b(file_ends(paths[cell], _ENDS), digest_size=16).digest()

    keys = {cell: key(cell) for cell in paths}
    return [keys[cell] if cell else None for cell in cells]
