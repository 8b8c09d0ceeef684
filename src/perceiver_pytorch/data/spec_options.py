"""The options of all kinds of columns together, and those of single columns."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perceiver_pytorch import _checks
from perceiver_pytorch._settings import combined, knob
from perceiver_pytorch.data.kinds import kinds
from perceiver_pytorch.data.kinds.clock import ClockSettings
from perceiver_pytorch.data.kinds.long_cells import LongCellSettings
from perceiver_pytorch.data.spelling.spellings import SpellingSettings

KindSettings: Any = combined(
    "KindSettings", *(kind.settings for kind in kinds().values()), ClockSettings, LongCellSettings, SpellingSettings
)
"""The options of every kind, each declared in the file of its kind, and how cells are written."""


@dataclass(frozen=True, kw_only=True)
class SpecOptions(KindSettings):
    """How the cells of a table become arrays: the options of every kind of column; what is None is learned.

    Raises:
        ValueError, TypeError: a value of another type, out of range, or an unknown option of a column.
    """

    column_options: dict[str, dict[str, Any]] = knob(
        {}, "any setting from image_size on for single columns: {column: {setting: value}}"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for column in self.column_options:
            self.of(column)

    def of(self, column: str) -> "SpecOptions":
        """The options of one column."""
        given = self.column_options.get(column)
        if given is None:
            return self
        place = f"column_options.{column}"
        if not isinstance(given, Mapping):
            raise TypeError(f"{place} must map options to values, got {given!r}")
        _checks.known_keys(place, given, [f.name for f in dataclasses.fields(KindSettings)])
        try:
            return dataclasses.replace(self, **given, column_options={})
        except (ValueError, TypeError) as error:
            raise type(error)(f"{place}: {error}") from None
