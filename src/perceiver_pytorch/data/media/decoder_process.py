"""The process in which files are decoded: what a damaged file breaks, or writes to the terminal, stays here.

It is started by `perceiver_pytorch.data.media.decoder`, reads requests from its standard input, and ends with it.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._processes import end_with_parent
from perceiver_pytorch.data.cell_memory import exhausted
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.media import messages
from perceiver_pytorch.data.media.audio_file import AudioFacts, NoSoundError, read_audio
from perceiver_pytorch.data.media.fitting import Box
from perceiver_pytorch.data.media.image_file import ImageFacts, read_image, to_array
from perceiver_pytorch.data.media.in_pieces import FramesReading, GoneError, OpenFiles, SamplesReading
from perceiver_pytorch.data.media.limits import FileLimits
from perceiver_pytorch.data.media.video_file import VideoFacts, read_video

LARGEST = 1 << 40  # bytes of a request; a cell's own limit is looked at before it is sent
_SLACK = 512 << 20  # bytes of address space for libraries, threads' stacks and what decoders keep for themselves
_WORDS = 1 << 20  # bytes that libraries may write
_SAID = 400  # characters of them that are told

_BEFORE: dict[str, tuple[int, int]] = {}  # limits that this process was started with

Answer = tuple[dict[str, Any], "np.ndarray"]


def _image(source: bytes | Path, most: int, box: dict[str, Any], colors: int, white: int) -> Answer:
    picture = read_image(source, Box(**box), most, white)
    facts = {name: getattr(picture, name) for name in ("height", "width", "peak", "incomplete", "several")}
    return {**facts, "colored": colors == 1 and not picture.grey}, to_array(picture.image, colors)


def _audio(source: bytes | Path, most: int, sample_rate: int, max_samples: int, channels: int) -> Answer:
    sound = read_audio(source, sample_rate, max_samples, channels, most)
    return {"longer": sound.longer, "incomplete": sound.incomplete}, sound.samples


def _video(
    source: bytes | Path, most: int, rate: float, max_frames: int, box: dict[str, Any], by_last_frame: bool
) -> Answer:
    clip = read_video(source, rate, max_frames, Box(**box), most, by_last_frame)
    return {"height": clip.height, "width": clip.width, "longer": clip.longer}, clip.frames


_OPEN = OpenFiles()


def _piece_of(reading: type[FramesReading] | type[SamplesReading]) -> Callable[..., Answer]:
    def piece(source: bytes | Path, most: int, number: int, start: int, count: int, **arguments: Any) -> Answer:
        there = isinstance(source, Path) or bool(source)
        return _OPEN.piece(number, start, count, (lambda: reading(source, most, **arguments)) if there else None)

    return piece


def _through(source: bytes | Path, most: int, **arguments: Any) -> Answer:
    """All of a video is decoded, and what is known at its end told."""
    reading = FramesReading(source, most, **arguments)
    while len(reading.take(64)):  # none of them are left, so that it knows how it ended
        pass
    return reading.facts(), np.zeros(0, np.uint8)


def _looks(facts: Any) -> Callable[..., Answer]:
    return lambda source, most: (asdict(facts.look(source, most)), np.zeros(0, np.uint8))


_TASKS: dict[str, Callable[..., Answer]] = {
    "image": _image,
    "image facts": _looks(ImageFacts),
    "audio": _audio,
    "audio piece": _piece_of(SamplesReading),
    "audio facts": _looks(AudioFacts),
    "video": _video,
    "video piece": _piece_of(FramesReading),
    "video through": _through,
    "video facts": _looks(VideoFacts),
}


def main() -> None:
    """Answer requests until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the process that asks decides
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
    end_with_parent(os.getppid())
    requests, answers = FileIO(os.dup(0), "r"), FileIO(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", _WORDS)
    with contextlib.suppress(EOFError, OSError):  # whoever asked is gone
        while True:
            head, data = messages.receive(requests, LARGEST)
            if os.lseek(2, 0, os.SEEK_CUR):
                os.lseek(2, 0, os.SEEK_SET)
                os.ftruncate(2, 0)
            messages.send(answers, *_answer(head, data))


def _answer(head: Mapping[str, Any], data: bytearray) -> tuple[dict[str, Any], bytes]:
    most = head["most"]
    source = bytes(data) if head["path"] is None else Path(head["path"])
    data.clear()
    for number in head.get("left", ()):
        _OPEN.close(number)
    try:
        if head["task"].startswith("image"):
            pillow: Any = need("PIL.Image", "decode images")
            pillow.MAX_IMAGE_PIXELS = None  # `claim` knows what a cell may take
        with _limited(head["what"], most, most + head["result"] + _SLACK, head["seconds"]):
            if head.get("limits") is not None and source != b"":  # a piece of an open file
                FileLimits(**head["limits"]).check(head["task"].split()[0], source, most)
            facts, array = _TASKS[head["task"]](source, most, **head["arguments"])
        return {"facts": facts, "dtype": str(array.dtype), "shape": array.shape}, array.tobytes()
    except (ValueError, ImportError, MemoryError) as error:
        kind = next(
            kind for kind in (NoSoundError, GoneError, ValueError, ImportError, MemoryError) if isinstance(error, kind)
        )
        return {"error": kind.__name__, "message": f"{error}{_said()}"}, b""
    except Exception as error:  # what no reader foresaw is the file's fault all the same
        reason = f"{head['what']} cannot be decoded ({type(error).__name__}: {error})"
        return {"error": "ValueError", "message": f"{reason}{_said()}"}, b""


@contextlib.contextmanager
def _limited(what: str, most: int, memory: int, seconds: float) -> Iterator[None]:
    """Limits of this process while it decodes; memory beyond that of a cell raises a `ValueError`."""
    ours = _limit_memory(memory)
    _limit_time(seconds)
    try:
        yield
    except MemoryError as error:
        if ours:
            raise exhausted(what, most) from error
        raise
    finally:
        _limit_time(0)
        _limit("RLIMIT_AS", None)


def _said() -> str:
    """What libraries wrote about a file to the terminal, they thought."""
    size = os.lseek(2, 0, os.SEEK_CUR)
    if not size:
        return ""
    os.lseek(2, 0, os.SEEK_SET)
    return last_words(os.read(2, 1 << 16))


def last_words(said: bytes) -> str:
    """The end of what a library wrote, in brackets; nothing of nothing."""
    words = " ".join(said.decode(errors="replace").split())
    return f" [{words[-_SAID:]}]" if words else ""


def _limit(name: str, value: int | None) -> bool:
    """Whether a limit of the system was set, None: to what it was: not where it has none, or a lower one."""
    if sys.platform == "win32":
        return False
    import resource

    number = getattr(resource, name)
    soft, hard = _BEFORE.setdefault(name, resource.getrlimit(number))
    if value is None or (soft != resource.RLIM_INFINITY and soft < value):
        resource.setrlimit(number, (soft, hard))
        return False
    resource.setrlimit(number, (value, hard))
    return True


def _limit_memory(more: int) -> bool:
    """Whether memory is limited to what is used now and some more: what a header did not say ends as `MemoryError`."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    except (OSError, ValueError):  # not Linux
        return False
    return _limit("RLIMIT_AS", pages * os.sysconf("SC_PAGE_SIZE") + more)


def _limit_time(seconds: float) -> None:
    """Let the system end this process after so many seconds of work; 0: not at all."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
