"""Load a table from wherever it is."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from perceiver_pytorch._checks import did_you_mean
from perceiver_pytorch.data.builtin import builtin_names
from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.sources import sources
from perceiver_pytorch.data.sources.base import TABLES, Place, ReadOptions, table_suffix
from perceiver_pytorch.data.sources.tars import PACKED, UNPACK
from perceiver_pytorch.data.table import Table, TableLike

if TYPE_CHECKING:
    import pyarrow

_MOST_FIELDS = 256  # of objects whose values become columns
_DEEPEST = 8  # objects in one another


def load_table(source: str | Path, options: ReadOptions | None = None) -> TableLike:
    """Load a table from the first of `perceiver_pytorch.data.sources` that claims the place.

    Args:
        source: one of

            - a file ending in .csv, .tsv, .jsonl, .ndjson, .json or .parquet; empty cells of a CSV or TSV file are
              missing, JSON holds objects, one a line or all in a list; text tables also with .gz behind it
            - a folder of media files, `class/name.jpg` or `train/class/name.jpg`; or of Parquet or tar files; or
              written by `datasets`' `save_to_disk`
            - several Parquet or tar files, by `*` or a range: `data/*.parquet`, `shard-{000..009}.tar`
            - the address of any of these files and folders elsewhere: `s3://bucket/films.csv`, `gs://bucket/shards/`,
              `https://host/films.csv`
            - `hf:NAME` or `hf:NAME:CONFIG`, a data set of the Hugging Face hub
            - a name of `builtin_names()`
            - what a source of another package claims
        options: encoding, delimiter, what to do with lines that do not fit, whether rows stay on the disk.

    Returns:
        The table, a `Table` or a `ShardedTable`; relative paths in its cells start at the file's folder, or the folder
        itself.

    Raises:
        DataError: no such source, an unknown suffix, a malformed file, an encoding other than UTF-8 that is not named,
            no rows, or two columns of one name.
    """
    place = Place(str(source))
    claiming = next((one for one in sources() if one.claims(place)), None)
    if claiming is None:
        raise DataError(_why_not(place))
    options = options or ReadOptions()
    return chosen_rows(claiming.load(place, options), options)


def chosen_rows(table: TableLike, options: ReadOptions) -> TableLike:
    """The rows of a table that the options ask for; a `Table` is checked.

    Raises:
        DataError: as `load_table` and `checked_table` do.
    """
    where = options.where
    if not isinstance(table, Table):
        if where is not None and getattr(table, "where", None) is None:
            raise DataError(f"{table.source}: --where chooses rows of Parquet files and of tables that are read whole")
        return table
    if where is not None and not len(table):  # its source has chosen
        raise where.holds_nowhere(table.source)
    table = checked_table(replace(table, hosts=options.hosts))
    if where is None:
        return table
    rows = where.rows(table.rows, table.source)
    if not len(rows):
        raise where.holds_nowhere(table.source)
    return replace(table, rows=rows)


def _why_not(place: Place) -> str:
    """What to tell someone whose place no source claims."""
    path = place.path
    if place.is_pattern:
        suffixes = sorted({path.suffix.lower() for path in place.matched})
        return f"{place.name}: shards must be Parquet or tar files, all of one kind, got {', '.join(suffixes)}"
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if table_suffix(p) in TABLES)
        if inside:
            return f"{path}: is a folder; give the table in it: it holds {', '.join(inside[:5])}"
        if any(PACKED.search(p.name) for p in path.iterdir()):
            return f"{path}: {UNPACK}"
        return f"{path}: is a folder without files of images, sounds or videos (class/name.jpg), and without shards"
    if path.exists():
        if not path.is_file():
            return f"{path}: must be a regular file, is a pipe, a device or a socket; write the table to a file first"
        if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
            return f"{path}: spreadsheets are not read; save the sheet as a CSV file"
        known = ", ".join(suffix for source in sources() for suffix in source.suffixes)
        return f"{path}: unknown suffix {path.suffix!r}; table files end in {known}; .gz behind a text"
    hint = did_you_mean(str(path), builtin_names())
    if path.parent.is_dir() and not hint:
        hint = did_you_mean(path.name, [p.name for p in path.parent.iterdir() if table_suffix(p) in TABLES])
    return f"{path}: no such file{hint}; the built-in sets are {', '.join(builtin_names())}"


def checked_table(table: Table) -> Table:
    """The table, with columns of types that become Python values.

    Raises:
        DataError: it has no rows, two columns of one name, or a date that Python does not have.
    """
    names = table.column_names
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise DataError(
            f"{table.source}: more than one column is called {repeated[0]!r}; every column needs its own name"
        )
    if not len(table):
        raise DataError(f"{table.source}: the table has no rows")
    return replace(table, rows=_plain_types(_with_fields(table.rows)))


def _with_fields(rows: "pyarrow.Table") -> "pyarrow.Table":
    """Rows with a column for each value of objects, called OBJECT.FIELD.

    Files with their paths, values with their times, and objects of very many fields stay as they are. So does a table
    of one row that has nothing else, which JSON of columns looks like.
    """
    arrow, types = need("pyarrow", "read tables"), need("pyarrow.types", "read tables")
    columns = dict(zip(rows.column_names, rows.columns, strict=True))

    def parted(name: str, column: "pyarrow.ChunkedArray") -> "dict[str, pyarrow.ChunkedArray]":
        fields = [field.name for field in column.type] if types.is_struct(column.type) else []
        inner = [f"{name}.{field}" for field in fields]
        apart = {"bytes", "path", "values", "value"}.isdisjoint(fields) and columns.keys().isdisjoint(inner)
        if not (apart and 0 < len(fields) == len(set(fields)) <= _MOST_FIELDS and name.count(".") < _DEEPEST):
            return {name: column}
        parts = zip(inner, column.flatten(), strict=True)
        return {place: cells for part, values in parts for place, cells in parted(part, values).items()}

    alone = len(rows) == 1 and all(types.is_nested(column.type) for column in rows.columns)
    if alone or not any(types.is_struct(column.type) for column in rows.columns):
        return rows
    return arrow.table(
        {place: cells for name, column in columns.items() for place, cells in parted(name, column).items()}
    )


def _plain_types(rows: "pyarrow.Table") -> "pyarrow.Table":
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


def _check_dates(column: "pyarrow.ChunkedArray", name: str) -> None:
    """Raise a `DataError` for a date that Python has not: outside the years 1 to 9999."""
    try:
        need("pyarrow.compute", "read tables").min_max(column).as_py()
    except (OverflowError, ValueError) as error:
        raise DataError(f"column {name!r} has a date outside the years 1 to 9999 ({error})", column=name) from error
