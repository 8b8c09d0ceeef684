"""Cells that are too long for memory: films and sounds that a model reads piece by piece."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob

T = TypeVar("T")

IN_PIECES = "are read in pieces, all of them again for each layer of the model: they are longer than stream_seconds"
"""What is told of long cells, as after "12 of 80 rows: cells of 'film' "."""
CUT = (
    "lost their end: they are longer than the model reads (data.max_video_seconds and max_audio_seconds; null: all are "
    "read to their end, long ones in pieces)"
)
BEYOND = "lost their end: they are longer than the longest train cell, where the model's time axis ends"
_MOST_KNOWN = 10_000  # files


@dataclass(frozen=True, kw_only=True)
class LongCellSettings(Settings):
    """When cells of any kind are read in pieces."""

    stream_seconds: float | None = knob(
        60.0,
        "sounds and videos that are longer are read in pieces of this length, one of which is in memory at a time; "
        "null: all are read whole",
        above=0,
        before=None,
    )


class RowPieces(ABC):
    """One modality of one row, in pieces along its first axis. It can be handed to other processes.

    Attributes:
        shape: of all of it, ``(length, *axes, channels)``.
        source: the file's bytes, or its path.
    """

    shape: tuple[int, ...]
    source: bytes | Path

    @property
    def nbytes(self) -> int:
        """Bytes that are in memory all the time: those of the file where its source is no path."""
        return len(self.source) if isinstance(self.source, bytes) else 0

    @abstractmethod
    def read(self) -> "Iterator[np.ndarray]":
        """The pieces from the first to the last, ``(any length, *axes, channels)``; the same ones with every call.

        Raises:
            DataError: the file cannot be read any more.
        """


_KNOWN: dict[Hashable, Any] = {}


def once(source: bytes | Path, what: Hashable, look: Callable[[], T]) -> T:
    """What is known of a whole file, looked at once: rows that are not kept decoded are asked for again and again.

    Raises:
        ValueError: the file is gone.
    """
    if isinstance(source, Path):
        try:
            status = source.stat()
        except OSError as error:
            raise ValueError(f"the file cannot be read any more ({error.strerror})") from error
        file: Hashable = (str(source), status.st_size, status.st_mtime_ns)
    else:
        file = blake2b(source, digest_size=16).digest()
    key = (file, what)
    if key in _KNOWN:
        with suppress(KeyError):  # another thread needed its place
            return _KNOWN[key]
    found = look()
    for oldest in [*_KNOWN][: max(0, len(_KNOWN) - _MOST_KNOWN + 1)]:
        _KNOWN.pop(oldest, None)
    _KNOWN[key] = found
    return found
