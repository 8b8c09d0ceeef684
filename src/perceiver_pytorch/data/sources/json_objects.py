"""JSON files: objects, one a line or all in one list."""

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceiver_pytorch.data.budget import Budget
from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.sources.base import Place, ReadOptions, Source
from perceiver_pytorch.data.sources.text_files import TextFile, encoding_of, in_utf8, left_out, one_block, text_table
from perceiver_pytorch.data.table import Table

if TYPE_CHECKING:
    import pyarrow

_PART = 4 << 20  # characters looked at together
_CELL = 4  # bytes of an empty cell, at least
_NAME = re.compile(r'(?<![\\])"([^"\\]*)"\s*:')
FEW_COLUMNS = "give the rows the same few columns, as with key and value columns in a row each"


class JsonObjects(Source):
    """A file of JSON objects, one a line or all in one list, or one with .gz behind."""

    suffixes = (".jsonl", ".ndjson", ".json")

    def claims(self, place: Place) -> bool:
        return place.suffix in self.suffixes and place.path.is_file()

    def load(self, place: Place, options: ReadOptions) -> Table:
        return text_table(place, options, read_jsonl)


def read_jsonl(file: TextFile, options: ReadOptions) -> "tuple[pyarrow.Table, list[str]]":
    """A file of JSON objects, one a line or all in one list, and what is to be known about how it was read."""
    arrow, reader = need("pyarrow", "read tables"), need("pyarrow.json", "read tables")
    encoding = encoding_of(file, options)
    if _begins_with(file, encoding, "["):
        return _columns(file.path, _list_of_objects(file, encoding), options.budget), []
    _check_sparse(file, encoding, options.budget)
    try:
        settings = reader.ReadOptions(use_threads=False, block_size=one_block(file))
        with file.open() if encoding in ("utf-8", "utf8") else io.BytesIO(in_utf8(file, encoding)) as source:
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
    return _columns(file.path, good, options.budget), left_out(file.path, bad)


def _begins_with(file: TextFile, encoding: str, sign: str) -> bool:
    """The first character that is no space."""
    try:
        with file.text(encoding) as lines:
            return lines.read(1024).lstrip("\ufeff \t\r\n").startswith(sign)
    except UnicodeDecodeError:
        return False  # told by whoever reads it


def _list_of_objects(file: TextFile, encoding: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(in_utf8(file, encoding).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.path}: is no JSON ({error})") from error
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{file.path}: row {number} must be a JSON object, got {str(row)[:40]!r}", row=number)
    return rows


def _check_sparse(file: TextFile, encoding: str, budget: Budget) -> None:
    """That rows which have few columns each, and different ones, make no table that is mostly empty and too large."""
    lines, names = 1, set[str]()
    with file.text(encoding) as text:
        while part := text.readlines(_PART):
            lines += len(part)
            names.update(_NAME.findall("".join(part)))
    budget.check(file.path, lines * len(names) * _CELL, FEW_COLUMNS)


def _columns(path: Path, rows: list[dict[str, Any]], budget: Budget) -> "pyarrow.Table":
    """Objects as a table; a column may be in some of them only."""
    arrow, arrays = need("pyarrow", "read tables"), {}
    names = dict.fromkeys(name for row in rows for name in row)
    budget.check(path, len(rows) * len(names) * _CELL, FEW_COLUMNS)
    for name in names:
        try:
            arrays[name] = arrow.array([row.get(name) for row in rows])
        except (arrow.ArrowException, OverflowError) as error:
            raise DataError(f"{path}: column {name!r} has values of different types ({error})", column=name) from error
    return arrow.table(arrays)
