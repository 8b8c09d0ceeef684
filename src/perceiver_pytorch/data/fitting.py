"""Learn every modality's spec from the train rows of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .cells import Where, cell_key, media_source
from .columns import Kind
from .decoders import AudioSpec, CategoriesSpec, ImageSpec, ModalitySpec, NumbersSpec, TextSpec, VideoSpec
from .decoders.audio_file import AudioFacts, NoSoundError
from .decoders.image import ImageFacts
from .decoders.video_file import VideoFacts
from .errors import DataError
from .options import SpecOptions
from .table import Table
from .values import as_number

_NUM_IMAGES = 256  # images looked at for size and colour
_NUM_VIDEOS = 512  # videos whose first frame is looked at for size and length
_NUM_CLIPS = 512  # clips decoded for mean and standard deviation (all headers are read)

T = TypeVar("T")


def fit_modalities(
    table: Table, kinds: Mapping[str, Kind], rows: np.ndarray, options: SpecOptions, *, allow_outside: bool
) -> tuple[ModalitySpec, ...]:
    """One spec per column of files or text (two for `video+audio`), then one for all numbers, one for all categories.

    Raises:
        DataError: no column is left to learn from, or a column has no cell that can be read.
    """
    columns = _Columns(table, rows, options, allow_outside)
    single: dict[str, Callable[[str], ModalitySpec]] = {
        "image": columns.image,
        "audio": columns.audio,
        "video": columns.video,
        "video+audio": columns.video,
        "text": columns.text,
    }
    modalities: list[ModalitySpec] = []
    taken = {name for name, kind in kinds.items() if kind in single}
    for name, kind in kinds.items():
        if kind in single:
            modalities.append(single[kind](name))
        if kind == "video+audio":
            modalities.append(columns.audio(_free_name(f"{name}.audio", taken), track_of=name))
            taken.add(modalities[-1].name)
    modalities = _on_clocks(modalities, options)
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    if numbers:
        modalities.append(columns.numbers(_free_name("numbers", taken), numbers))
    categories = [name for name, kind in kinds.items() if kind == "category"]
    if categories:
        modalities.append(columns.categories(_free_name("categories", taken), categories))
    if not modalities:
        raise DataError(f"{table.source}: no column is left to learn from; the kinds are {dict(kinds)}")
    return tuple(modalities)


def _free_name(name: str, taken: set[str]) -> str:
    """`name`, or with `_columns` behind it where an image, audio or text column has that name already."""
    while name in taken:
        name += "_columns"
    return name


def _on_clocks(modalities: list[ModalitySpec], options: SpecOptions) -> list[ModalitySpec]:
    """A video and its sound share one time axis, and so do all modalities that are asked to: as long as the longest."""
    groups: dict[str, list[ModalitySpec]] = {}
    for modality in modalities:
        if hasattr(modality, "clock"):
            (column, *_) = modality.columns
            groups.setdefault("" if options.of(column).clock else column, []).append(modality)
    clocks = {
        modality.name: max(one.seconds for one in group)  # type: ignore[attr-defined]
        for shared, group in groups.items()
        for modality in group
        if len(group) > 1 or not shared
    }
    return [
        dataclasses.replace(modality, clock=clocks[modality.name]) if modality.name in clocks else modality  # type: ignore
        for modality in modalities
    ]


class _Columns:
    """The train rows of a table, and what is learned from each kind of column."""

    def __init__(self, table: Table, rows: np.ndarray, options: SpecOptions, allow_outside: bool):
        self.table = table
        self.rows = rows
        self.options = options
        self.allow_outside = allow_outside

    def image(self, name: str) -> ImageSpec:
        rows = _spread(self.rows, _NUM_IMAGES)

        def look(value: Any, where: Where) -> ImageFacts | None:
            source = media_source(value, name, where)
            return None if source is None else ImageFacts.look(source)

        return ImageSpec.fit(name, self._look(name, rows, look), self.options.of(name))

    def audio(self, name: str, track_of: str = "") -> AudioSpec:
        column = track_of or name

        def look(value: Any, where: Where) -> AudioFacts | None:
            source = media_source(value, column, where)
            try:
                return None if source is None else AudioFacts.look(source)
            except NoSoundError:
                if track_of:  # a silent film
                    return None
                raise

        headers = self._look(column, self.rows, look, what="file with sound")
        return AudioSpec.fit(name, headers, self._clips(column), self.options.of(column), track_of)

    def video(self, name: str) -> VideoSpec:
        def look(value: Any, where: Where) -> VideoFacts | None:
            source = media_source(value, name, where)
            return None if source is None else VideoFacts.look(source)

        return VideoSpec.fit(name, self._look(name, _spread(self.rows, _NUM_VIDEOS), look), self.options.of(name))

    def text(self, name: str) -> TextSpec:
        return TextSpec.fit(name, self.table.take(name, self.rows), self.options.of(name))

    def numbers(self, name: str, columns: list[str]) -> NumbersSpec:
        numbers: dict[str, list[float | None]] = {column: [] for column in columns}
        for _, cells in self.table.iterate(self.rows, columns):
            for column, value in cells.items():
                try:
                    numbers[column].append(as_number(value))
                except ValueError:  # reported when the row is decoded
                    numbers[column].append(None)
        return NumbersSpec.fit(name, numbers)

    def categories(self, name: str, columns: list[str]) -> CategoriesSpec:
        return CategoriesSpec.fit(name, {column: self.table.take(column, self.rows) for column in columns})

    def _look(
        self, name: str, rows: np.ndarray, look: Callable[[Any, Where], T | None], *, what: str = "file"
    ) -> list[T]:
        """`look` at every different cell of a column. Cells that cannot be read are left out, unless all are."""
        seen = set()
        facts: list[T] = []
        first_error: DataError | None = None
        for row, cells in self.table.iterate(rows, [name]):
            value = cells[name]
            key = cell_key(value)
            if key in seen:
                continue
            seen.add(key)
            where = self._where(row)
            try:
                fact = look(value, where)
            except DataError as error:
                first_error = first_error or error
            except ValueError as error:
                first_error = first_error or where.error(name, str(error))
            else:
                facts += [] if fact is None else [fact]
        if not facts:
            raise first_error or DataError(
                f"{self.table.source}: column {name!r} has no {what} in the train rows looked at; is its kind ignore?",
                column=name,
            )
        return facts

    def _clips(self, name: str) -> list[bytes | Path]:
        """Some clips of a column that can be found."""
        clips = []
        for row, cells in self.table.iterate(_spread(self.rows, _NUM_CLIPS), [name]):
            try:
                source = media_source(cells[name], name, self._where(row))
            except DataError:
                continue
            if source is not None:
                clips.append(source)
        return clips

    def _where(self, row: int) -> Where:
        return Where(self.table.source, self.table.root, row, self.allow_outside)


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """`count` of the rows (or all), evenly spread: a table may be sorted."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
