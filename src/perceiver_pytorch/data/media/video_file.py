"""Decode the frames of a video that are wanted, and no more."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cell_memory import CELL_BYTES
from perceiver_pytorch.data.media import av_file
from perceiver_pytorch.data.media.fitting import Fit

_SEEK = 10.0  # seconds between two wanted frames from which seeking pays
_EPSILON = 1e-6  # seconds: time stamps are rounded


@dataclass(frozen=True)
class VideoFacts:
    """What a video's header says: upright height and width in square pixels, its length in seconds (infinite where it
    does not say), and whether it has a sound track."""

    height: int
    width: int
    seconds: float
    has_sound: bool

    @classmethod
    def look(cls, source: bytes | Path, most: int = CELL_BYTES) -> "VideoFacts":
        """Read the header and the first frame of a video file, given its bytes or its path.

        Raises:
            ValueError: it cannot be read, has no pictures, or a frame takes more than `most` bytes.
        """
        with av_file.opened(source, "video", most) as container:
            stream = _stream(container, most)
            seconds = av_file.seconds(container, stream) or math.inf
            frame = next(container.decode(stream), None)
            if frame is None:
                raise ValueError("the video has no frames")
            return cls(*_size(frame, stream, most), seconds, bool(container.streams.audio))


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames uint8 (frames, height, width, 3), the upright size that they had, and whether the video goes on."""

    frames: "np.ndarray"
    height: int
    width: int
    longer: bool


def read_video(
    source: bytes | Path,
    rate: float,
    max_frames: int,
    fit: Fit,
    most: int = CELL_BYTES,
    by_last_frame: bool = True,
) -> Clip:
    """Decode a video's pictures at times 0, 1 / rate, 2 / rate .. from its beginning.

    At each time the picture that is on display is taken, whatever the video's own rate and however it varies. Where
    pictures change their shape midway, all get the size that the first one is fitted to. Memory holds the wanted
    frames, at their new size, and one more.

    Args:
        source: the file's bytes, or its path.
        rate: frames per second to take.
        max_frames: take this many at most.
        fit: gives the size to resize to.
        most: bytes that decoding may take.
        by_last_frame: the video ends when its last frame does; False: at the latest end of any frame, as it did up to
            version 1.5. Where frames are stored in another order than shown, one may have another's duration.

    Raises:
        ValueError: it is damaged, has no pictures, or takes more memory.
    """
    frames = Frames(source, rate, max_frames, fit, most, by_last_frame)
    pixels = np.stack(list(frames))
    return Clip(pixels, *frames.size, frames.longer)


class Frames:
    """The frames of a video that are wanted, one after another: arguments and errors as of `read_video`.

    Args:
        fit: None: their pixels are of no interest, and each is an empty array.

    Attributes:
        count: how many were given.
        size: upright height and width that the first one had.
        longer: at the end, whether the video goes on.
    """

    def __init__(
        self,
        source: bytes | Path,
        rate: float,
        max_frames: int,
        fit: Fit | None,
        most: int = CELL_BYTES,
        by_last_frame: bool = True,
    ) -> None:
        self.source, self.rate, self.max_frames, self.fit = source, rate, max_frames, fit
        self.most, self.by_last_frame = most, by_last_frame
        self.count, self.size, self.longer = 0, (0, 0), False

    def __iter__(self) -> "Iterator[np.ndarray]":
        with av_file.opened(self.source, "video", self.most) as container:
            stream = _stream(container, self.most)
            shown, end, last = None, 0.0, math.inf if not self.by_last_frame else _last_moment(container, stream)
            for frame, time in self._timed(container, stream):
                while shown is not None and self._wants_one_before(time):
                    yield self._taken(shown, stream)
                if time >= self.max_frames / self.rate - _EPSILON:
                    self.longer = True
                    return
                self.size = self.size if self.count else _size(frame, stream, self.most)
                ends = time + _duration(frame, stream)
                shown = frame
                end = max(end, ends) if not self.by_last_frame else min(ends, last) if last > time else ends
            while shown is not None and (self._wants_one_before(end) or not self.count):
                yield self._taken(shown, stream)
        if not self.count:
            raise ValueError("the video has no frames")
        self.longer = self.count / self.rate < end - _EPSILON

    def _wants_one_before(self, time: float) -> bool:
        return self.count < self.max_frames and self.count / self.rate < time - _EPSILON

    def _taken(self, frame: Any, stream: Any) -> "np.ndarray":
        self.count += 1
        _size(frame, stream, self.most)  # or an error: it may be larger than the first one
        return np.zeros(0, np.uint8) if self.fit is None else _pixels(frame, *self.fit(*self.size))

    def _timed(self, container: Any, stream: Any) -> Iterator[tuple[Any, float]]:
        """Decoded frames with their time from the video's beginning; long stretches that nobody wants are skipped."""
        beginning = av_file.start(container)
        frames, seekable, last, count = container.decode(stream), 1 / self.rate >= _SEEK, 0.0, 0
        sought = -1  # the wanted frame that was last sought: once is enough, its key frame may lie far before it
        while True:
            frame = next(frames, None)
            if frame is None:
                return
            time = frame.time - beginning if frame.time is not None else last + _duration(frame, stream) * (count > 0)
            last, count = time, count + 1
            yield frame, max(0.0, time)
            wanted = self.count / self.rate
            if seekable and stream.time_base and wanted - time > _SEEK and self.count > sought:
                sought = self.count
                try:
                    container.seek(round((wanted + beginning) / stream.time_base), stream=stream)
                    frames = container.decode(stream)
                except (OSError, ValueError):  # a file without an index: decoded throughout
                    seekable = False


def _pixels(frame: Any, height: int, width: int) -> "np.ndarray":
    """A frame upright as uint8 (height, width, 3) at its new size."""
    quarters = _quarters(frame)
    if quarters % 2:
        height, width = width, height
    small = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA")
    return np.rot90(small.to_ndarray(), quarters)


def _size(frame: Any, stream: Any, most: int) -> tuple[int, int]:
    """Upright height and width in square pixels."""
    av_file.check_pixels(frame.height, frame.width, most)
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    width = max(1, round(frame.width * float(aspect))) if aspect and 0.1 < float(aspect) < 10 else frame.width
    return (width, frame.height) if _quarters(frame) % 2 else (frame.height, width)


def _quarters(frame: Any) -> int:
    """Quarter turns, counter-clockwise, that a frame's metadata ask for."""
    return round((getattr(frame, "rotation", 0) or 0) / 90) % 4


def _duration(frame: Any, stream: Any) -> float:
    """How long a frame is on display, in seconds."""
    duration = getattr(frame, "duration", 0)
    if duration and frame.time_base:
        return float(duration * frame.time_base)
    return float(1 / stream.average_rate) if stream.average_rate else 0.0


def _last_moment(container: Any, stream: Any) -> float:
    """When a video ends by its header, from its beginning; infinity where it does not say."""
    seconds = av_file.seconds(container, stream)
    begins = float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0
    return math.inf if seconds is None else max(0.0, begins - av_file.start(container)) + seconds


def _stream(container: Any, most: int) -> Any:
    streams = container.streams.video
    if not streams:
        raise ValueError("the file has no pictures")
    stream = streams[0]
    av_file.check_codec(stream, "video")
    av_file.check_pixels(stream.height or 1, stream.width or 1, most)
    av_file.limit_pixels(stream, most)
    return stream
