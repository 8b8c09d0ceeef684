"""Files of text: their encoding, and tables read from them."""

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from perceiver_pytorch._files import FileRefusedError, open_regular
from perceiver_pytorch.data.budget import Budget
from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.sources.base import Place, ReadOptions
from perceiver_pytorch.data.table import Table

_PART = 4 << 20  # bytes unpacked at a time
_MIN_BLOCK = 1 << 20
_MAX_BLOCK = (1 << 31) - 1  # pyarrow counts a block's bytes in int32
_TOLD = 20  # lines that were left out and are named


@dataclass(frozen=True, eq=False)
class TextFile:
    """A file of text; one that ends in .gz is unpacked into memory.

    Attributes:
        path: its place.
        state: size in bytes, and when it was last written to, when it was opened first.
        data: what was unpacked; None: it is read from its place.
    """

    path: Path
    state: tuple[int, int]
    data: bytes | None = None

    @classmethod
    def of(cls, path: Path, budget: Budget) -> "TextFile":
        """The file at `path`.

        Raises:
            DataError: it is damaged, no regular file, or takes more memory than a table may.
        """
        try:
            with open_regular(path) as file:
                state = _state(file)
                if path.suffix.lower() != ".gz":
                    budget.check(path, state[0])
                    return cls(path, state)
                return cls(path, state, _unpacked(path, file, budget))
        except FileRefusedError as error:
            raise DataError(str(error)) from None
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: cannot be unpacked ({error})") from error

    def open(self) -> BinaryIO:
        """Its bytes, from the beginning to where it ended when it was opened first.

        Raises:
            DataError: something has written to it.
        """
        if self.data is not None:
            return io.BytesIO(self.data)
        file = open_regular(self.path)
        if _state(file) != self.state:
            file.close()
            raise self.changed()
        return file

    def check_unchanged(self) -> None:
        """Raises a `DataError` if something has written to the file: its last row may be half of one."""
        with open_regular(self.path) as file:
            if _state(file) != self.state:
                raise self.changed()

    def changed(self) -> DataError:
        """What to raise for a file that something writes to."""
        return DataError(f"{self.path}: changes while it is read; try again when nothing writes to it")

    def text(self, encoding: str) -> TextIO:
        """Its lines, from the first one."""
        return io.TextIOWrapper(self.open(), encoding)

    @property
    def size(self) -> int:
        """In bytes."""
        return self.state[0] if self.data is None else len(self.data)


def _state(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def _unpacked(path: Path, file: BinaryIO, budget: Budget) -> bytes:
    """All of a packed file, unless it is more than a table may take."""
    unpacked = bytearray()
    with gzip.GzipFile(fileobj=file) as content:
        while part := content.read(_PART):
            unpacked += part
            budget.check(path, len(unpacked))
    return bytes(unpacked)


Reader = Callable[[TextFile, ReadOptions], tuple[Any, ...]]
"""Reads a file: its rows, and what is to be known about how it was read. Further values are those of `Table`."""


def text_table(place: Place, options: ReadOptions, read: Reader) -> Table:
    """The table in a file of text.

    Raises:
        DataError: it cannot be read, or is to be streamed.
    """
    path = place.path
    if options.stream:
        raise DataError(f"{path}: only Parquet and tar files can be streamed; a {place.suffix} file is read whole")
    arrow = need("pyarrow", "read tables")
    file = TextFile.of(path, options.budget)
    try:
        rows, notes, *more = read(file, options)
        options.budget.check(path, rows.nbytes)
        file.check_unchanged()
    except (arrow.ArrowException, UnicodeError, OSError) as error:
        hint = ""
        if "Expected" in str(error) and "columns" in str(error):
            hint = "; --on-error skip leaves such lines out"
            if "\n" in str(error):
                hint = f"; a quote that is not closed? --quoting none reads quotes as text{hint}"
        raise DataError(f"{path}: cannot be read as {place.suffix[1:]}: {error}{hint}") from error
    return Table(place.name, place.root, rows, tuple(notes), *more)


def in_utf8(file: TextFile, encoding: str) -> bytes:
    """All of a file, in UTF-8."""
    with file.text(encoding) as lines:
        return lines.read().encode()


def left_out(path: Path, bad: list[str]) -> list[str]:
    """A note about lines that were left out, if there are any."""
    if not bad:
        return []
    more = f", and {len(bad) - _TOLD} more" if len(bad) > _TOLD else ""
    return [f"{path}: {len(bad)} lines are left out: {'; '.join(bad[:_TOLD])}{more}"]


def encoding_of(file: TextFile, options: ReadOptions) -> str:
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


def one_block(file: TextFile) -> int:
    """A size of blocks, in bytes, that all of a file fits into."""
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
