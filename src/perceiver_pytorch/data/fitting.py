"""Learn every modality's spec from the train rows of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .arrays import array_cell
from .cells import Where, cell_key, media_source
from .columns import Kind
from .decoders import (
    AudioSpec,
    CategoriesSpec,
    DatesSpec,
    ImageSpec,
    ModalitySpec,
    NumbersSpec,
    PointsSpec,
    SeriesSpec,
    TextSpec,
    VideoSpec,
)
from .decoders.audio_file import AudioFacts, NoSoundError
from .decoders.image import ImageFacts
from .decoders.series import SeriesSource
from .decoders.video_file import VideoFacts
from .errors import DataError, listed
from .options import SpecOptions
from .table import Table
from .values import as_date, as_number

_NUM_IMAGES = 256  # images looked at for size and colour
_NUM_VIDEOS = 512  # videos whose first frame is looked at for size and length
_NUM_CLIPS = 512  # clips decoded for mean and standard deviation (all headers are read)

T = TypeVar("T")


def fit_modalities(
    table: Table, kinds: Mapping[str, Kind], rows: np.ndarray, options: SpecOptions, *, allow_outside: bool
) -> tuple[ModalitySpec, ...]:
    """One spec per column of files, text or arrays (two for `video+audio`), then one for all numbers, and so on.

    Raises:
        DataError: no column is left to learn from, or a column has no cell that can be read.
    """
    for name in options.column_options:
        table.require(name)
    columns = _Columns(table, rows, options, allow_outside)
    single: dict[str, Callable[[str], ModalitySpec]] = {
        "image": columns.image,
        "audio": columns.audio,
        "video": columns.video,
        "video+audio": columns.video,
        "text": columns.text,
        "series": columns.series,
        "points": columns.points,
    }
    together: tuple[tuple[str, str, Callable[[str, list[str]], ModalitySpec]], ...] = (
        ("number", "numbers", columns.numbers),
        ("category", "categories", columns.categories),
        ("date", "dates", columns.dates),
    )
    kinds = columns.without_times(kinds)
    modalities: list[ModalitySpec] = []
    taken = {name for name, kind in kinds.items() if kind in single}
    for name, kind in kinds.items():
        if kind in single:
            modalities.append(single[kind](name))
        if kind == "video+audio":
            modalities.append(columns.audio(_free_name(f"{name}.audio", taken), track_of=name))
            taken.add(modalities[-1].name)
    modalities = _on_clocks(modalities, options)
    for kind_of_all, name, learn in together:
        names = [column for column, kind in kinds.items() if kind == kind_of_all]
        if names:
            modalities.append(learn(_free_name(name, taken), names))
    if not modalities:
        raise DataError(
            f"{table.source}: no column is left to learn from: {listed(list(kinds))} look like identifiers, or are "
            "empty, constant or of no known kind; --column NAME=KIND reads one all the same"
        )
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
        if getattr(modality, "seconds", 0):
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

        without: Kind = "video" if track_of else "ignore"
        headers = self._look(column, self.rows, look, what="file with sound", without=without)
        return AudioSpec.fit(name, headers, self._clips(column), self.options.of(column), track_of)

    def video(self, name: str) -> VideoSpec:
        def look(value: Any, where: Where) -> VideoFacts | None:
            source = media_source(value, name, where)
            return None if source is None else VideoFacts.look(source)

        return VideoSpec.fit(name, self._look(name, _spread(self.rows, _NUM_VIDEOS), look), self.options.of(name))

    def text(self, name: str) -> TextSpec:
        options = self.options.of(name)
        tokenizer = "" if options.tokenizer is None else self._tokenizer(name, Path(options.tokenizer))
        values = (cells[name] for _, cells in self.table.iterate(self.rows, [name]))
        return TextSpec.fit(name, values, options, tokenizer)

    def _tokenizer(self, name: str, path: Path) -> str:
        """What the file holds, looked for here and in the table's folder."""
        found = next((place for place in (path, self.table.root / path) if place.is_file()), None)
        try:
            if found is None:
                raise FileNotFoundError("no such file, here or in the table's folder")
            return found.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"column {name!r}: the tokenizer {path} cannot be read ({error})", column=name) from error

    def series(self, name: str) -> SeriesSpec:
        options = self.options.of(name)
        long = options.series_file is not None
        source = SeriesSource(
            name,
            time=(options.series_time or "") if name != options.series_time or long else "",
            file=options.series_file or "",
            key=(options.series_key or name) if long else "",
            values=options.series_values if long else (),
        )

        for column in source.columns:
            self.table.require(column)
        return SeriesSpec.fit(source, self._look_at(source.columns, self.rows, source.read, what="series"), options)

    def points(self, name: str) -> PointsSpec:
        clouds = self._look(name, self.rows, lambda value, where: array_cell(value, name, where), what="point cloud")
        return PointsSpec.fit(name, clouds, self.options.of(name))

    def without_times(self, kinds: Mapping[str, Kind]) -> dict[str, Kind]:
        """`kinds` without columns that hold the time stamps of a series: they are no input of their own."""
        options = [self.options.of(name) for name, kind in kinds.items() if kind == "series"]
        times = {one.series_time for one in options if one.series_file is None}
        return {name: kind for name, kind in kinds.items() if name not in times}

    def dates(self, name: str, columns: list[str]) -> DatesSpec:
        return DatesSpec.fit(name, self._values(columns, as_date))

    def numbers(self, name: str, columns: list[str]) -> NumbersSpec:
        return NumbersSpec.fit(name, self._values(columns, as_number))

    def categories(self, name: str, columns: list[str]) -> CategoriesSpec:
        return CategoriesSpec.fit(name, {column: self.table.take(column, self.rows) for column in columns})

    def _values(self, columns: list[str], read: Callable[[Any], T | None]) -> dict[str, list[T | None]]:
        """What `read` makes of cells; None where it cannot, which is reported when the row is decoded."""
        values: dict[str, list[T | None]] = {column: [] for column in columns}
        for _, cells in self.table.iterate(self.rows, columns):
            for column, value in cells.items():
                try:
                    values[column].append(read(value))
                except ValueError:
                    values[column].append(None)
        return values

    def _look(
        self,
        name: str,
        rows: np.ndarray,
        look: Callable[[Any, Where], T | None],
        *,
        what: str = "file",
        without: Kind = "ignore",
    ) -> Iterator[T]:
        """`look` at every different cell of a column. Cells that cannot be read are left out, unless all are."""
        return self._look_at((name,), rows, lambda cells, where: look(cells[name], where), what=what, without=without)

    def _look_at(
        self,
        names: Sequence[str],
        rows: np.ndarray,
        look: Callable[[Mapping[str, Any], Where], T | None],
        *,
        what: str,
        without: Kind = "ignore",
    ) -> Iterator[T]:
        """The same for cells of several columns together, the first of which is named if none can be read.

        Args:
            what: is looked for, for the message that there is none.
            without: kind to give the column then.
        """
        name, seen, found = names[0], set(), False
        first_error: DataError | None = None
        for row, cells in self.table.iterate(rows, names):
            key = tuple(cell_key(cells[column]) for column in names)
            if key in seen:
                continue
            seen.add(key)
            where = self._where(row)
            try:
                fact = look(cells, where)
            except DataError as error:
                first_error = first_error or error
                continue
            except ValueError as error:
                first_error = first_error or where.error(name, str(error), cells[name])
                continue
            if fact is not None:
                found = True
                yield fact
        if not found:
            raise first_error or DataError(
                f"{self.table.source}: column {name!r} has no {what} in the train rows looked at; "
                f"--column {name}={without} goes on without",
                column=name,
            )

    def _clips(self, name: str) -> Iterator[bytes | Path]:
        """Some clips of a column that can be found."""
        for row, cells in self.table.iterate(_spread(self.rows, _NUM_CLIPS), [name]):
            try:
                source = media_source(cells[name], name, self._where(row))
            except DataError:
                continue
            if source is not None:
                yield source

    def _where(self, row: int) -> Where:
        return Where(self.table.source, self.table.root, row, self.allow_outside)


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """`count` of the rows (or all), evenly spread: a table may be sorted."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
