"""What the texts of a table mean: which cells are missing, which are numbers or dates, and how those are written.

What is found out from the train table is saved with the run, so that later tables are read in the same way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from perceiver_pytorch import _checks
from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.spec_json import from_json, to_json
from perceiver_pytorch.data.spelling.date_text import DateText
from perceiver_pytorch.data.spelling.number_text import DECIMALS, THOUSANDS, NumberText
from perceiver_pytorch.data.table import arrow_array

if TYPE_CHECKING:
    import pyarrow

MISSING = ("", "na", "n/a", "#n/a", "#na", "<na>", "nan", "null", "-", "--", "?")
"""Cells that are missing, capitals and spaces aside, where nobody says otherwise."""
NOTHING = ("none", "nil")
"""Words that may be names; in a column of numbers or dates they are missing, too."""
_LONGEST = 32  # bytes of a text that may be such a mark


def check_date_format(name: str, value: str) -> None:
    """Raises a `ValueError` for a format that is none."""
    try:
        DateText(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a format such as %d/%m/%Y, got {value!r}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class SpellingSettings(Settings):
    """How numbers, dates and missing cells are written as text."""

    missing: list[str] | None = knob(
        None, f"texts that mean a missing cell, capitals aside; null: empty, {', '.join(MISSING[1:])}"
    )
    decimal: str | None = knob(None, "what stands before the decimals of numbers; null: recognised", choices=DECIMALS)
    thousands: str | None = knob(
        None, "what parts the thousands of numbers, '' for nothing; null: recognised", choices=("", *THOUSANDS)
    )
    date_format: str | None = knob(None, "format of dates such as %d/%m/%Y; null: recognised", check=check_date_format)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands must differ, both are {self.decimal!r}")


@dataclass(frozen=True)
class Spelling:
    """How the cells of a column are written.

    Attributes:
        column: its name.
        missing: texts that mean a missing cell, in small letters; None: those of the table.
        decimal, thousands, unit: of `NumberText`; without decimal the column is not one of numbers to be read.
        date_format: of `DateText`; empty: it is not one of dates to be read.
    """

    column: str
    missing: tuple[str, ...] | None = None
    decimal: str = ""
    thousands: str = ""
    unit: str = ""
    date_format: str = ""

    def __post_init__(self) -> None:
        _checks.choice("decimal", self.decimal, ("", *DECIMALS))
        _checks.choice("thousands", self.thousands, ("", *THOUSANDS))
        if self.date_format:
            check_date_format("date_format", self.date_format)

    @cached_property
    def number(self) -> NumberText | None:
        """How its numbers are written."""
        return NumberText(self.decimal, self.thousands, self.unit) if self.decimal else None

    @cached_property
    def date(self) -> DateText | None:
        """How its dates are written."""
        return DateText(self.date_format) if self.date_format else None


@dataclass(frozen=True)
class Spellings:
    """How the cells of a table are written.

    Attributes:
        missing: texts that mean a missing cell, in small letters.
        columns: those that are not read as they are, or have missing cells of their own.
    """

    missing: tuple[str, ...] = MISSING
    columns: tuple[Spelling, ...] = ()

    @property
    def as_written(self) -> tuple[str, ...]:
        """Columns that a reader of text must leave as text."""
        return tuple(one.column for one in self.columns if one.decimal or one.date_format)

    def read(self, name: str, cells: Any) -> Any:
        """The cells of a column as they are meant.

        Args:
            name: the column's.
            cells: an Arrow array, chunked or not.

        Returns:
            Missing cells as null; numbers as float64, dates as date32 or as timestamps. Where some cells are neither,
            all stay texts, those in the form in which Python writes numbers and dates, and what is neither with a
            remark that it is written otherwise. The cells themselves, where nothing is to be changed.
        """
        types = need("pyarrow.types", "read tables")
        spelling = self._of.get(name, Spelling(name))
        if spelling.date_format and types.is_integer(cells.type):
            cells = cells.cast("string")
        if not is_text(cells.type):
            return cells
        marks = self.missing if spelling.missing is None else spelling.missing
        cells = without(cells, (*marks, *NOTHING) if spelling.decimal or spelling.date_format else marks)
        if spelling.number:
            return _numbers(cells, spelling.number)
        return _dates(cells, spelling.date) if spelling.date else cells

    @cached_property
    def _of(self) -> dict[str, Spelling]:
        return {one.column: one for one in self.columns}

    def to_dict(self) -> dict[str, Any]:
        """JSON values from which `from_dict` builds equal ones."""
        return {"missing": list(self.missing), "columns": [to_json(one) for one in self.columns]}

    @classmethod
    def from_dict(cls, given: Any, place: str) -> "Spellings":
        """What `to_dict` gave, with every value checked.

        Raises:
            DataError: a value is missing, unknown or not as expected; ``place`` says where.
        """
        if not isinstance(given, Mapping) or not isinstance(given.get("columns"), list | tuple):
            raise DataError(f"{place} must be an object with a list of columns, got {given!r}")
        columns = [from_json(Spelling, one, f"{place}.columns[{i}]") for i, one in enumerate(given["columns"])]
        return from_json(cls, {**given, "columns": ()}, place)._with(columns)

    def _with(self, columns: Sequence[Spelling]) -> "Spellings":
        return Spellings(self.missing, tuple(columns))


def is_text(type_: "pyarrow.DataType") -> bool:
    """Whether an Arrow type is one of texts."""
    types = need("pyarrow.types", "read tables")
    type_ = type_.value_type if types.is_dictionary(type_) else type_
    return types.is_string(type_) or types.is_large_string(type_)


def marked(cells: Any, marks: Sequence[str]) -> Any:
    """bool: which texts are one of some marks; null where a cell is."""
    compute = need("pyarrow.compute", "read tables")
    longest = arrow_array(np.array([_LONGEST]))[0]  # Arrow makes a number of Python's one with the help of pandas
    short = compute.if_else(compute.less_equal(compute.binary_length(cells), longest), cells, _null(cells))
    plain = compute.utf8_lower(compute.utf8_trim_whitespace(short))
    return compute.is_in(plain, value_set=arrow_array(list(marks)).cast(cells.type))


def _null(cells: Any) -> Any:
    return need("pyarrow", "read tables").nulls(1, cells.type)[0]


def without(cells: Any, marks: Sequence[str]) -> Any:
    """Texts, null where they are one of some marks; the cells themselves where there is none."""
    compute, types = need("pyarrow.compute", "read tables"), need("pyarrow.types", "read tables")
    texts = cells.cast(cells.type.value_type) if types.is_dictionary(cells.type) else cells
    missing = marked(texts, marks)
    return compute.if_else(missing, _null(texts), texts) if marks and compute.any(missing).as_py() else cells


def different(cells: Any) -> Any:
    """The different texts of a column, in the order in which they first come."""
    types = need("pyarrow.types", "read tables")
    texts = cells.cast(cells.type.value_type) if types.is_dictionary(cells.type) else cells
    return texts.unique().drop_null()


def _numbers(cells: Any, number: NumberText) -> Any:
    arrow, texts = need("pyarrow", "read tables"), different(cells)
    plain, fits = number.read(texts)
    return _placed(
        cells, texts, plain.cast("float64") if fits.all() else _or_remark(texts, plain, arrow.array(fits), number)
    )


def _dates(cells: Any, date: DateText) -> Any:
    arrow, compute, texts = need("pyarrow", "read tables"), need("pyarrow.compute", "read tables"), different(cells)
    dates, fits = date.read(texts)
    if fits.all():
        return _placed(cells, texts, arrow.array(dates if date.timed else dates.astype("datetime64[D]")))
    plain = arrow.array(np.datetime_as_string(dates, unit="us" if date.timed else "D").tolist(), texts.type)
    iso = compute.match_substring_regex(texts, date.iso)  # can be nothing else
    plain = compute.if_else(arrow.array(fits), plain, texts)
    return _placed(cells, texts, _or_remark(texts, plain, compute.or_(iso, arrow.array(fits)), date))


def _placed(cells: Any, texts: Any, values: Any) -> Any:
    """Each cell's value, by its text."""
    compute, types = need("pyarrow.compute", "read tables"), need("pyarrow.types", "read tables")
    cells = cells.cast(cells.type.value_type) if types.is_dictionary(cells.type) else cells
    return compute.take(values, compute.index_in(cells, value_set=texts))


def _or_remark(texts: Any, plain: Any, fits: Any, how: NumberText | DateText) -> Any:
    """Texts in plain form where they fit; the others with a remark: "1.234" may be another number in another country,
    and must not be read as one that it is not."""
    arrow, compute = need("pyarrow", "read tables"), need("pyarrow.compute", "read tables")
    remark = arrow.array([f" (written otherwise than {how})"], texts.type)[0]
    return compute.if_else(fits, plain, compute.binary_join_element_wise(texts, remark, ""))
