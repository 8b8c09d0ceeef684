"""Limits of files that strangers send: looked at in their headers, before anything is decoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from perceiver_pytorch.data.media.audio_file import AudioFacts
from perceiver_pytorch.data.media.image_file import image_size
from perceiver_pytorch.data.media.video_file import VideoFacts


@dataclass(frozen=True)
class FileLimits:
    """What a file may have at most.

    Attributes:
        pixels: of an image, or of a video's picture.
        seconds: of a sound or a video, if its header says how long it is; more than the model reads is never decoded.
        work: seconds that a processor may be at work on it.
    """

    pixels: int
    seconds: float
    work: float

    def check(self, what: str, source: bytes | Path, most: int) -> None:
        """Looks at a file's header.

        Args:
            what: image, audio or video.
            source: its bytes, or its path.
            most: bytes that decoding may take.

        Raises:
            ValueError: if it is beyond the limits, or cannot be read.
        """
        if what == "image":
            self._pixels("the image", *image_size(source, most))
        elif what == "audio":
            self._seconds("the sound", AudioFacts.look(source, most).seconds)
        else:
            facts = VideoFacts.look(source, most)
            self._pixels("the video", facts.height, facts.width)
            self._seconds("the video", facts.seconds)

    def _pixels(self, what: str, height: int, width: int) -> None:
        if height * width > self.pixels:
            raise ValueError(f"{what} has {width}x{height} pixels, and {self.pixels:,} in all is the most")

    def _seconds(self, what: str, seconds: float) -> None:
        if self.seconds < seconds < float("inf"):
            raise ValueError(f"{what} is {seconds:,.1f} s long, and {self.seconds:g} s is the most")


_LIMITS: ContextVar[FileLimits | None] = ContextVar("file_limits", default=None)


@contextmanager
def limited_files(limits: FileLimits) -> Iterator[None]:
    """Within it, files that are decoded by this thread keep to the limits, or are an error."""
    token = _LIMITS.set(limits)
    try:
        yield
    finally:
        _LIMITS.reset(token)


def limits_now() -> dict[str, Any] | None:
    """The limits that hold here, as JSON values; None: there are none."""
    limits = _LIMITS.get()
    return None if limits is None else asdict(limits)
