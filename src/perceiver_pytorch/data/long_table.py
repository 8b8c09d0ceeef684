"""Series in long format: a table with a row per time step, and a key that says whose it is."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.values import as_label, as_number, as_seconds, is_missing


@dataclass(frozen=True, eq=False)
class LongTable:
    """Every series of a long table, sorted by time.

    Attributes:
        values: the value columns, in the channels' order.
        series: {key: (time stamps in seconds (steps,) or None, float64 values (steps, columns), NaN where missing)}.
    """

    values: tuple[str, ...]
    series: "dict[str, tuple[np.ndarray | None, np.ndarray]]"


def load_long_table(path: Path, key: str, time: str, values: tuple[str, ...]) -> LongTable:
    """Read a long table (kept in memory while the file does not change).

    Args:
        path: a table file.
        key: column whose value names the series.
        time: column of time stamps (seconds or dates); empty: rows are equal steps, in the file's order.
        values: columns of numbers; empty: every other column that holds numbers.

    Raises:
        DataError: it cannot be read, has no such column, or a cell is not as expected; the message names its row.
    """
    return _load(path, path.stat().st_mtime_ns, key, time, values)


@lru_cache(maxsize=4)
def _load(path: Path, changed: int, key: str, time: str, values: tuple[str, ...]) -> LongTable:
    from perceiver_pytorch.data.readers import load_table
    from perceiver_pytorch.data.sources.base import ReadOptions
    from perceiver_pytorch.data.table import Table

    table = load_table(path, ReadOptions(stream=False if path.suffix.lower() == ".parquet" else None))
    if not isinstance(table, Table):
        raise DataError(f"{path} must be a CSV, TSV, JSONL or Parquet file")
    for name in (key, *([time] if time else []), *values):
        table.require(name)
    if not values:
        values = tuple(n for n in table.column_names if n not in (key, time) and _is_number(table.rows.column(n).type))
    if not values:
        raise DataError(f"{path}: no column of numbers besides {key!r}; name some with series_values")
    numbers = np.stack([_column(table.column(name), name, path, as_number) for name in values], axis=1)
    times = _column(table.column(time), time, path, as_seconds) if time else None
    rows: dict[str, list[int]] = {}
    for i, cell in enumerate(table.column(key)):
        if not is_missing(cell):
            rows.setdefault(as_label(cell), []).append(i)
    series: "dict[str, tuple[np.ndarray | None, np.ndarray]]" = {}
    for name, places in rows.items():
        chosen = np.array(places)
        if times is not None:
            chosen = chosen[np.argsort(times[chosen], kind="stable")]
        series[name] = (None if times is None else times[chosen], numbers[chosen])
    return LongTable(values, series)


def _column(cells: list, name: str, path: Path, read: object) -> "np.ndarray":
    numbers = np.empty(len(cells))
    for i, cell in enumerate(cells):
        try:
            number = read(cell)  # type: ignore[operator]
        except ValueError as error:
            raise DataError(f"{path}: row {i}, column {name!r}: {error}") from error
        numbers[i] = np.nan if number is None else number
    return numbers


def _is_number(type_: object) -> bool:
    import pyarrow.types as types

    return types.is_floating(type_) or types.is_integer(type_) or types.is_decimal(type_)
