"""What every source of tables has, and how a place to load from is said.

A source of your own is one file: a `Source` that claims some places and loads a table from them.
docs/extending/source.md builds one step by step.
"""

import glob
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path, PurePath
from typing import ClassVar

from perceiver_pytorch._files import FileRefusedError, check_regular
from perceiver_pytorch.data.budget import Budget
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.predicate import Predicate
from perceiver_pytorch.data.table import TableLike

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""Files that are tables wherever they lie; in a folder, .json may be anything."""
_TEXTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")  # may have .gz behind it


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a table is read."""

    encoding: str | None = None
    """Of CSV, TSV and JSONL files, as Python names it; None: UTF-8, or UTF-16 with a byte order mark."""
    delimiter: str | None = None
    """Between the cells of a CSV or TSV file; None: by the suffix, or the one that parts the header."""
    skip_lines: int = 0
    """Lines of a CSV or TSV file to leave out before its header."""
    header: bool = True
    """The first line of a CSV or TSV file names its columns; else they are called x0, x1 .."""
    quoting: str | None = None
    """How a quote in a quoted cell of a CSV or TSV file is written: doubled, or after a backslash; none: quotes are
    text. None: doubled, unless all of the file has backslashes."""
    skip_bad: bool = False
    """Leave out lines that do not fit, and note them, instead of an error."""
    stream: bool | None = None
    """Leave the rows of Parquet files on the disk; None: where they take more than a gigabyte. Tar files always are."""
    table_mb: int | None = None
    """Memory that the rows of a table may take, in MB (2^20 bytes); None: a quarter of what is free."""
    as_written: tuple[str, ...] | None = None
    """Columns of a CSV or TSV file to leave as text, besides those whose points may part thousands: whoever reads the
    table finds out how it is written. None: the reader does without, and reads decimal commas between semicolons."""
    decimal: str | None = None
    """What stands before the decimals of numbers, where it is known and columns are left as text."""
    where: Predicate | None = None
    """Which rows to read; None: all."""
    unread: frozenset[str] = frozenset()
    """Columns whose cells nobody needs: those of Parquet files that stay where they are are not read."""
    hosts: tuple[str, ...] = ()
    """Of the web, whose files may be read."""

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                "".encode(self.encoding)  # which codecs that are not of text refuse, such as base64
            except (LookupError, UnicodeError):
                raise DataError(
                    f"encoding must be one that Python knows (utf-8, latin-1, cp1252, utf-16 ..), got {self.encoding!r}"
                ) from None
        if self.delimiter is not None and (len(self.delimiter) != 1 or not self.delimiter.isascii()):
            raise DataError(f"delimiter must be a single ASCII character, got {self.delimiter!r}")
        if self.table_mb is not None and self.table_mb < 1:
            raise DataError(f"table_mb must be at least 1, got {self.table_mb}")

    @cached_property
    def budget(self) -> Budget:
        """The memory that the rows may take, judged before any is taken."""
        return Budget.of(self.table_mb)


@dataclass(frozen=True)
class Place:
    """Where to load a table from.

    Attributes:
        name: what was asked for: a path, a pattern of paths, or a name that a source knows.
    """

    name: str

    @property
    def path(self) -> Path:
        """The name as a path."""
        return Path(self.name)

    @cached_property
    def is_pattern(self) -> bool:
        """Whether it stands for several files, by `*`, `?`, `{000..009}` or `{a,b}`."""
        return not self.path.exists() and re.search(r"[*?\[{]", self.name) is not None

    @cached_property
    def matched(self) -> list[Path]:
        """The files of a pattern, in order.

        Raises:
            DataError: there is none, or a range runs backwards.
        """
        return _expanded(self.name)

    @property
    def root(self) -> Path:
        """The folder that relative paths in cells start at."""
        if self.is_pattern:
            return Path(*_plain_start(self.name)).resolve()
        return self.path.resolve() if self.path.is_dir() else self.path.resolve().parent

    @property
    def suffix(self) -> str:
        """What a table file's name says of its format, in lower case; without .gz behind that of a text."""
        return table_suffix(self.path)

    def files(self, suffix: str) -> list[Path]:
        """The files of a format: the one that is named, those below a folder, or those of a pattern if all are of it;
        in order, and empty if there is none."""
        if self.is_pattern:
            return self.matched if all(path.suffix.lower() == suffix for path in self.matched) else []
        if self.path.is_dir():
            return [path.resolve() for path in sorted(self.path.rglob(f"*{suffix}"))]
        return [self.path.resolve()] if self.path.is_file() and self.path.suffix.lower() == suffix else []


class Source:
    """Something that tables are loaded from.

    One instance per source is listed in `perceiver_pytorch.data.sources`, or named by an entry point
    `perceiver.sources`.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    """Of the table files that it reads, with their dot, for messages."""

    def claims(self, place: Place) -> bool:
        """Whether it loads from this place. Sources are asked in turn, and the first that says so is taken."""
        raise NotImplementedError

    def load(self, place: Place, options: ReadOptions) -> TableLike:
        """The table; a `Table` is checked for names of columns, rows and dates afterwards.

        Raises:
            DataError: it cannot be read; the message names the place.
        """
        raise NotImplementedError


def check_file(path: Path) -> int:
    """The size of a table file.

    Raises:
        DataError: it is no regular file (a pipe would be waited for), or cannot be looked at.
    """
    try:
        return check_regular(path)
    except FileRefusedError as error:
        raise DataError(str(error)) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def table_suffix(path: PurePath) -> str:
    """What a table file's name says of its format, in lower case; without .gz behind that of a text."""
    suffix = path.suffix.lower()
    inner = path.with_suffix("").suffix.lower() if suffix == ".gz" else ""
    return inner if inner in _TEXTS else suffix


def _expanded(pattern: str) -> list[Path]:
    """The files of a pattern with `*`, `?`, `{000..009}` or `{a,b}`, in order."""
    paths: list[Path] = []
    for name in expanded(pattern):
        found = sorted(glob.glob(name)) if glob.has_magic(name) else [name] if Path(name).is_file() else []
        if not found:
            raise DataError(f"{pattern}: there is no file {name}")
        paths += [Path(path).resolve() for path in found]
    return paths


def expanded(pattern: str) -> list[str]:
    """The names that a pattern with `{000..009}` or `{a,b}` stands for; `*` and `?` stay.

    Raises:
        DataError: a range runs backwards.
    """
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [[part] if i % 2 == 0 else _range(part, pattern) for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*choices)]


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
