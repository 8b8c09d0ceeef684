"""CSV and TSV files: their delimiter, their numbers, and lines that do not fit."""

import re
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from perceiver_pytorch.data.errors import listed, need
from perceiver_pytorch.data.sources.base import Place, ReadOptions, Source
from perceiver_pytorch.data.sources.csv_lines import (
    DELIMITERS,
    check_header,
    header_warnings,
    rounded_columns,
    swallowed_lines,
    with_doubled_quotes,
)
from perceiver_pytorch.data.sources.decimal_commas import with_parted, with_points
from perceiver_pytorch.data.sources.text_files import TextFile, encoding_of, left_out, one_block, text_table
from perceiver_pytorch.data.table import Table

if TYPE_CHECKING:
    import pyarrow

_USUAL = {".csv": ",", ".tsv": "\t"}
_TOLD = re.compile('\ufeff?"?sep=([,;|\t])"?[\r\n]*', re.IGNORECASE)


class DelimitedText(Source):
    """A CSV or TSV file, or one with .gz behind; an empty cell is missing."""

    suffixes = (".csv", ".tsv")

    def claims(self, place: Place) -> bool:
        return place.suffix in self.suffixes and place.path.is_file()

    def load(self, place: Place, options: ReadOptions) -> Table:
        return text_table(place, options, partial(read_separated, usual=_USUAL[place.suffix]))


def read_separated(file: TextFile, options: ReadOptions, *, usual: str) -> tuple[Any, ...]:
    """A CSV or TSV file, and what is to be known about how it was read, as a `Reader` gives it."""
    path, notes = file.path, []
    encoding = encoding_of(file, options)
    told = None if options.skip_lines else _told_delimiter(file, encoding)
    delimiter = options.delimiter or told or _delimiter(file, encoding, usual, options.skip_lines)
    skip = options.skip_lines + int(told is not None)
    check_header(file, encoding, delimiter, skip)
    if told is not None:
        notes.append(f"{path}: its cells are separated by {delimiter!r}; its first line, which says so, is left out")
    elif delimiter != (options.delimiter or usual):
        notes.append(f"{path}: its cells are separated by {delimiter!r}, as the header shows")
    if options.quoting in (None, "backslash"):
        file, encoding, found = with_doubled_quotes(file, encoding, delimiter, surely=options.quoting is not None)
        notes += [f"{path}: {note}" for note in found]
    bad: list[str] = []
    read = partial(_rows, file, options, bad, encoding=encoding, delimiter=delimiter, skip=skip)
    rows = read(options.as_written or ())
    notes += [f"{path}: {doubt}" for doubt in _doubts(rows, delimiter, options)]
    if options.as_written is not None:
        rows, kept = with_parted(rows, read, commas=options.decimal == ",")
        as_written = tuple(name for name in rows.column_names if name in {*options.as_written, *kept})
        return rows, notes + left_out(path, bad), "," if delimiter == ";" else None, as_written
    if delimiter == ";":
        rows, names = with_points(rows)
        notes += [f"{path}: numbers with a decimal comma are read in {listed(names)}"] if names else []
    return rows, notes + left_out(path, bad)


def _rows(
    file: TextFile,
    options: ReadOptions,
    bad: list[str],
    as_written: Iterable[str],
    *,
    encoding: str,
    delimiter: str,
    skip: int,
) -> "pyarrow.Table":
    """The rows of a file; ``bad`` gets the lines that are left out, the columns ``as_written`` are text."""
    csv = need("pyarrow.csv", "read tables")
    bad.clear()

    def refused(line: Any) -> str:
        if options.skip_bad:
            place = f"line {line.number}" if line.number is not None else "a line"
            lines = line.text.count("\n") + 1
            long = f", in {lines} lines (a stray quote?)" if lines > 1 else ""
            bad.append(f"{place} has {line.actual_columns} cells instead of {line.expected_columns}{long}")
            return "skip"
        return "error"

    with file.open() as source:
        rows = csv.read_csv(
            source,
            # One block: column types are inferred from the whole file, so a number column whose first megabyte happens
            # to look like integers does not fail later. One thread: errors then carry the row.
            read_options=csv.ReadOptions(
                use_threads=False,
                block_size=one_block(file),
                encoding=encoding,
                skip_rows=skip,
                autogenerate_column_names=not options.header,
            ),
            parse_options=csv.ParseOptions(
                delimiter=delimiter,
                quote_char=False if options.quoting == "none" else '"',
                newlines_in_values=options.quoting != "none",
                invalid_row_handler=refused if options.skip_bad else None,
            ),
            # Only the empty cell is missing: "None", "NA" or "null" may well be text.
            convert_options=csv.ConvertOptions(
                null_values=[""],
                strings_can_be_null=True,
                column_types={name if options.header else f"f{name[1:]}": "string" for name in as_written},
            ),
        )
    return rows if options.header else rows.rename_columns([f"x{i}" for i in range(rows.num_columns)])


def _doubts(rows: "pyarrow.Table", delimiter: str, options: ReadOptions) -> list[str]:
    """What is doubtful about how rows were read."""
    doubts = (header_warnings(rows) if options.header else []) + rounded_columns(rows)
    return doubts + (swallowed_lines(rows, delimiter) if options.quoting != "none" else [])


def _told_delimiter(file: TextFile, encoding: str) -> str | None:
    """The one that a first line ``sep=;`` tells, as spreadsheets write and read it."""
    try:
        with file.text(encoding) as lines:
            match = _TOLD.fullmatch(lines.readline(32))
    except UnicodeDecodeError:
        return None
    return None if match is None else match[1]


def _delimiter(file: TextFile, encoding: str, usual: str, skip: int) -> str:
    """The usual one, unless it leaves the header whole, and another one parts it and the next line alike."""
    try:
        with file.text(encoding) as lines:
            for _ in range(skip):
                lines.readline()
            header, first = lines.readline(1 << 20), lines.readline(1 << 20)
    except UnicodeDecodeError:
        return usual
    if usual in header or not first:
        return usual
    alike = [d for d in DELIMITERS if header.count(d) and header.count(d) == first.count(d)]
    return alike[0] if len(alike) == 1 else usual
