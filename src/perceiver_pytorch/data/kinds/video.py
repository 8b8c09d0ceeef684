"""Video columns: frames at one rate, fitted into a box and cut into patches."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from perceiver_pytorch import _checks
from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data import drawing, map_drawing
from perceiver_pytorch.data.cells import Where, file_named, media_source
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.data.kinds.base import (
    BLANK,
    ColumnSpec,
    Encoded,
    Kind,
    ModalitySpec,
    Part,
    check_positive,
)
from perceiver_pytorch.data.kinds.clock import clock_grid, clock_note, clock_resolution
from perceiver_pytorch.data.kinds.image import (
    BOX_CHANGES,
    PictureAugmentation,
    background,
    box,
    box_changes,
    changed_pictures,
    check_box,
    on_pixels,
    patch_for,
    patches,
    shows_nothing,
    whole,
)
from perceiver_pytorch.data.kinds.long_cells import BEYOND, CUT, IN_PIECES, RowPieces, once
from perceiver_pytorch.data.kinds.stems import STEMS, stem_config, stem_knob, stem_note
from perceiver_pytorch.data.media import decoding
from perceiver_pytorch.data.media.fitting import Box
from perceiver_pytorch.data.media.video_file import VideoFacts
from perceiver_pytorch.data.train_rows import TrainRows, spread

if TYPE_CHECKING:
    from torch import Tensor

_NUM_VIDEOS = 512  # videos whose first frame is looked at for size and length; all where they are read to their end
_RATES, _FRAMES = (12.5, 25 / 3, 6.25, 5.0), 48
"""Frames per second to choose from: the first that gives a video of usual length no more frames than that, else the
last. Lips take 12.5; all are even parts of the usual 25."""
_MOST_FRAMES = 1 << 26  # of a video whose header does not say how long it is
_NUM_TRACKS = 8  # videos looked at for sound


@dataclass(frozen=True, kw_only=True)
class VideoSettings(Settings):
    """How videos become arrays; frames are fitted into their box as `image_fit` says."""

    video_rate: float | None = knob(
        None,
        "frames per second that are taken of every video; null: 12.5, or as few as 5 where videos are long",
        above=0,
    )
    video_size: int | None = knob(None, "longer side of every frame in pixels; null: the most common size", above=0)
    max_video_size: int = knob(48, "longest side chosen without video_size", above=0)
    video_stem: str = stem_knob("videos", "convolutions over frames and then over time")
    video_patch: int | None = knob(
        None, "side of a video token in pixels; null: 1 with a stem, else by max_video_tokens", above=0
    )
    max_video_tokens: int = knob(4096, "tokens per video without a stem that video_patch is chosen by", above=0)
    max_video_seconds: float | None = knob(
        10.0, "longer videos lose their end; null: all are read to their end", above=0
    )


@dataclass(frozen=True)
class VideoSpec(ColumnSpec):
    """One column of videos as at most `(num_frames, height / patch, width / patch)` tokens.

    Attributes:
        name: the modality's and the column's name.
        rate: frames per second that are taken.
        num_frames: longer videos lose their end.
        height, width: of the box in pixels.
        patch: side of a token, in pixels.
        filling: `"pad"` or `"stretch"`, as for images.
        clock: seconds of the time axis shared with other modalities; 0: its own.
        by_last_frame: a video ends when its last frame does; False (runs up to version 1.5): at the latest end of any
            frame.
        stem: what reads it before the model.
        stream_frames: longer videos are read in pieces of so many frames; 0: all are read whole.
        to_end: the train videos are read to their end.
    """

    name: str
    rate: float
    num_frames: int
    height: int
    width: int
    patch: int
    filling: str = "pad"
    clock: float = 0.0
    by_last_frame: bool = False
    stem: str = "none"
    stream_frames: int = 0
    to_end: bool = False

    kind: ClassVar[str] = "video"
    dtype: ClassVar[str] = "uint8"
    hidden_by: ClassVar[str] = BLANK
    changes: ClassVar[Mapping[str, str]] = {**BOX_CHANGES, "cut": CUT, "beyond": BEYOND, "pieces": IN_PIECES}
    harmless: ClassVar[frozenset[str]] = frozenset([*BOX_CHANGES, "pieces"])

    def __post_init__(self) -> None:
        check_positive(self, "rate", "num_frames", "height", "width", "patch")
        check_box(3, self.filling)
        _checks.choice("stem", self.stem, STEMS)
        _checks.within("stream_frames", self.stream_frames, least=0)

    @classmethod
    def fit(cls, name: str, samples: Iterable[VideoFacts], options: Any) -> "VideoSpec":
        """Learn size, length and patch from the headers (at least one), with `VideoSettings` and `image_fit`."""
        facts = list(samples)
        height, width = box([(fact.height, fact.width) for fact in facts], options.video_size, options.max_video_size)
        seconds = sorted(min(fact.seconds, options.max_video_seconds or math.inf) for fact in facts)
        usual = seconds[len(seconds) // 2]
        rate = options.video_rate or next((rate for rate in _RATES if rate * usual <= _FRAMES), _RATES[-1])
        num_frames = max(1, math.ceil(seconds[-1] * rate - 1e-6))
        piece = num_frames if options.stream_seconds is None else max(1, round(options.stream_seconds * rate))
        streamed, held = (piece if piece < num_frames else 0), min(piece, num_frames)
        most, stem = max(1, options.max_video_tokens // held), options.video_stem
        patch = options.video_patch or patch_for(height, width, most, stem)
        spec = cls(name, rate, num_frames, height, width, patch, options.image_fit, by_last_frame=True, stem=stem)
        return replace(spec, stream_frames=streamed, to_end=options.max_video_seconds is None)

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.num_frames, -(-self.height // self.patch), -(-self.width // self.patch))

    @property
    def held_axes(self) -> tuple[int, ...]:
        frames, *sides = self.axes
        return (min(frames, self.stream_frames or frames), *sides)

    @property
    def channels(self) -> int:
        return self.patch * self.patch * 3

    @property
    def stem_config(self) -> dict[str, Any] | None:
        return stem_config(self.stem, self.held_axes, self.channels)

    @property
    def seconds(self) -> float:
        """Of the longest video."""
        return self.num_frames / self.rate

    def fewer_tokens(self) -> dict[str, Any]:
        if self.stem == "none":
            return {"video_stem": "convolution"}
        return {"max_video_seconds": self.num_frames / self.rate / 2}

    def in_memory(self) -> dict[str, float]:
        return {"max_video_seconds": self.stream_frames / self.rate} if self.stream_frames else {}

    @property
    def resolution(self) -> float:
        return clock_resolution(self, 1 / self.rate)

    def grid(self, axis: int) -> "np.ndarray | None":
        return clock_grid(self, 1 / self.rate) if axis == 0 else None

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """uint8 (frames, rows, columns, patch * patch * 3), by row, column, colour; zeros fill the last patches."""
        source = media_source(row[self.name], self.name, where)
        if source is None:
            return None
        try:
            box = Box(self.height, self.width, self.filling)
            frames = self.held_axes[0]
            clip = decoding.video(source, self.rate, frames, box, where.cell_bytes, self.by_last_frame)
            pieces = self._in_pieces(source, where, row[self.name]) if clip.longer and self.stream_frames else None
        except ValueError as error:
            raise where.error(self.name, str(error), row[self.name]) from error
        after = clip.frames.shape[1:3]
        changes = box_changes((clip.height, clip.width), after, (self.height, self.width), self.filling)
        cut = ("beyond" if self.to_end else "cut",)
        changes += cut if (clip.longer if pieces is None else pieces.longer) else ()
        if pieces is not None:
            return Encoded(patches(clip.frames, self.patch), changes=(*changes, "pieces"), pieces=pieces)
        return Encoded(patches(clip.frames, self.patch), changes=changes, unusual=shows_nothing(self.name, clip.frames))

    def _in_pieces(self, source: bytes | Path, where: Where, cell: Any) -> "FilmPieces":
        """The pieces of a film, which is decoded once to see how long it is."""
        asked = self.rate, self.num_frames
        facts = once(source, asked, lambda: decoding.video_through(source, *asked, where.cell_bytes))
        height, width = Box(self.height, self.width, self.filling)(*facts["size"])
        shape = (facts["count"], -(-height // self.patch), -(-width // self.patch), self.channels)
        return FilmPieces(self, source, where, file_named(cell), shape, facts["longer"])

    def note(self) -> str:
        size = f"{self.height}x{self.width} RGB, {self.patch}x{self.patch} patches"
        stem = stem_note(self.stem_config, self.axes)
        pieces = f", over {self.stream_frames} in pieces" if self.stream_frames else ""
        return f"{self.num_frames} frames{pieces}, {self.rate:g} a second, {size}{stem}{clock_note(self)}"

    def augmented(self, values: "Tensor", mask: "Tensor | None", settings: PictureAugmentation) -> "Tensor":
        return changed_pictures(values, mask, self.patch, settings)

    def example(self, encoded: Encoded, row: Mapping[str, Any]) -> list[Part]:
        frames = whole(encoded.values, self.patch, 3)
        return [{"kind": "image", "name": self.name, "value": drawing.animation(frames, self.rate)}]

    def blank(self, values: "Tensor", mask: "Tensor | None") -> "Tensor":
        return background(values, mask, 3)

    def on_grid(self, values: "np.ndarray") -> "np.ndarray":
        """(frames, height, width): a value per pixel."""
        return on_pixels(values, len(self.axes), self.patch, 3)

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        """A strip of frames above their maps, and all of them as a film."""
        frames = whole(encoded.values, self.patch, 3)
        drawn = {"frames": map_drawing.strip(frames, heat), "film": map_drawing.film(frames, heat, self.rate)}
        return [{"kind": "image", "name": f"{self.name}.{what}", "value": value} for what, value in drawn.items()]

    @property
    def file_columns(self) -> tuple[str, ...]:
        return self.columns

    def fields(self) -> tuple[Field, ...]:
        return (Field(self.name, "video"),)

    def layout(self) -> dict[str, Any]:
        return {"patch": self.patch, "colors": 3}

    def token_options(self) -> dict[str, Any]:
        return {"video_patch": self.patch, "video_stem": self.stem}


@dataclass(frozen=True, eq=False)
class FilmPieces(RowPieces):
    """A film in pieces.

    Attributes:
        spec: of its column.
        source: the file's bytes, or its path.
        where, file: for messages.
        longer: whether it goes on.
    """

    spec: VideoSpec
    source: bytes | Path
    where: Where
    file: str | None
    shape: tuple[int, ...]
    longer: bool

    def read(self) -> "Iterator[np.ndarray]":
        spec, box = self.spec, Box(self.spec.height, self.spec.width, self.spec.filling)
        size, most = spec.stream_frames, self.where.cell_bytes
        try:
            for frames in decoding.frames(self.source, spec.rate, spec.num_frames, box, size, most):
                yield patches(frames, spec.patch)
        except ValueError as error:
            raise self.where.error(spec.name, str(error), self.file) from error


class VideoKind(Kind):
    """Files of videos, or paths of them: their pictures."""

    name = "video"
    spec = VideoSpec
    settings = VideoSettings
    augmentation = PictureAugmentation

    def recognises(self, column: Column) -> bool:
        return column.media == "video"

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        (name,) = columns
        options = rows.options(name)
        most = None if options.max_video_seconds is None else _NUM_VIDEOS

        def look(value: Any, where: Where) -> VideoFacts | None:
            source = media_source(value, name, where)
            if source is None:
                return None
            facts = decoding.video_facts(source, where.cell_bytes)
            if math.isinf(facts.seconds) and options.max_video_seconds is None:
                return replace(facts, seconds=_seconds(source, where.cell_bytes))
            return facts

        return [VideoSpec.fit(name, rows.look(name, look, most=most), options)]

    def left_unread(self, column: str, rows: TrainRows) -> str | None:
        for row, cells in rows.table.iterate(spread(rows.rows, _NUM_TRACKS), [column]):
            try:
                where = rows.where(row)
                source = media_source(cells[column], column, where)
                if source is not None and decoding.audio_facts(source, where.cell_bytes):
                    return f"column {column!r} has sound too, which is not read; --column {column}=video+audio reads it"
            except ValueError:  # no sound track; or a bad cell, which is told when it is decoded
                continue
        return None


def _seconds(source: bytes | Path, most: int) -> float:
    """How long a video is whose header does not say it: all of it is decoded."""
    rate = _RATES[-1]
    return decoding.video_through(source, rate, _MOST_FRAMES, most)["count"] / rate
