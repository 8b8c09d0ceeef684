"""Series columns: arrays over time, with their own time stamps or equal steps."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from perceiver_pytorch import _checks
from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data import drawing, map_drawing
from perceiver_pytorch.data.arrays import time_cell, timed_cell
from perceiver_pytorch.data.cells import Where, table_source
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.data.kinds.base import BLANK, CLIPPED, CUT, Encoded, Kind, ModalitySpec, Part, check_positive
from perceiver_pytorch.data.kinds.clock import clock_note
from perceiver_pytorch.data.kinds.points import are_points
from perceiver_pytorch.data.kinds.stems import STEMS, stem_config, stem_knob, stem_note
from perceiver_pytorch.data.long_table import load_long_table
from perceiver_pytorch.data.map_pieces import blocks
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.train_rows import TrainRows, too_large
from perceiver_pytorch.data.values import as_label, is_missing

if TYPE_CHECKING:
    from torch import Tensor

_CLIP = 10.0  # standard deviations
_FAR = 3.0  # standard deviations, from which on it is asked whether a series is unusual
_DRAWN = 6  # channels that a map shows
_FINEST = 4  # the position encoding tells apart at most this many times more moments than there are steps


@dataclass(frozen=True, kw_only=True)
class SeriesSettings(Settings):
    """Where series are, and how they become arrays."""

    max_series_length: int = knob(1024, "longer series lose their end (time steps)", above=0)
    series_stem: str = stem_knob("series")
    series_time: str | None = knob(None, "column with a series' time stamps; null: equal steps")
    series_origin: str | None = knob(
        None,
        "time stamps count from the row's first or from zero; null: zero with a clock",
        choices=("first", "zero"),
    )
    series_file: str | None = knob(None, "table with the series in long format, a row per time step")
    series_key: str | None = knob(
        None, "column of series_file that says whose row it is; null: the series column's name"
    )
    series_values: list[str] = knob([], "value columns of series_file; []: every other number column")


@dataclass(frozen=True, kw_only=True)
class SeriesAugmentation(Settings):
    """How series change at random."""

    series_scale: float = knob(
        0.1, "make the swings of a series larger or smaller by up to this share", least=0, below=1, before=0.0
    )
    series_noise: float = knob(
        0.05, "add noise of up to this share of a channel's usual deviation", least=0, before=0.0
    )
    series_warp: float = knob(
        0.1, "make parts of a series of equal steps slower or faster by up to this share", least=0, below=1, before=0.0
    )


@dataclass(frozen=True)
class SeriesSource:
    """Where a row's series is: in a cell, in a cell and one with its time stamps, or in a table in long format.

    Attributes:
        column: holds the array, or with `file` the key of the row's series.
        time: column with the time stamps (of the file); empty for equal steps, or cells that bring them.
        file: table in long format, relative to the table's folder; empty without.
        key: the file's column with the key.
        values: the file's columns with the values; empty for all that hold numbers.
    """

    column: str
    time: str = ""
    file: str = ""
    key: str = ""
    values: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the table that are read."""
        return (self.column, self.time) if self.time and not self.file else (self.column,)

    def read(self, row: Mapping[str, Any], where: Where) -> "tuple[np.ndarray | None, np.ndarray] | None":
        """Time stamps in seconds (steps,), in order, or None for equal steps; and float64 values (steps, channels).

        None where the series is missing or has no step.

        Raises:
            DataError: it cannot be read, or does not fit its time stamps.
        """
        times, values = self._long(row, where) if self.file else self._cell(row, where)
        if values is None or not values.size:
            return None
        if values.ndim == 1:
            values = values[:, None]
        if values.ndim != 2:
            raise where.error(
                self.column, f"must be an array (steps,) or (steps, channels), got one of shape {values.shape}"
            )
        if np.isinf(values).any():
            step = int(np.isinf(values).any(axis=1).argmax())
            raise where.error(self.column, f"must have finite numbers, got an infinite one at step {step}")
        if times is None:
            return None, values
        if len(times) != len(values):
            raise where.error(
                self.time or self.column,
                f"must have a time stamp per step, got {len(times)} for {len(values)} steps",
            )
        order = np.argsort(times, kind="stable")
        return times[order], values[order]

    def _cell(self, row: Mapping[str, Any], where: Where) -> "tuple[np.ndarray | None, np.ndarray | None]":
        values, times = timed_cell(row[self.column], self.column, where)
        if self.time:
            times = row[self.time]
        if values is None or times is None:
            if values is not None and self.time:
                raise where.error(self.time, "the time stamps are missing")
            return None, values
        return time_cell(times, self.time or self.column, where), values

    def _long(self, row: Mapping[str, Any], where: Where) -> "tuple[np.ndarray | None, np.ndarray | None]":
        if is_missing(row[self.column]):
            return None, None
        path = table_source(self.file, self.column, where)
        assert path is not None
        try:
            table = load_long_table(path, self.key, self.time, self.values)
        except DataError as error:
            raise where.error(self.column, str(error)) from error
        return table.series.get(as_label(row[self.column]), (None, None))


@dataclass(frozen=True)
class SeriesSpec(ModalitySpec):
    """One column of series as at most `length` tokens, one per time step.

    Attributes:
        name: the modality's and the column's name.
        length: longer series lose their end.
        means, stds: of each channel, by which it is standardised.
        gaps: a token has a second value per channel, 1 where the first is missing (and 0).
        span: seconds from a series' beginning that its time axis covers; what comes later is cut. 0: equal steps.
        step: the usual seconds between two time stamps.
        from_first: time stamps count from the row's first one, else from zero.
        clock: seconds of the time axis shared with other modalities; 0: its own.
        time, file, key, values: see `SeriesSource`.
        stem: what reads it before the model.
    """

    name: str
    length: int
    means: tuple[float, ...]
    stds: tuple[float, ...]
    gaps: bool = False
    span: float = 0.0
    step: float = 0.0
    from_first: bool = True
    clock: float = 0.0
    time: str = ""
    file: str = ""
    key: str = ""
    values: tuple[str, ...] = ()
    stem: str = "none"

    kind: ClassVar[str] = "series"
    hidden_by: ClassVar[str] = BLANK
    changes: ClassVar[Mapping[str, str]] = {"cut": CUT, "clipped": CLIPPED}

    def __post_init__(self) -> None:
        check_positive(self, "length", *(["step"] if self.span else []))
        if not len(self.means) == len(self.stds) > 0 or any(not std > 0 for std in self.stds):
            raise ValueError("means and stds must have one number per channel, and stds be above 0")
        _checks.choice("stem", self.stem, STEMS)

    @classmethod
    def fit(
        cls,
        source: SeriesSource,
        samples: "Iterable[tuple[np.ndarray | None, np.ndarray]]",
        options: Any,
    ) -> "SeriesSpec":
        """Learn length, moments and time axis from what `source` reads of the train rows (at least one).

        Args:
            source: where the series are.
            samples: of `SeriesSource.read`.
            options: `SeriesSettings` with `clock`.
        """
        from_first = (options.series_origin or ("zero" if options.clock else "first")) == "first"
        facts = _Facts()
        for times, values in samples:
            facts.add(times, values, from_first)
        means, stds = facts.moments_of(source.column)
        if options.clock and not facts.spans:
            raise DataError(
                f"column {source.column!r}: a clock needs time stamps; say which column has them with series_time",
                column=source.column,
            )
        span = max(max(facts.spans), 1e-9) if facts.spans else 0.0
        return cls(
            source.column,
            min(max(facts.lengths), options.max_series_length),
            means,
            stds,
            facts.gaps,
            span,
            (float(np.median(facts.steps)) if facts.steps else span) if facts.spans else 0.0,
            from_first,
            time=source.time,
            file=source.file,
            key=source.key,
            values=source.values,
            stem=options.series_stem,
        )

    @property
    def source(self) -> SeriesSource:
        """Where its cells are."""
        return SeriesSource(self.name, self.time, self.file, self.key, self.values)

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.source.columns

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def channels(self) -> int:
        return len(self.means) * (1 + self.gaps)

    @property
    def stem_config(self) -> dict[str, Any] | None:
        return stem_config(self.stem, self.axes, self.channels)

    @property
    def seconds(self) -> float:
        """That the time axis covers; 0 without time stamps."""
        return self.span

    def fewer_tokens(self) -> dict[str, Any]:
        return (
            {"series_stem": "convolution"} if self.stem == "none" else {"max_series_length": max(1, self.length // 2)}
        )

    @property
    def resolution(self) -> float:
        if not self.span:
            return float(self.length)
        axis = max(self.clock, self.span)
        return float(np.clip(axis / self.step, 2, _FINEST * self.length * axis / self.span))

    @property
    def own_coordinates(self) -> tuple[int, ...]:
        return (1 if self.span else 0,)

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """float32 (steps, channels), and time stamps as coordinates; steps without a value are masked."""
        found = self.source.read(row, where)
        if found is None:
            return None
        times, values = found
        if values.shape[1] != len(self.means):
            raise where.error(self.name, f"must be a series of {len(self.means)} channels, got {values.shape[1]}")
        places = None
        if self.span:
            if times is None:
                raise where.error(self.name, "must have time stamps, as in the train rows, got none")
            since = times - times[0] if self.from_first else times
            inside = (since >= 0) & (since <= self.span * (1 + 1e-9))
            values, since = values[inside], since[inside]
            places = (2 * since / (self.clock or self.span) - 1).astype(np.float32)[: self.length]
        changes = ["cut"] if len(values) > self.length or len(values) < len(found[1]) else []
        values = values[: self.length]
        known = np.isfinite(values)
        if not known.any():
            return None
        with np.errstate(over="ignore"):  # what is infinite is clipped
            standard = (values - self.means) / np.asarray(self.stds)
        furthest = float(np.abs(standard[known]).max())
        unusual = []
        if furthest > _FAR:
            unusual.append(
                Oddity("far", f"{self.name} reaches {furthest:.3g} deviations from its usual values", furthest)
            )
        if len(values) > 1 and known.all() and (values == values[0]).all():
            unusual.append(Oddity("flat", f"{self.name} never changes"))
        if furthest > _CLIP:
            changes.append("clipped")
        tokens = np.where(known, np.clip(standard, -_CLIP, _CLIP), 0).astype(np.float32)
        if self.gaps:
            tokens = np.concatenate([tokens, (~known).astype(np.float32)], axis=1)
        mask = known.any(axis=1)
        return Encoded(
            tokens,
            None if mask.all() else mask,
            None if places is None else (places,),
            tuple(changes),
            tuple(unusual),
        )

    def note(self) -> str:
        times = f"time stamps over {_span(self.span)}" if self.span else "equal steps"
        gaps = ", missing values flagged" if self.gaps else ""
        stem = stem_note(self.stem_config, self.axes)
        return f"{len(self.means)} channel{'s' * (len(self.means) != 1)}, {times}{gaps}{stem}{clock_note(self)}"

    def augmented(self, values: "Tensor", mask: "Tensor | None", settings: SeriesAugmentation) -> "Tensor":
        """Other tempo (of equal steps without gaps), larger or smaller swings, and noise; flags of gaps stay."""
        import torch

        from perceiver_pytorch.data import random_changes as change

        count = len(self.means)
        x = values[..., :count]
        if settings.series_warp and not (self.span or self.gaps):
            (lengths,) = change.extents(values, mask, axes=1)
            x = change.warped_in_time(x, lengths, settings.series_warp)
        size = (len(x), 1, count)
        x = x * change.uniform(size, x, 1 - settings.series_scale, 1 + settings.series_scale)
        x = x + torch.randn_like(x) * change.uniform((len(x), 1, 1), x, 0.0, settings.series_noise)
        known = values[..., count:] == 0 if self.gaps else torch.ones((), dtype=torch.bool, device=x.device)
        return torch.cat([torch.where(known, x, values[..., :count]), values[..., count:]], dim=-1)

    def fields(self) -> tuple[Field, ...]:
        steps = [[float(f"{mean:.4g}") for mean in self.means]] * min(2, self.length)
        times = [float(f"{i * self.step:.4g}") for i in range(len(steps))]
        return (Field(self.name, "array", {"values": steps, "time": times} if self.span else steps),)

    def uploaded(self) -> "SeriesSpec":
        """Its cells hold arrays, with their time stamps where the train rows had some."""
        return replace(self, time="", file="", key="", values=())

    def token_options(self) -> dict[str, Any]:
        return {"series_stem": self.stem}

    def pieces(self, encoded: Encoded, most: int) -> "np.ndarray":
        """Segments of each channel."""
        count = len(self.means)
        segments = blocks((len(encoded.values), count), max(most, count), whole=(False, True))
        return np.tile(segments, 1 + self.gaps)  # a value and its flag go together

    def on_grid(self, values: "np.ndarray") -> "np.ndarray":
        """(steps, channels): a value per number of the series."""
        count = len(self.means)
        if values.ndim == 1:
            return np.repeat(values[:, None] / count, count, axis=1)
        return values.reshape(len(values), -1, count).sum(1)

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        """The channels that count most as lines, with a map under each; steps in turn, whatever their time stamps."""
        count = len(self.means)
        chosen = sorted(np.argsort(-np.abs(heat).sum(0))[:_DRAWN].tolist())
        values = (
            np.where(encoded.values[:, count:] > 0, np.nan, encoded.values[:, :count]) if self.gaps else encoded.values
        )
        if encoded.mask is not None:
            values = np.where(encoded.mask[:, None], values, np.nan)
        names = self.values or tuple(f"{self.name} {i + 1}" if count > 1 else self.name for i in range(count))
        steps = values * np.asarray(self.stds) + self.means
        lines, heats = [steps[:, i] for i in chosen], [heat[:, i] for i in chosen]
        drawn = map_drawing.waves(lines, heats, [names[i] for i in chosen], float(len(values)), "steps")
        return [{"kind": "drawing", "name": self.name, "value": drawn}]

    def example(self, encoded: Encoded, row: Mapping[str, Any]) -> list[Part]:
        """A line per channel, over time; a gap where values are missing."""
        count = len(self.means)
        missing = encoded.values[:, count:] > 0
        values = np.where(missing, np.nan, encoded.values[:, :count]) if self.gaps else encoded.values
        if encoded.mask is not None:
            values = np.where(encoded.mask[:, None], values, np.nan)
        own = encoded.coordinates[0] if encoded.coordinates else None
        times = np.linspace(-1, 1, self.length)[: len(values)] if own is None else own
        return [{"kind": "drawing", "name": self.name, "value": drawing.lines(times, values)}]

    @property
    def file_columns(self) -> tuple[str, ...]:
        return self.columns

    @property
    def files(self) -> tuple[str, ...]:
        return (self.file,) if self.file else ()


class SeriesKind(Kind):
    """Lists of numbers (of lists: steps x channels), JSON text of such, NumPy files, and values with their times."""

    name = "series"
    spec = SeriesSpec
    settings = SeriesSettings
    augmentation = SeriesAugmentation

    def recognises(self, column: Column) -> bool:
        return bool(column.arrays) and not are_points(column)

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        (name,) = columns
        options = rows.options(name)
        long = options.series_file is not None
        source = SeriesSource(
            name,
            time=(options.series_time or "") if name != options.series_time or long else "",
            file=options.series_file or "",
            key=(options.series_key or name) if long else "",
            values=tuple(options.series_values) if long else (),
        )
        for column in source.columns:
            rows.table.require(column)
        return [SeriesSpec.fit(source, rows.look_at(source.columns, rows.rows, source.read, "series"), options)]

    def reads_beside(self, column: str, options: Any) -> tuple[str, ...]:
        """The column of time stamps, but for a series in long format, whose own table has them."""
        return (options.series_time,) if options.series_time and options.series_file is None else ()


@dataclass
class _Facts:
    """What is known of the series seen so far: those of most channels count, by which others are told in time."""

    shapes: Counter[int] = field(default_factory=Counter)
    moments: "dict[int, np.ndarray]" = field(default_factory=dict)
    steps: list[float] = field(default_factory=list)
    spans: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    gaps: bool = False

    def add(self, times: "np.ndarray | None", values: "np.ndarray", from_first: bool) -> None:
        """Take in one series."""
        channels = values.shape[1]
        self.shapes[channels] += 1
        known = np.isfinite(values)
        self.gaps |= channels > 1 and bool((known.any(1) & ~known.all(1)).any())
        with np.errstate(over="ignore", invalid="ignore"):  # told in moments_of
            sums = np.stack([known.sum(0), np.nansum(values, 0), np.nansum(values**2, 0)])
        self.moments[channels] = self.moments.get(channels, 0) + sums
        self.lengths.append(len(values))
        if times is not None:
            apart = np.diff(times)
            self.steps += [float(np.median(apart[apart > 0]))] if (apart > 0).any() else []
            self.spans.append(float(times[-1] - (times[0] if from_first else 0.0)))

    def moments_of(self, column: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel; rows with other channels are told when they are decoded."""
        channels, _ = self.shapes.most_common(1)[0]
        count, total, squares = self.moments[channels]
        with np.errstate(over="ignore", invalid="ignore"):
            means = total / np.maximum(count, 1)
            stds = np.sqrt(np.maximum(squares / np.maximum(count, 1) - means**2, 0))
        stds[stds <= 1e-12 * np.abs(means)] = 1.0
        if not (np.isfinite(means).all() and np.isfinite(stds).all()):
            raise too_large(column)
        return tuple(means.tolist()), tuple(stds.tolist())


def _span(seconds: float) -> str:
    """A length of time in the unit that one would say it in."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 3 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
