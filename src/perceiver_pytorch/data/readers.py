"""Read a file or a built-in set into a `Table`."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .builtin import builtin_names, builtin_table
from .errors import DataError, did_you_mean, need
from .table import Table

if TYPE_CHECKING:
    import pyarrow

_MIN_BLOCK = 1 << 20
_MAX_BLOCK = (1 << 31) - 1  # pyarrow counts a block's bytes in int32


def load_table(source: str | Path) -> Table:
    """Load a table from a file, or a built-in set by its name.

    Args:
        source: a path ending in .csv, .tsv, .jsonl, .ndjson or .parquet, or a name of `builtin_names()` (a name without
            one of these suffixes is never a file). Empty cells of a CSV or TSV file are missing values; text is UTF-8.

    Returns:
        The table; relative paths in its cells start at the file's folder.

    Raises:
        DataError: no such file or set, an unknown suffix, a malformed file, an encoding other than UTF-8, no rows, or
            two columns of one name.
    """
    if str(source) in builtin_names():
        path = builtin_table(str(source))
        return _checked(Table(str(source), path.parent, _read_parquet(path)))
    path = Path(source)
    reader = _READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise DataError(_why_not(path))
    arrow = need("pyarrow", "read tables")
    try:
        rows = reader(path)
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix.lower()[1:]}: {error}") from error
    return _checked(Table(str(source), path.resolve().parent, rows))


def _why_not(path: Path) -> str:
    """What to tell someone whose source is not a table file."""
    sets = f"the built-in sets are {', '.join(builtin_names())}"
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in _READERS)
        found = f"it holds {', '.join(inside[:5])}" if inside else "it holds no table file"
        return f"{path}: is a folder, a table file was expected; {found}"
    if path.exists():
        return f"{path}: unknown suffix {path.suffix!r}; table files end in {', '.join(_READERS)}"
    hint = did_you_mean(str(path), builtin_names())
    if path.parent.is_dir() and not hint:
        hint = did_you_mean(path.name, [p.name for p in path.parent.iterdir() if p.suffix.lower() in _READERS])
    return f"{path}: no such file{hint}; {sets}"


def _checked(table: Table) -> Table:
    names = table.column_names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"{table.source}: more than one column is called {repeated[0]!r}; every column needs its own name"
        )
    if not len(table):
        raise DataError(f"{table.source}: the table has no rows")
    return Table(table.source, table.root, _plain_types(table.rows))


def _plain_types(rows: pyarrow.Table) -> pyarrow.Table:
    """Column types that become Python values without loss of sense: times in microseconds, strings as such."""
    arrow, types = need("pyarrow", "read tables"), need("pyarrow.types", "read tables")
    # pandas writes nanoseconds, which Python's datetime has not; what lies below a microsecond is dropped.
    plain = {
        "time64[ns]": arrow.time64("us"),
        "duration[ns]": arrow.duration("us"),
        "string_view": arrow.string(),
        "binary_view": arrow.binary(),
    }
    for i, field in enumerate(rows.schema):
        wanted = plain.get(str(field.type))
        if types.is_timestamp(field.type) and field.type.unit == "ns":
            wanted = arrow.timestamp("us", field.type.tz)
        if types.is_timestamp(field.type) or types.is_date(field.type):
            _check_dates(rows.column(i), field.name)
        if wanted is not None:
            rows = rows.set_column(i, field.name, rows.column(i).cast(wanted, safe=False))
    return rows


def _check_dates(column: pyarrow.ChunkedArray, name: str) -> None:
    """Raise a `DataError` for a date that Python has not: outside the years 1 to 9999."""
    try:
        need("pyarrow.compute", "read tables").min_max(column).as_py()
    except (OverflowError, ValueError) as error:
        raise DataError(f"column {name!r} has a date outside the years 1 to 9999 ({error})", column=name) from error


def _read_separated(path: Path, delimiter: str) -> pyarrow.Table:
    csv = need("pyarrow.csv", "read tables")
    return csv.read_csv(
        path,
        # One block: column types are inferred from the whole file, so a number column whose first megabyte happens to
        # look like integers does not fail later. One thread: errors then carry the row.
        read_options=csv.ReadOptions(use_threads=False, block_size=_one_block(path)),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        # Only the empty cell is missing: "None", "NA" or "null" may well be text.
        convert_options=csv.ConvertOptions(null_values=[""], strings_can_be_null=True),
    )


def _read_csv(path: Path) -> pyarrow.Table:
    _check_utf8(path)
    return _read_separated(path, ",")


def _read_tsv(path: Path) -> pyarrow.Table:
    _check_utf8(path)
    return _read_separated(path, "\t")


def _read_jsonl(path: Path) -> pyarrow.Table:
    _check_utf8(path)
    json = need("pyarrow.json", "read tables")
    return json.read_json(path, read_options=json.ReadOptions(use_threads=False, block_size=_one_block(path)))


def _read_parquet(path: Path) -> pyarrow.Table:
    # ParquetFile, not read_table: the latter makes columns out of folder names like "year=2020".
    parquet = need("pyarrow.parquet", "read tables")
    with parquet.ParquetFile(path) as file:
        return file.read()


def _one_block(path: Path) -> int:
    return min(max(path.stat().st_size + 1, _MIN_BLOCK), _MAX_BLOCK)


def _check_utf8(path: Path) -> None:
    """Raise a `DataError` that names the line where the file stops being UTF-8, or if it has no content at all."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                line += chunk.count(b"\n", 0, error.start)
                raise DataError(
                    f"{path}: line {line} is not UTF-8 text ({error.reason}); save the table as UTF-8"
                ) from error
            if b"\0" in chunk:
                raise DataError(f"{path}: holds zero bytes, so it is not UTF-8 text (UTF-16?); save the table as UTF-8")
            line += chunk.count(b"\n")
        if not file.tell():
            raise DataError(f"{path}: the file is empty")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: line {line} is not UTF-8 text ({error.reason}); save the table as UTF-8") from error


_READERS: dict[str, Callable[[Path], pyarrow.Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}
