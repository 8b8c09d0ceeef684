"""A column of a table, and what its cells look like: what kinds of columns are recognised by."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.arrays import looks_like_array, timed_cell
from perceiver_pytorch.data.cells import Where, media_cell
from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.inline_files import inline_media
from perceiver_pytorch.data.label_cells import is_list_text, labels_of
from perceiver_pytorch.data.sniff import Media, sniff_bytes, sniff_path
from perceiver_pytorch.data.table import Table
from perceiver_pytorch.data.values import as_date, as_number, readable

if TYPE_CHECKING:
    import pyarrow

NEARLY_ALL = 0.95
_SAMPLE = 300  # cells looked at per column
_NUM_ARRAYS = 32  # arrays looked at per column
_ISO_DATE = re.compile(r"\s*\d{4}-\d{2}(-\d{2}|$)")
_CODE = re.compile(r"(?:^|[\W_])(?:zip|zip_?code|post_?code|postal_?code|plz|fips|code|id)$", re.ASCII)
_MANY_CODES, _CODE_SHARE = 50, 20  # so many different ones at most, or a row in so many
_IDENTIFIERS = frozenset({"", "id", "index", "idx", "uid", "uuid", "guid", "key", "row", "rowid", "unnamed: 0"})


class Column:
    """A column of a table, and what its cells look like; each is found out when it is first asked for.

    What it says excludes one another: a column of `media`, `arrays` or `sets` has no `words`, and neither has one of
    `numbers` or `dates`. A column that tells nothing (constant, or an identifier) has none of `words`, `numbers` and
    `dates`.

    Args:
        table: the table.
        name: the column's name.
    """

    def __init__(self, table: Table, name: str) -> None:
        self.table = table
        self.name = name
        column = table.rows.column(name)
        types = need("pyarrow.types", "read tables")
        type_ = column.type.value_type if types.is_dictionary(column.type) else column.type
        self._form = _form(type_)
        self._cells = column.cast(type_) if self._form == "strings" else column

    @cached_property
    def sample(self) -> list[Any]:
        """Some cells that are not missing, as Python values, evenly spread: a table may be sorted."""
        present = np.flatnonzero(self._cells.is_valid().to_numpy())
        if not len(present):
            return []
        chosen = present[np.unique(np.linspace(0, len(present) - 1, _SAMPLE).astype(np.int64))]
        return self._cells.take(chosen).to_pylist()

    @cached_property
    def num_present(self) -> int:
        """Cells that are not missing."""
        return len(self._cells) - self._cells.null_count

    @cached_property
    def num_distinct(self) -> int:
        """Different values, missing cells aside."""
        return len(self._cells.drop_null().unique())

    @cached_property
    def constant(self) -> bool:
        """All cells are the same, missing ones included."""
        return self.num_distinct + (self._cells.null_count > 0) == 1

    @cached_property
    def identifier(self) -> bool:
        """A name like `id` or `*_id`, and no value twice."""
        lower = self.name.strip().lower()
        named = lower in _IDENTIFIERS or lower.endswith("_id")
        return named and self.num_distinct == len(self._cells) > 1

    @cached_property
    def media(self) -> Media | Literal["other"] | None:
        """What the files are that cells hold, or lead to by their paths: image, audio, video, array, or other files.
        None where they are no files."""
        if self._form == "strings":
            return _usual([sniff_path(value) or inline_media(value) for value in self.sample if value])
        if self._form != "files":
            return None
        try:
            cells = [cell for cell in map(media_cell, self.sample) if cell is not None]
        except (TypeError, ValueError):
            return None
        return _usual([sniff_path(cell) if isinstance(cell, str) else sniff_bytes(cell) for cell in cells])

    @cached_property
    def arrays(self) -> "list[np.ndarray]":
        """Some of the arrays of numbers that cells hold, each with one or two axes; empty where they hold something
        else."""
        if not (self._form == "lists" or (self._form == "files" and self.media == "array") or self._array_texts):
            return []
        found = []
        for value in self.sample[:_NUM_ARRAYS] if self._form != "strings" else self._texts[:_NUM_ARRAYS]:
            try:
                array, _ = timed_cell(
                    value, self.name, Where(self.table.source, self.table.root, 0, hosts=self.table.hosts)
                )
            except DataError:
                continue
            if array is not None and array.size:
                found.append(array)
        return found if all(array.ndim in (1, 2) for array in found) else []

    @cached_property
    def sets(self) -> bool:
        """Cells are lists of words, or texts of such lists."""
        if self._form == "lists":
            return self._words_in(self.sample)
        lists = sum(map(is_list_text, self._texts)) >= NEARLY_ALL * len(self._texts)
        if not (self._texts and lists and self.media is None) or self._array_texts or self._tells_nothing:
            return False
        return self._words_in(readable(self._texts, lambda text: labels_of(text, None)))

    @staticmethod
    def _words_in(lists: Sequence[Any]) -> bool:
        """Whether lists hold words, and some do."""
        every = [one for cell in lists if isinstance(cell, list | tuple) for one in cell if one is not None]
        return bool(every) and all(isinstance(one, str) for one in every)

    @cached_property
    def booleans(self) -> bool:
        """Cells are true or false, and both or some missing."""
        return self._form == "booleans" and not self.constant

    @cached_property
    def numbers(self) -> bool:
        """Cells are numbers, times of day or durations, or texts that spell numbers."""
        if self._form == "numbers":
            nothing = all(isinstance(value, float) and math.isnan(value) for value in self.sample)
            return not (self._tells_nothing or nothing)
        if not self._plain_texts or self.dates:
            return False
        return _all_numbers(self._texts) and _all_numbers(self._cells.unique().to_pylist())

    @cached_property
    def codes(self) -> bool:
        """Cells are whole numbers that name things, as postal codes do, and come back: they are no amounts."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.name.strip()).lower()
        if not (_CODE.search(name) and self.numbers):
            return False
        few = self.num_distinct <= max(_MANY_CODES, self.num_present / _CODE_SHARE)
        return few and self.num_distinct <= self.num_present / 2 and _all_whole(self.sample)

    @cached_property
    def dates(self) -> bool:
        """Cells are dates, with times or without, or texts that are all ISO 8601 dates."""
        if self._form == "dates":
            return not self._tells_nothing
        return self._plain_texts and _all_dates(self._texts)

    @cached_property
    def words(self) -> list[str]:
        """Some of the texts that cells hold; empty where they hold something else, or texts of something else."""
        return self._texts if self._plain_texts and not (self.dates or self.numbers) else []

    @cached_property
    def _texts(self) -> list[str]:
        return [value for value in self.sample if value] if self._form == "strings" else []

    @cached_property
    def _array_texts(self) -> bool:
        """Texts are JSON arrays, or paths of arrays."""
        if not self._texts or self.media in ("image", "audio", "video", "other"):
            return False
        return sum(map(looks_like_array, self._texts)) >= NEARLY_ALL * len(self._texts)

    @cached_property
    def _plain_texts(self) -> bool:
        """Texts are neither files nor arrays, and tell something."""
        is_file = self.media in ("image", "audio", "video", "other")
        return bool(self._texts) and not (is_file or self._array_texts or self._tells_nothing or self.sets)

    @cached_property
    def _tells_nothing(self) -> bool:
        """Constant, or an identifier."""
        return self.constant or self.identifier


def _form(type_: "pyarrow.DataType") -> str:
    """What cells of an Arrow type are."""
    types = need("pyarrow.types", "read tables")
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    if types.is_struct(type_):  # values with their times, or the bytes and the path of a file
        return "lists" if {"values", "value"} & {field.name for field in type_} else "files"
    forms = {
        "lists": lists,
        "files": (types.is_binary, types.is_large_binary),
        "booleans": (types.is_boolean,),
        "strings": (types.is_string, types.is_large_string),
        "dates": (types.is_timestamp, types.is_date),
        "numbers": (types.is_floating, types.is_integer, types.is_decimal, types.is_temporal),
    }
    return next((form for form, tests in forms.items() if any(test(type_) for test in tests)), "other")


def _usual(found: list[Media | Literal["other"] | None]) -> Media | Literal["other"] | None:
    """What most files of a column are, so that an odd one is told by its row; None if they are no files."""
    known = Counter(media for media in found if media is not None)
    return known.most_common(1)[0][0] if found and known.total() >= NEARLY_ALL * len(found) else None


def _all_whole(values: Iterable[Any]) -> bool:
    """All are whole numbers, or spell one."""
    return all(number % 1 == 0 for number in readable(values, as_number))


def _all_numbers(values: Iterable[str | None]) -> bool:
    """All are numbers or spell a missing one, and one at least is a number."""
    try:
        numbers = [as_number(value) for value in values]
    except ValueError:
        return False
    return any(number is not None for number in numbers)


def _all_dates(values: list[str]) -> bool:
    """All are ISO 8601 dates."""
    if not all(_ISO_DATE.match(value) for value in values):
        return False
    try:
        return all(as_date(value) is not None for value in values)
    except ValueError:
        return False
