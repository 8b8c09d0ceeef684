"""What the lines of a CSV or TSV file show: titles above its header, a header that is a row, how quotes are written in
cells, and quotes that swallow lines."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

from perceiver_pytorch.data.errors import DataError, listed, need
from perceiver_pytorch.data.sources.text_files import TextFile
from perceiver_pytorch.data.values import as_number

if TYPE_CHECKING:
    import pyarrow

DELIMITERS = (",", ";", "\t", "|")
_LOOK = 50  # lines at the beginning of a file
_ALIKE = 0.8  # share of lines that show how many cells a row has
_LONGEST = 1e40  # larger numbers are no codes
_MAX_CELL = (1 << 31) - 1  # characters
_TOLD = 5  # cells that swallow lines and are named
_ESCAPED = re.compile(r"\\([\\\"])")


def check_header(file: TextFile, encoding: str, delimiter: str, skip: int) -> None:
    """Raise a `DataError` for a file whose first line does not fit the others: it is a title, or names are missing."""
    signs = (delimiter, *(other for other in DELIMITERS if other != delimiter))
    looked = (_first_lines(file, encoding, sign, skip) for sign in signs)
    lines = next((lines for lines in looked if any(len(cells) > 1 for _, cells in lines)), [])
    if not lines:
        return
    (number, header), counts = lines[0], Counter(len(cells) for _, cells in lines)
    usual = max(counts, key=lambda count: (counts[count], count))
    named = next((i for i, (_, cells) in enumerate(lines) if _num_named(cells) == usual), 0)
    fits = next(i for i, (_, cells) in enumerate(lines) if len(cells) == usual)
    padded = fits == 0 < named and _num_named(header) < usual - 1
    begin = named if padded else fits
    rows = [cells for _, cells in lines[begin:]]
    if begin == 0 or usual == 1 or sum(len(cells) == usual for cells in rows) < _ALIKE * len(rows):
        return
    count = _num_named(header) if padded else len(header)
    what = f"{file.path}: line {number} has {count} cell{'s' * (count != 1)}, the lines below have {usual}"
    title = f"if it is a title, --skip-lines {lines[begin][0] - 1} begins at line {lines[begin][0]}"
    if count == usual - 1 and not any(cells[-1] for cells in rows):
        raise DataError(f"{what}, with nothing behind the last {delimiter!r}; put one at the end of line {number}, too")
    names = "; if it has the names, there must be one for each column, also for names of rows"
    raise DataError(f"{what}; {title}{names if count == usual - 1 and begin == 1 else ''}")


def _num_named(cells: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)


def _first_lines(file: TextFile, encoding: str, delimiter: str, skip: int) -> list[tuple[int, list[str]]]:
    """The number of each of the first lines (from 1), and its cells; without those that are empty."""
    try:
        with file.text(encoding) as text:
            for _ in islice(text, skip):
                pass
            reader, found, number = csv.reader(_short(text), delimiter=delimiter), [], skip + 1
            for cells in reader:
                found += [(number, cells)] if cells else []
                number = skip + reader.line_num + 1
            return found
    except (UnicodeDecodeError, csv.Error):  # told by whoever reads it
        return []


def _short(text: Any) -> Iterator[str]:
    """The first lines, up to one that is very long."""
    for _ in range(_LOOK):
        line = text.readline(1 << 20)
        if not line or len(line) == 1 << 20:
            return
        yield line


def with_doubled_quotes(
    file: TextFile, encoding: str, delimiter: str, *, surely: bool
) -> tuple[TextFile, str, list[str]]:
    r"""The file with ``""`` where its cells have ``\"``, if it can be read so and not as it is; its encoding then, and
    what is to be told.

    Args:
        surely: it is written so.
    """
    with file.open() as content:
        if not surely and not _has(content, '\\"'.encode("utf-16-le" if encoding.startswith("utf-16") else "utf-8")):
            return file, encoding, []
    if not surely and _parts_alike(file, encoding, delimiter):
        return file, encoding, []
    with file.text(encoding) as text:
        mended = _ESCAPED.sub(lambda match: '""' if match[1] == '"' else "\\", text.read()).encode()
    doubled = TextFile(file.path, file.state, mended)
    if surely:
        return doubled, "utf-8", []
    if _parts_alike(doubled, "utf-8", delimiter):
        return doubled, "utf-8", ["quotes in its cells stand after a backslash, and are read so"]
    return (
        file,
        encoding,
        [r"some cells have \", yet not all rows can be read so; --quoting says how quotes are written"],
    )


def _has(content: BinaryIO, sign: bytes) -> bool:
    """Whether a file has some bytes."""
    end = b""
    while chunk := content.read(1 << 20):
        if sign in end + chunk:
            return True
        end = chunk[-len(sign) :]
    return False


def _parts_alike(file: TextFile, encoding: str, delimiter: str) -> bool:
    """Whether all rows have as many cells as the first, and quotes only where they belong."""
    limit = csv.field_size_limit(_MAX_CELL)
    try:
        with io.TextIOWrapper(file.open(), encoding, newline="") as text:
            rows = csv.reader(text, delimiter=delimiter, strict=True)
            return len({len(cells) for cells in rows if cells}) == 1
    except (csv.Error, UnicodeDecodeError):
        return False
    finally:
        csv.field_size_limit(limit)


def header_warnings(rows: "pyarrow.Table") -> list[str]:
    """What is doubtful about the names of the columns: all of them might be the cells of a row."""
    types, names = need("pyarrow.types", "read tables"), rows.column_names
    texts = [types.is_string(field.type) for field in rows.schema]
    numbers = [name for name, text in zip(names, texts, strict=True) if not text]
    if numbers:
        like_a_row = all(map(_is_number, numbers)) and not _in_steps(numbers)
    else:
        like_a_row = len(names) > 1 and all(_occurs(rows.column(i), name) for i, name in enumerate(names))
    if not like_a_row:
        return []
    return [f"the first line ({listed(names, 4)}) looks like a row; if it names no columns, give --no-header"]


def _is_number(name: str) -> bool:
    try:
        return as_number(name) is not None
    except ValueError:
        return False


def _in_steps(names: Sequence[str]) -> bool:
    """Whole numbers at equal steps: years, or columns that were counted."""
    if not all(name.strip().lstrip("-").isdigit() for name in names):
        return False
    numbers = list(map(int, names))
    return len({after - before for before, after in pairwise(numbers)}) <= 1


def _occurs(column: "pyarrow.ChunkedArray", text: str) -> bool:
    compute = need("pyarrow.compute", "read tables")
    return bool(compute.any(compute.equal(column, text)).as_py())


def rounded_columns(rows: "pyarrow.Table") -> list[str]:
    """What is told of columns of whole numbers that are too long for 64 bits, such as codes of 20 digits."""
    compute, types = need("pyarrow.compute", "read tables"), need("pyarrow.types", "read tables")
    found = []
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        sizes: Any = compute.min_max(compute.abs(column)).as_py() if types.is_floating(column.type) else {"min": None}
        if sizes["min"] is not None and 2.0**63 <= sizes["min"] <= sizes["max"] < _LONGEST:
            found.append(
                f"the numbers of column {name!r} have more digits than can be kept, and lose the last; if they are "
                "codes, put a letter before each"
            )
    return found


def swallowed_lines(rows: "pyarrow.Table", delimiter: str) -> list[str]:
    """What is told of cells with lines in them that look like rows of the table."""
    compute, types = need("pyarrow.compute", "read tables"), need("pyarrow.types", "read tables")
    found: list[tuple[int, str, int]] = []
    for place, field in enumerate(rows.schema):
        if not types.is_string(field.type) or rows.num_columns < 2:
            continue
        column = rows.column(place)
        found_in = compute.match_substring(column, "\n")
        broken = compute.and_kleene(compute.is_valid(found_in), found_in)  # Arrow fills gaps with the help of pandas
        for row in compute.indices_nonzero(broken).to_pylist():
            lines = column[row].as_py().strip("\r\n").split("\n")
            if _look_like_rows(lines, delimiter, place, rows.num_columns):
                found.append((row, field.name, len(lines)))
    lost = sum(count - 1 for _, _, count in found)
    cells = [f"row {row}, column {name!r}: {count} lines" for row, name, count in sorted(found)[:_TOLD]]
    more = f" .. and {len(found) - _TOLD:,} more" if len(found) > _TOLD else ""
    if not found:
        return []
    return [
        f"{lost:,} line{'s' * (lost != 1)} that look like rows stand inside of cells ({'; '.join(cells)}{more}): "
        "a stray quote? Mend it, or give --quoting none, which reads quotes as text"
    ]


def _look_like_rows(lines: Sequence[str], delimiter: str, place: int, num_columns: int) -> bool:
    """Whether nearly all lines of a cell have as many delimiters as the pieces of rows would have."""
    first, *others = (line.count(delimiter) for line in lines)
    if not others:
        return False
    *inner, last = others
    fits = [first == num_columns - 1 - place, last in (place, num_columns - 1), *(n == num_columns - 1 for n in inner)]
    return sum(fits) >= _ALIKE * len(fits)
