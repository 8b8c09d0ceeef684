"""Files that are decoded piece by piece: what is open in the process that decodes.

A piece says where it begins. Who asks for one after the other goes on where the last one ended; whoever begins
elsewhere, or after the process was lost, has the file decoded anew from its beginning.
"""

import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.media.audio_file import Samples
from perceiver_pytorch.data.media.fitting import Box
from perceiver_pytorch.data.media.video_file import Frames


class GoneError(ValueError):
    """The file is not open any more, and its bytes were not sent again."""


class Reading(ABC):
    """A file that is read from its beginning to its end.

    Attributes:
        position: frames or samples that were taken.
        parts: what is read of it.
    """

    parts: "Iterator[np.ndarray]"

    def __init__(self) -> None:
        self.position = 0

    @abstractmethod
    def take(self, count: int) -> "np.ndarray":
        """So many more, fewer at the end."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What is known about it at its end."""

    def skip(self, count: int, step: int) -> None:
        """Goes on without what lies between."""
        while count > 0 and len(self.take(min(step, count))):
            count -= step

    def close(self) -> None:
        with suppress(Exception):
            self.parts.close()  # type: ignore[attr-defined]


class FramesReading(Reading):
    """A video: arguments of `Frames`, and the box as JSON values; None: pixels are of no interest."""

    def __init__(self, source: bytes | Path, most: int, box: dict[str, Any] | None, **arguments: Any) -> None:
        super().__init__()
        self.shape = (0, 0) if box is None else (box["height"], box["width"])
        self.frames = Frames(source, fit=None if box is None else Box(**box), most=most, **arguments)
        self.parts = iter(self.frames)

    def take(self, count: int) -> "np.ndarray":
        found = list(islice(self.parts, count))
        self.position += len(found)
        return np.stack(found) if found else np.zeros((0, *self.shape, 3), np.uint8)

    def facts(self) -> dict[str, Any]:
        return {"count": self.position, "size": self.frames.size, "longer": self.frames.longer}


class SamplesReading(Reading):
    """A sound: arguments of `Samples`."""

    def __init__(self, source: bytes | Path, most: int, **arguments: Any) -> None:
        super().__init__()
        self.samples = Samples(source, most=most, **arguments)
        self.parts = iter(self.samples)
        self.rest = np.zeros((0, self.samples.channels), np.float32)

    def take(self, count: int) -> "np.ndarray":
        held, length = [self.rest], len(self.rest)
        while length < count and (part := next(self.parts, None)) is not None:
            held.append(part)
            length += len(part)
        whole = np.concatenate(held)
        self.rest = whole[count:].copy()
        self.position += min(count, length)
        return whole[:count]

    def facts(self) -> dict[str, Any]:
        decoded, loudest = self.samples.decoded, self.samples.loudest
        end = {"longer": decoded.longer, "incomplete": decoded.incomplete}
        return {"count": self.position, "loudest": loudest, **end}


class OpenFiles:
    """Files that are being read, by the number that the asking process gave the reading.

    Attributes:
        most: files at a time: a film's frames and its sound for each thread that may read, of which there are no more
            than cores. With fewer, threads would have one another's files decoded anew.
    """

    def __init__(self) -> None:
        self.most = max(8, 2 * (os.cpu_count() or 1))
        self.readings: OrderedDict[int, Reading] = OrderedDict()

    def piece(
        self, number: int, start: int, count: int, begin: Callable[[], Reading] | None
    ) -> "tuple[dict[str, Any], np.ndarray]":
        """Frames or samples from ``start`` on, fewer than ``count`` at the end; facts then, else empty.

        Args:
            number: of the reading.
            start: where the piece begins.
            count: how long it is.
            begin: opens the file; None: its bytes are not here.

        Raises:
            GoneError: it would have to be opened.
            ValueError: it is damaged.
        """
        reading = self.readings.pop(number, None)
        if reading is None or reading.position != start:
            if begin is None:
                raise GoneError("the file is not open any more")
            if reading is not None:
                reading.close()
            reading = begin()
            reading.skip(start, count)
        found = reading.take(count)
        if len(found) < count:
            facts = reading.facts()
            reading.close()
            return facts, found
        self.readings[number] = reading
        if len(self.readings) > self.most:
            self.readings.popitem(last=False)[1].close()
        return {}, found

    def close(self, number: int) -> None:
        """Lets go of a file that nobody reads on."""
        if (reading := self.readings.pop(number, None)) is not None:
            reading.close()
