"""Read a file, a folder, shards, a data set of the hub or a built-in set into a `Table`."""

import glob
import re
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from perceiver_pytorch.data.builtin import builtin_names, builtin_table
from perceiver_pytorch.data.delimited import Reader, ReadOptions, read_jsonl, read_separated
from perceiver_pytorch.data.errors import DataError, did_you_mean, need
from perceiver_pytorch.data.sources import (
    ShardedTable,
    folder_table,
    hub_table,
    is_saved_dataset,
    parquet_table,
    saved_table,
    tar_table,
    whole_parquet,
)
from perceiver_pytorch.data.table import Table

if TYPE_CHECKING:
    import pyarrow

_PACKED_TAR = re.compile(r"\.(tgz|tar\.(gz|bz2|xz|zst|lz4))$", re.IGNORECASE)
_UNPACK = "compressed tar files cannot be read by position; unpack them, with gunzip for .tar.gz, into .tar files"
_IN_MEMORY = 1 << 30  # bytes of Parquet rows, unpacked, that are read whole where nobody says


def load_table(source: str | Path, options: ReadOptions | None = None) -> Table | ShardedTable:
    """Load a table.

    Args:
        source: one of

            - a file ending in .csv, .tsv, .jsonl, .ndjson, .json or .parquet; empty cells of a CSV or TSV file are
              missing, JSON holds objects, one a line or all in a list; text tables also with .gz behind it
            - a folder of media files, `class/name.jpg` or `train/class/name.jpg`; or of Parquet or tar files; or
              written by `datasets`' `save_to_disk`
            - several Parquet or tar files, by `*` or a range: `data/*.parquet`, `shard-{000..009}.tar`
            - `hf:NAME` or `hf:NAME:CONFIG`, a data set of the Hugging Face hub
            - a name of `builtin_names()`
        options: encoding, delimiter, what to do with lines that do not fit, whether rows stay on the disk.

    Returns:
        The table; relative paths in its cells start at the file's folder, or the folder itself.

    Raises:
        DataError: no such source, an unknown suffix, a malformed file, an encoding other than UTF-8 that is not named,
            no rows, or two columns of one name.
    """
    options, name = options or ReadOptions(), str(source)
    if name in builtin_names():
        path = builtin_table(name)
        return checked_table(whole_parquet(name, path.parent, [path]))
    if name.startswith("hf:"):
        return checked_table(hub_table(name))
    path = Path(source)
    if _PACKED_TAR.search(name):
        raise DataError(f"{name}: {_UNPACK}")
    if path.is_dir():
        return _folder(name, path, options)
    if not path.exists() and re.search(r"[*?\[{]", name):
        paths = _expanded(name)
        return _shards(name, Path(*_plain_start(name)).resolve(), paths, options)
    if path.suffix.lower() == ".tar" and path.is_file():
        return tar_table(name, path.resolve().parent, [path.resolve()])
    suffix = _table_suffix(path)
    reader = read_jsonl if suffix == ".json" else _READERS.get(suffix)  # in a folder, .json may be anything
    if reader is None or not path.is_file():
        raise DataError(_why_not(path))
    if reader is not _parquet and options.stream:
        raise DataError(f"{path}: only Parquet and tar files can be streamed; a {suffix} file is read whole")
    if reader is _parquet and _stays(options, [path]):
        return parquet_table(name, path.resolve().parent, [path.resolve()])
    arrow = need("pyarrow", "read tables")
    try:
        rows, notes = reader(path, options)
    except (arrow.ArrowException, UnicodeError, OSError) as error:
        hint = "; --on-error skip leaves such lines out" if "Expected" in str(error) and "columns" in str(error) else ""
        raise DataError(f"{path}: cannot be read as {suffix[1:]}: {error}{hint}") from error
    return checked_table(Table(name, path.resolve().parent, rows, tuple(notes)))


def _table_suffix(path: Path) -> str:
    """What a table file's name says of its format: its suffix, in lower case, without .gz behind that of a text."""
    suffix = path.suffix.lower()
    inner = path.with_suffix("").suffix.lower() if suffix == ".gz" else ""
    return inner if inner in _TEXTS else suffix


def _folder(name: str, path: Path, options: ReadOptions) -> Table | ShardedTable:
    """What a folder holds: a saved data set, shards, or files in classes."""
    if is_saved_dataset(path):
        return checked_table(saved_table(name, path))
    for suffix in (".tar", ".parquet"):
        shards = sorted(path.rglob(f"*{suffix}"))
        if shards:
            return _shards(name, path.resolve(), [shard.resolve() for shard in shards], options)
    tables = sorted(p.name for p in path.iterdir() if _table_suffix(p) in _READERS)
    table = None if tables else folder_table(name, path.resolve())
    if table is None:
        raise DataError(_why_not(path))
    return checked_table(table)


def _shards(name: str, root: Path, paths: list[Path], options: ReadOptions) -> Table | ShardedTable:
    suffixes = {path.suffix.lower() for path in paths}
    if suffixes == {".tar"}:
        return tar_table(name, root, paths)
    if suffixes != {".parquet"}:
        raise DataError(f"{name}: shards are Parquet or tar files, all of one kind, got {', '.join(sorted(suffixes))}")
    if _stays(options, paths):
        return parquet_table(name, root, paths)
    return checked_table(whole_parquet(name, root, paths))


def _stays(options: ReadOptions, paths: list[Path]) -> bool:
    """Whether the rows of Parquet files stay on the disk."""
    if options.stream is not None:
        return options.stream
    parquet, arrow = need("pyarrow.parquet", "read tables"), need("pyarrow", "read tables")
    try:
        metadata = [parquet.read_metadata(path) for path in paths]
    except (arrow.ArrowException, OSError, UnicodeError):
        return False  # the reader says what is wrong
    return sum(m.row_group(i).total_byte_size for m in metadata for i in range(m.num_row_groups)) > _IN_MEMORY


def _expanded(pattern: str) -> list[Path]:
    """The files of a pattern with `*`, `?`, `{000..009}` or `{a,b}`, in order."""
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [[part] if i % 2 == 0 else _range(part, pattern) for i, part in enumerate(parts)]
    paths: list[Path] = []
    for name in ("".join(chosen) for chosen in product(*choices)):
        found = sorted(glob.glob(name)) if glob.has_magic(name) else [name] if Path(name).is_file() else []
        if not found:
            raise DataError(f"{pattern}: there is no file {name}")
        paths += [Path(path).resolve() for path in found]
    return paths


def _range(text: str, pattern: str) -> list[str]:
    match = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if match is None:
        return text.split(",")
    first, last = int(match[1]), int(match[2])
    if not first <= last < first + 1_000_000:
        raise DataError(f"{pattern}: a range must go from the smaller to the larger number, got {{{text}}}")
    return [str(i).zfill(len(match[1])) for i in range(first, last + 1)]


def _plain_start(pattern: str) -> list[str]:
    """The folders of a pattern before the first one with a wildcard."""
    parts: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if re.search(r"[*?\[{]", part):
            break
        parts.append(part)
    return parts


def _why_not(path: Path) -> str:
    """What to tell someone whose source is not a table file."""
    sets = f"the built-in sets are {', '.join(builtin_names())}"
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if _table_suffix(p) in _READERS)
        if inside:
            return f"{path}: is a folder; give the table in it: it holds {', '.join(inside[:5])}"
        if any(_PACKED_TAR.search(p.name) for p in path.iterdir()):
            return f"{path}: {_UNPACK}"
        return f"{path}: is a folder without files of images, sounds or videos (class/name.jpg), and without shards"
    if path.exists():
        if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
            return f"{path}: spreadsheets are not read; save the sheet as a CSV file"
        known = ", ".join([*_READERS, ".json"])
        return f"{path}: unknown suffix {path.suffix!r}; table files end in {known}; .gz behind a text"
    hint = did_you_mean(str(path), builtin_names())
    if path.parent.is_dir() and not hint:
        hint = did_you_mean(path.name, [p.name for p in path.parent.iterdir() if _table_suffix(p) in _READERS])
    return f"{path}: no such file{hint}; {sets}"


def checked_table(table: Table) -> Table:
    """The table, with columns of types that become Python values.

    Raises:
        DataError: it has no rows, two columns of one name, or a date that Python does not have.
    """
    names = table.column_names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"{table.source}: more than one column is called {repeated[0]!r}; every column needs its own name"
        )
    if not len(table):
        raise DataError(f"{table.source}: the table has no rows")
    return Table(table.source, table.root, _plain_types(table.rows), table.notes)


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


def _csv(path: Path, options: ReadOptions) -> "tuple[pyarrow.Table, list[str]]":
    return read_separated(path, ",", options)


def _tsv(path: Path, options: ReadOptions) -> "tuple[pyarrow.Table, list[str]]":
    return read_separated(path, "\t", options)


def _parquet(path: Path, options: ReadOptions) -> "tuple[pyarrow.Table, list[str]]":
    return whole_parquet(str(path), path.parent, [path]).rows, []


_TEXTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_READERS: dict[str, Reader] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": _parquet,
}
