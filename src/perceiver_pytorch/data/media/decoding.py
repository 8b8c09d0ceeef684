"""What is asked of the process that decodes files, see `decoder`: whole files, pieces of long ones, and facts."""

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cell_memory import CELL_BYTES, claim
from perceiver_pytorch.data.media import decoder
from perceiver_pytorch.data.media.audio_file import AudioFacts, NoSoundError, Sound
from perceiver_pytorch.data.media.fitting import Box
from perceiver_pytorch.data.media.image_file import WHITE, ImageFacts
from perceiver_pytorch.data.media.in_pieces import GoneError
from perceiver_pytorch.data.media.limits import limits_now
from perceiver_pytorch.data.media.video_file import Clip, VideoFacts

_SECONDS = 120.0  # of work on a file, without what its length adds
_TIMES = 20.0  # seconds of work on a second of a sound or video
_ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (NoSoundError, GoneError, ValueError, ImportError, MemoryError)
}
_WHAT = {"image": "the image", "audio": "the sound", "video": "the video"}
_DTYPES = {"uint8": "uint8", "float32": "float32"}


def image(
    source: bytes | Path, box: Box, colors: int, most: int = CELL_BYTES, white: int = WHITE
) -> "tuple[dict[str, Any], np.ndarray]":
    """Of an image file what `Picture` says of it, and whether it is `colored` where one colour is asked for; and the
    image, uint8 (height, width, colors).

    Args:
        source: the file's bytes, or its path.
        box: that it is fitted into.
        colors: 1 or 3.
        most: bytes that decoding may take.
        white: see `read_image`.

    Raises:
        ValueError: it cannot be decoded, or takes too much memory or time.
        DecodingMemoryError: its process was killed twice, which is a sign of too little memory.
        ChildProcessError: no process can be started.
    """
    size = box.height * box.width * colors
    return _decode("image", source, most, {"box": vars(box), "colors": colors, "white": white}, size)


def image_facts(source: bytes | Path, most: int = CELL_BYTES) -> ImageFacts:
    """What is to be known of an image; errors as of `image`."""
    return ImageFacts(**_decode("image facts", source, most)[0])


def audio(source: bytes | Path, sample_rate: int, max_samples: int, channels: int, most: int = CELL_BYTES) -> Sound:
    """What `read_audio` gives, with errors as of `image`; and `NoSoundError` where there is no sound track."""
    arguments = {"sample_rate": sample_rate, "max_samples": max_samples, "channels": channels}
    facts, samples = _decode("audio", source, most, arguments, 4 * max_samples * channels, max_samples / sample_rate)
    return Sound(samples, **facts)


def audio_facts(source: bytes | Path, most: int = CELL_BYTES) -> AudioFacts:
    """What is to be known of a sound; errors as of `audio`."""
    return AudioFacts(**_decode("audio facts", source, most)[0])


def video(
    source: bytes | Path, rate: float, max_frames: int, box: Box, most: int = CELL_BYTES, by_last_frame: bool = True
) -> Clip:
    """What `read_video` gives, with errors as of `image`."""
    size = 3 * max_frames * box.height * box.width
    arguments = {"rate": rate, "max_frames": max_frames, "box": vars(box), "by_last_frame": by_last_frame}
    facts, frames = _decode("video", source, most, arguments, size, max_frames / rate)
    return Clip(frames, **facts)


def video_facts(source: bytes | Path, most: int = CELL_BYTES) -> VideoFacts:
    """What is to be known of a video; errors as of `image`."""
    return VideoFacts(**_decode("video facts", source, most)[0])


def frames(
    source: bytes | Path, rate: float, max_frames: int, box: Box, size: int, most: int = CELL_BYTES
) -> "InPieces":
    """What `read_video` gives, in pieces of ``size`` frames, the last one of fewer; errors as of `image`."""
    arguments = {"rate": rate, "max_frames": max_frames, "box": vars(box)}
    return InPieces("video piece", source, arguments, size, 3 * box.height * box.width, rate, most)


def samples(
    source: bytes | Path, sample_rate: int, max_samples: int, channels: int, size: int, most: int = CELL_BYTES
) -> "InPieces":
    """What `read_audio` gives, in pieces of ``size`` samples, the last one of fewer; errors as of `audio`."""
    arguments = {"sample_rate": sample_rate, "max_samples": max_samples, "channels": channels}
    return InPieces("audio piece", source, arguments, size, 4 * channels, sample_rate, most)


def video_through(source: bytes | Path, rate: float, max_frames: int, most: int = CELL_BYTES) -> dict[str, Any]:
    """Decodes a video to its end: how many frames `frames` gives (``count``), their upright ``size``, and whether it is
    ``longer``; errors as of `image`."""
    arguments = {"rate": rate, "max_frames": max_frames, "box": None}
    return _decode("video through", source, most, arguments, 0, max_frames / rate)[0]


class InPieces:
    """A file piece by piece, from its beginning to its end, once. The process that decodes lets go of it then; of one
    that is not read to its end, with the next request.

    Args:
        task: of `decoder_process`.
        source: the file's bytes, or its path. Bytes are sent once, and again where the process that had them is gone.
        arguments: of the task.
        size: frames or samples of a piece.
        each: bytes of one of them.
        rate: how many of them a second has.
        most: bytes that decoding may take.

    Attributes:
        facts: at the end, what is known: how many there were (``count``), whether the file is ``longer``, and of sounds
            how loud the ``loudest`` sample is and whether the file is ``incomplete``.
    """

    def __init__(
        self,
        task: str,
        source: bytes | Path,
        arguments: Mapping[str, Any],
        size: int,
        each: int,
        rate: float,
        most: int,
    ) -> None:
        self.task, self.source, self.arguments, self.size = task, source, arguments, size
        self.each, self.rate, self.most = each, rate, most
        self.facts: dict[str, Any] = {}

    def __iter__(self) -> "Iterator[np.ndarray]":
        number, start = next(_READINGS), 0
        try:
            while not self.facts:
                piece = self._piece(number, start)
                if len(piece):
                    yield piece
                start += self.size
        finally:
            if not self.facts:  # nobody is asked here, where a generator may be collected while another request is made
                _LEFT.append(number)

    def _piece(self, number: int, start: int) -> "np.ndarray":
        """The piece of a reading that begins at ``start``; with the last one come the facts."""
        asked = {**self.arguments, "number": number, "start": start, "count": self.size}
        wanted = asked, self.size * self.each, (start + self.size) / self.rate
        try:
            sent = self.source if start == 0 or isinstance(self.source, Path) else b""
            self.facts, piece = _decode(self.task, sent, self.most, *wanted)
        except GoneError:
            self.facts, piece = _decode(self.task, self.source, self.most, *wanted)
        return piece


_READINGS = itertools.count()  # a number for each file that is read in pieces
_LEFT: deque[int] = deque()  # numbers of those that nobody reads on


def _decode(
    task: str,
    source: bytes | Path,
    most: int,
    arguments: Mapping[str, Any] = {},
    result: int = 0,
    seconds: float = 0.0,
) -> "tuple[dict[str, Any], np.ndarray]":
    """Facts and the array of a task of `decoder_process`.

    Args:
        arguments: of the task.
        result: bytes of the array, at most.
        seconds: how long what is wanted of a sound or video is.
    """
    what = _WHAT[task.split()[0]]
    data, path = (source, None) if isinstance(source, bytes) else (b"", os.path.abspath(source))
    claim(what, f"its file has {len(data):,} bytes", len(data), most)
    head = {"task": task, "what": what, "path": path, "most": most, "result": result, "arguments": arguments}
    limits, work = limits_now(), _SECONDS + _TIMES * seconds
    if limits is not None:
        work = min(work, limits["work"])
    left = []
    with contextlib.suppress(IndexError):
        while True:
            left.append(_LEFT.popleft())
    answer, raw = decoder.of_this_process().ask({**head, "limits": limits, "seconds": work, "left": left}, data)
    if "error" in answer:
        raise _ERRORS.get(answer["error"], ValueError)(answer["message"])
    return answer["facts"], np.frombuffer(raw, _DTYPES[answer["dtype"]]).reshape(answer["shape"])
