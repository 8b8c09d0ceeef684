"""CSV, TSV and JSONL files: their encoding, their delimiter, and lines that do not fit."""

import codecs
import contextlib
import gzip
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from perceiver_pytorch.data.errors import DataError, listed, need

if TYPE_CHECKING:
    import pyarrow

_MIN_BLOCK = 1 << 20
_MAX_BLOCK = (1 << 31) - 1  # pyarrow counts a block's bytes in int32
_DELIMITERS = (",", ";", "\t", "|")
_DECIMAL_COMMA = r"^\s*([+-]?\d+(,\d+)?(e[+-]?\d+)?|na|n/a|#n/a|nan|null|none|nil|-|\?)\s*$"
_TOLD = 20  # lines that were left out and are named


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a table is read."""

    encoding: str | None = None
    """Of CSV, TSV and JSONL files, as Python names it; None: UTF-8, or UTF-16 with a byte order mark."""
    delimiter: str | None = None
    """Between the cells of a CSV or TSV file; None: by the suffix, or the one that parts the header."""
    skip_bad: bool = False
    """Leave out lines that do not fit, and note them, instead of an error."""
    stream: bool | None = None
    """Leave the rows of Parquet files on the disk; None: where they take more than a gigabyte. Tar files always are."""

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise DataError(
                    f"encoding must be one that Python knows (utf-8, latin-1, cp1252, utf-16 ..), got {self.encoding!r}"
                ) from None
        if self.delimiter is not None and (len(self.delimiter) != 1 or not self.delimiter.isascii()):
            raise DataError(f"delimiter must be a single ASCII character, got {self.delimiter!r}")


@dataclass(frozen=True, eq=False)
class TextFile:
    """A file of text; one that ends in .gz is unpacked into memory.

    Attributes:
        path: its place.
        data: what was unpacked; None: it is read from its place.
    """

    path: Path
    data: bytes | None = None

    @classmethod
    def of(cls, path: Path) -> "TextFile":
        """The file at `path`.

        Raises:
            DataError: it is damaged.
        """
        if path.suffix.lower() != ".gz":
            return cls(path)
        try:
            return cls(path, gzip.decompress(path.read_bytes()))
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: cannot be unpacked ({error})") from error

    def open(self) -> BinaryIO:
        """Its bytes, from the beginning."""
        return self.path.open("rb") if self.data is None else io.BytesIO(self.data)

    def text(self, encoding: str) -> TextIO:
        """Its lines, from the first one."""
        return io.TextIOWrapper(self.open(), encoding)

    @property
    def source(self) -> Path | BinaryIO:
        """What pyarrow reads fastest."""
        return self.path if self.data is None else self.open()

    @property
    def size(self) -> int:
        """In bytes."""
        return self.path.stat().st_size if self.data is None else len(self.data)


def read_separated(path: Path, usual: str, options: ReadOptions) -> "tuple[pyarrow.Table, list[str]]":
    """A CSV or TSV file, and what is to be known about how it was read."""
    csv = need("pyarrow.csv", "read tables")
    file, notes = TextFile.of(path), []
    encoding = _encoding(file, options)
    delimiter = options.delimiter or _delimiter(file, encoding, usual)
    if delimiter != (options.delimiter or usual):
        notes.append(f"{path}: its cells are parted by {delimiter!r}, as the header shows")
    bad: list[str] = []

    def left_out(line: Any) -> str:
        if options.skip_bad:
            place = f"line {line.number}" if line.number is not None else "a line"
            bad.append(f"{place} has {line.actual_columns} cells instead of {line.expected_columns}")
            return "skip"
        return "error"

    rows = csv.read_csv(
        file.source,
        # One block: column types are inferred from the whole file, so a number column whose first megabyte happens to
        # look like integers does not fail later. One thread: errors then carry the row.
        read_options=csv.ReadOptions(use_threads=False, block_size=_one_block(file), encoding=encoding),
        parse_options=csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=left_out if options.skip_bad else None
        ),
        # Only the empty cell is missing: "None", "NA" or "null" may well be text.
        convert_options=csv.ConvertOptions(null_values=[""], strings_can_be_null=True),
    )
    if delimiter == ";":
        rows, names = _with_points(rows)
        notes += [f"{path}: numbers with a decimal comma are read in {listed(names)}"] if names else []
    return rows, notes + _told(path, bad)


def _with_points(rows: "pyarrow.Table") -> "tuple[pyarrow.Table, list[str]]":
    """Rows with a point in numbers that have a decimal comma, and the columns of which all cells are such numbers."""
    types, compute = need("pyarrow.types", "read tables"), need("pyarrow.compute", "read tables")
    arrow, names = need("pyarrow", "read tables"), []
    for i, field in enumerate(rows.schema):
        column = rows.column(i)
        if not types.is_string(field.type) or not compute.any(compute.match_substring(column, ",")).as_py():
            continue
        if compute.all(compute.match_substring_regex(column, _DECIMAL_COMMA, ignore_case=True)).as_py():
            column = compute.replace_substring(column, ",", ".")
            with contextlib.suppress(arrow.ArrowInvalid):  # a missing number that is spelled: left as text
                column = column.cast(arrow.float64())
            rows = rows.set_column(i, field.name, column)
            names.append(field.name)
    return rows, names


def read_jsonl(path: Path, options: ReadOptions) -> "tuple[pyarrow.Table, list[str]]":
    """A file of JSON objects, one a line or all in one list, and what is to be known about how it was read."""
    arrow, reader = need("pyarrow", "read tables"), need("pyarrow.json", "read tables")
    file = TextFile.of(path)
    encoding = _encoding(file, options)
    if _begins_with(file, encoding, "["):
        return _columns(path, _list_of_objects(file, encoding)), []
    try:
        source = file.source if encoding in ("utf-8", "utf8") else io.BytesIO(_in_utf8(file, encoding))
        settings = reader.ReadOptions(use_threads=False, block_size=_one_block(file))
        return reader.read_json(source, read_options=settings), []
    except arrow.ArrowException:
        if not options.skip_bad:
            raise
    good, bad = [], []
    with file.text(encoding) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                value = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError) as error:
                bad.append(f"line {number} is no JSON ({error})")
                continue
            if isinstance(value, dict):
                good.append(value)
            elif value is not None:
                bad.append(f"line {number} is no JSON object")
    return _columns(path, good), _told(path, bad)


def _begins_with(file: TextFile, encoding: str, sign: str) -> bool:
    """The first character that is no space."""
    try:
        with file.text(encoding) as lines:
            return lines.read(1024).lstrip("\ufeff \t\r\n").startswith(sign)
    except UnicodeDecodeError:
        return False  # told by whoever reads it


def _list_of_objects(file: TextFile, encoding: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(_in_utf8(file, encoding).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.path}: is no JSON ({error})") from error
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{file.path}: row {number} must be a JSON object, got {str(row)[:40]!r}", row=number)
    return rows


def _columns(path: Path, rows: list[dict[str, Any]]) -> "pyarrow.Table":
    """Objects as a table; a column may be in some of them only."""
    arrow, arrays = need("pyarrow", "read tables"), {}
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            arrays[name] = arrow.array([row.get(name) for row in rows])
        except (arrow.ArrowException, OverflowError) as error:
            raise DataError(f"{path}: column {name!r} has values of different types ({error})", column=name) from error
    return arrow.table(arrays)


def _in_utf8(file: TextFile, encoding: str) -> bytes:
    with file.text(encoding) as lines:
        return lines.read().encode()


def _told(path: Path, bad: list[str]) -> list[str]:
    if not bad:
        return []
    more = f", and {len(bad) - _TOLD} more" if len(bad) > _TOLD else ""
    return [f"{path}: {len(bad)} lines are left out: {'; '.join(bad[:_TOLD])}{more}"]


def _encoding(file: TextFile, options: ReadOptions) -> str:
    """The encoding to read with; a `DataError` where none is given and the file is not UTF-8."""
    if options.encoding is not None:
        return codecs.lookup(options.encoding).name
    with file.open() as content:
        start = content.read(4)
    if start in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    _check_utf8(file)
    return "utf-8"


def _delimiter(file: TextFile, encoding: str, usual: str) -> str:
    """The usual one, unless it leaves the header whole, and another one parts it and the next line alike."""
    try:
        with file.text(encoding) as lines:
            header, first = lines.readline(1 << 20), lines.readline(1 << 20)
    except UnicodeDecodeError:
        return usual
    if usual in header or not first:
        return usual
    alike = [d for d in _DELIMITERS if header.count(d) and header.count(d) == first.count(d)]
    return alike[0] if len(alike) == 1 else usual


def _one_block(file: TextFile) -> int:
    return min(max(2 * file.size + 1, _MIN_BLOCK), _MAX_BLOCK)


def _check_utf8(file: TextFile) -> None:
    """Raise a `DataError` that names the line where the file stops being UTF-8, or if it has no content at all."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1

    def refuse(error: UnicodeDecodeError) -> DataError:
        return DataError(
            f"{file.path}: line {line} is not UTF-8 text ({error.reason}). If the file is in another encoding, name it "
            "(--encoding cp1252, latin-1, utf-16 ..), or save it as UTF-8"
        )

    with file.open() as content:
        while chunk := content.read(1 << 20):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                line += chunk.count(b"\n", 0, error.start)
                raise refuse(error) from error
            if b"\0" in chunk:
                raise DataError(
                    f"{file.path}: holds zero bytes, so it is not UTF-8 text (UTF-16?); "
                    "name its encoding (--encoding utf-16-le ..), or save the table as UTF-8"
                )
            line += chunk.count(b"\n")
        if not content.tell():
            raise DataError(f"{file.path}: the file is empty")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise refuse(error) from error


Reader = Callable[[Path, ReadOptions], "tuple[pyarrow.Table, list[str]]"]
