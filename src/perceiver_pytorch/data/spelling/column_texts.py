"""The texts of one column, and the ways of writing numbers and dates that they fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.spelling.date_text import DateText, possible_formats
from perceiver_pytorch.data.spelling.number_text import (
    DECIMALS,
    PER,
    THOUSANDS,
    NumberText,
    may_be_a_code,
    simple,
    units,
)
from perceiver_pytorch.data.spelling.spellings import NOTHING, SpellingSettings, different, marked, without

NEARLY = 0.8  # share of a column's cells that are numbers or dates, if those that are not may be mistakes
_SAMPLE = 300  # cells looked at, to tell at little cost that a column is neither
_SHAPES = 5  # cells that formats of dates are looked for in
NUM_NAMED = 3  # different wrong cells that are named


@dataclass(frozen=True)
class Way:
    """A way of writing that texts fit.

    Attributes:
        text: the way.
        fits: bool (texts,), which of the different texts are written so.
        cells: how many cells are.
    """

    text: Any
    fits: "np.ndarray"
    cells: int


class ColumnTexts:
    """The texts of a column.

    Args:
        cells: an Arrow column of texts.
        marks: texts that mean a missing cell.
        options: what is known about how the column is written.
    """

    def __init__(self, cells: Any, marks: Sequence[str], options: SpellingSettings) -> None:
        types = need("pyarrow.types", "read tables")
        self.cells = cells.cast(cells.type.value_type) if types.is_dictionary(cells.type) else cells
        self.marks = tuple(marks)
        self.options = options

    @cached_property
    def present(self) -> Any:
        """The cells, null where one would be missing in a column of numbers or dates."""
        return without(self.cells, (*self.marks, *NOTHING))

    @cached_property
    def sample(self) -> list[str]:
        """Some cells that are not missing, evenly spread."""
        places = np.unique(np.linspace(0, len(self.cells) - 1, _SAMPLE).astype(np.int64))
        few = [text for text in self.present.take(places).to_pylist() if text is not None]
        if few or self.present.null_count == len(self.present):
            return few
        return self.present.drop_null().slice(0, _SAMPLE).to_pylist()

    @cached_property
    def different(self) -> Any:
        """The different texts, in the order in which they come first."""
        return different(self.present)

    @cached_property
    def counts(self) -> "np.ndarray":
        """int64 (texts,): how many cells have each of them."""
        compute = need("pyarrow.compute", "read tables")
        places = compute.index_in(self.present, value_set=self.different).drop_null().to_numpy()
        return np.bincount(places, minlength=len(self.different))

    @cached_property
    def total(self) -> int:
        """Cells that are not missing."""
        return int(self.counts.sum())

    @cached_property
    def given_marks(self) -> dict[str, int]:
        """{a mark as it is written: how many cells have it}, empty cells aside."""
        return {} if self.present is self.cells else self.counted(self.marks)

    def counted(self, marks: Sequence[str]) -> dict[str, int]:
        """The same of other marks."""
        compute = need("pyarrow.compute", "read tables")
        texts = self.cells.filter(compute.fill_null(marked(self.cells, marks), False))
        found = {entry["values"]: entry["counts"] for entry in texts.value_counts().to_pylist()}
        return {mark: count for mark, count in found.items() if mark.strip()}

    @cached_property
    def mixed_units(self) -> list[str]:
        """The units of a column that has several, or percent signs in some cells alone."""
        seen, found = units(self.sample)
        kinds = [unit for unit in found if unit or PER & found.keys()]
        several = seen and seen >= NEARLY * len(self.sample) and len(kinds) > 1
        return sorted(repr(unit) if unit else "none" for unit in kinds) if several else []

    def number_ways(self, least: float = NEARLY) -> dict[str, Way]:
        """{decimal sign: how most cells are written, if it is that}; empty where fewer than a share are numbers."""
        compute, options = need("pyarrow.compute", "read tables"), self.options
        seen, kinds = units(self.sample)
        if not seen or seen < least * len(self.sample):
            return {}
        unit = next((unit for unit, _ in kinds.most_common() if unit), "")
        plain = simple(self.different)
        if compute.all(compute.starts_with(plain, "(")).as_py():
            return {}
        there = ["", *(sign for sign in THOUSANDS if compute.any(compute.match_substring(plain, sign)).as_py())]
        ways: dict[str, Way] = {}
        for decimal in DECIMALS if options.decimal is None else (options.decimal,):
            signs = [sign for sign in there if sign != decimal] if options.thousands is None else [options.thousands]
            found = [self._way(NumberText(decimal, sign, unit)) for sign in signs if sign != decimal]
            ways |= {decimal: max(found, key=lambda way: way.cells)} if found else {}
        best = max((way.cells for way in ways.values()), default=0)
        keep = {decimal: way for decimal, way in ways.items() if way.cells >= max(1, least * self.total)}
        codes = any(way.cells == best and may_be_a_code(self.different, way.text) for way in keep.values())
        return {} if codes else keep

    def date_ways(self, least: float = NEARLY, *, compact: bool = False) -> list[Way]:
        """The formats that most cells have; empty where fewer than a share are dates.

        Args:
            least: the share.
            compact: dates may be eight digits.
        """
        arrow, given = need("pyarrow", "read tables"), self.options.date_format
        few = self.sample[:: max(1, len(self.sample) // _SHAPES)]
        formats = possible_formats(few) if given is None else [DateText(given)]
        formats += [DateText("%Y%m%d")] if compact and given is None else []
        sample = arrow.array(self.sample, arrow.string())
        likely = [date for date in formats if date.read(sample)[1].sum() >= max(1, least * len(sample))]
        ways = [self._way(date) for date in likely]
        most = max((way.cells for way in ways), default=0)
        return [way for way in ways if way.cells == most >= least * self.total]

    def _way(self, text: NumberText | DateText) -> Way:
        _, fits = text.read(self.different)
        return Way(text, fits, int(self.counts[fits].sum()))

    def wrong(self, way: Way) -> list[str]:
        """Some of the texts that do not fit, and cannot be read as they are either."""
        found: list[str] = []
        for place in np.flatnonzero(~way.fits).tolist():
            text = self.different[place].as_py()
            try:
                way.text.plain(text)
            except ValueError:
                found.append(text)
            if len(found) > NUM_NAMED:
                break
        return found

    def row(self, text: str) -> int:
        """The first row that has a text."""
        return need("pyarrow.compute", "read tables").index(self.cells, text).as_py()
