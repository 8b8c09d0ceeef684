"""Columns of a text table whose numbers have commas and points that another country reads otherwise."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from perceiver_pytorch.data.errors import need

if TYPE_CHECKING:
    import pyarrow

_DECIMAL_COMMA = r"^\s*([+-]?\d+(,\d+)?(e[+-]?\d+)?|na|n/a|#n/a|nan|null|none|nil|-|\?)\s*$"
_COMMAS = r"^[^0-9A-Za-z]{0,4}[0-9][0-9. ']*,[0-9][0-9., ']*[^0-9A-Za-z]{0,4}$"  # a number that may have a unit
_PARTED = r"^\s*[-+]?[0-9]{1,3}(\.[0-9]{3})*\s*$"  # points may part its thousands
_LOOK = 1000  # cells looked at


def with_parted(
    rows: "pyarrow.Table", read: Callable[[list[str]], "pyarrow.Table"], *, commas: bool
) -> "tuple[pyarrow.Table, list[str]]":
    """Rows with columns as text whose points may part thousands, since other columns have commas in their numbers.

    Args:
        rows: as they were read.
        read: reads them again, some columns as text.
        commas: numbers are known to have decimal commas.

    Returns:
        The rows, and the names of the columns.
    """
    compute, types = need("pyarrow.compute", "read tables"), need("pyarrow.types", "read tables")
    texts = [column for column in rows.columns if types.is_string(column.type)]
    if not commas and not any(map(_has_commas, texts)):
        return rows, []
    names = [field.name for field in rows.schema if types.is_floating(field.type)]
    written, kept = read(names) if names else rows, []
    for name in names:
        column = written.column(name)
        if compute.all(compute.match_substring_regex(column, _PARTED)).as_py():
            rows = rows.set_column(rows.column_names.index(name), name, column)
            kept.append(name)
    return rows, kept


def _has_commas(column: "pyarrow.ChunkedArray") -> bool:
    """Whether most of the first cells of a column look like numbers with commas in them."""
    compute = need("pyarrow.compute", "read tables")
    share = compute.mean(
        compute.match_substring_regex(column.drop_null().slice(0, _LOOK), _COMMAS).cast("int8")
    ).as_py()
    return share is not None and share > 0.5


def with_points(rows: "pyarrow.Table") -> "tuple[pyarrow.Table, list[str]]":
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
