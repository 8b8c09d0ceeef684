"""Decode files in a process of their own, so that what a damaged one breaks is one bad row.

Libraries for images, sounds and videos are written in C, and read what strangers made. A process of Python that loads
nothing else is started when the first file is decoded, and kept. When it dies, a new one tries the same file once
more: the memory may have been damaged by another file, and one killed for want of memory may have been too large
together with others. Each process of a `DataLoader` has its own.
"""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from multiprocessing.spawn import get_executable
from typing import IO, Any

from perceiver_pytorch._processes import DecodingMemoryError
from perceiver_pytorch.data.media import decoder_process, messages

_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class Decoder:
    """A process that decodes, for one process that asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None  # where it writes what is not an answer
        self._words = b""

    def ask(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytearray]:
        """What it answers.

        Raises:
            ValueError: it died of the file.
            DecodingMemoryError: it was killed, as the system does where memory runs out.
        """
        with self._lock:
            answer = self._answer(head, data)
            if isinstance(answer, int) and -answer != getattr(signal, "SIGPROF", None):
                answer = self._answer(head, data)
        if isinstance(answer, int):
            raise death(head, answer, decoder_process.last_words(self._words))
        return answer

    def close(self) -> None:
        with self._lock:
            self._end()

    def _answer(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytearray] | int:
        """The answer, or the exit status of the process, which died; 0 where it no longer makes sense."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            messages.send(process.stdin, head, data)  # type: ignore[arg-type]
            return messages.receive(process.stdout, head["result"])  # type: ignore[arg-type]
        except (OSError, EOFError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            status = process.returncode or 0
            self._end()
            return status
        except ValueError:  # no answer of ours: its memory is damaged
            self._end()
            return 0
        except BaseException:  # an interruption: what is still to come would be taken for the next answer
            self._end()
            raise

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._end()
            try:
                self._said = tempfile.TemporaryFile()  # noqa: SIM115 (kept as long as the process)
                self._process = subprocess.Popen(
                    _command(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._said,
                    bufsize=0,
                    env={**os.environ, **_ENVIRONMENT},
                    start_new_session=True,  # the terminal's Ctrl-C is for the process that asks
                )
            except OSError as error:
                raise ChildProcessError(f"the process that decodes files cannot be started ({error})") from error
        return self._process

    def _end(self) -> None:
        (process, self._process), (said, self._said) = (self._process, None), (self._said, None)
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
        if said is not None:
            with said:
                said.seek(0)
                self._words = said.read(1 << 16)


_DECODERS: dict[int, Decoder] = {}  # by process: one that was forked cannot share its parent's pipes


def of_this_process() -> Decoder:
    """What decodes for this process; the process behind it starts with the first file."""
    return _DECODERS.setdefault(os.getpid(), Decoder())


def close() -> None:
    """End this process's decoder, if there is one; the next file starts another."""
    if (mine := _DECODERS.get(os.getpid())) is not None:
        mine.close()


atexit.register(close)


def _command() -> list[str]:
    """Python with this process's places to import from."""
    executable = get_executable() or sys.executable
    places = [str(place) for place in sys.path]
    code = (
        f"import sys; sys.path[:] = {places!r}; from perceiver_pytorch.data.media.decoder_process import main; main()"
    )
    return [os.fsdecode(executable), "-c", code]


def death(head: dict[str, Any], status: int, said: str) -> Exception:
    """What the death of a decoding process means for the file that it read."""
    what, number = head["what"], -status
    if number == getattr(signal, "SIGPROF", None):
        return ValueError(f"{what} cannot be decoded (the decoder was still at work after {head['seconds']:.0f} s)")
    if number == getattr(signal, "SIGKILL", None):
        reason = f"its process was killed twice (signal {number}), as the system does where memory runs out{said}"
        return DecodingMemoryError.at(what, reason)
    names = {one.value: f"signal {one.value}, {signal.strsignal(one)}" for one in signal.Signals}
    ended = names.get(number, f"status {status}" if status else "its answer cannot be read")
    return ValueError(f"{what} cannot be decoded (it ends the decoder: {ended}{said})")
