"""Processes that decode: what ends with what, and what is said about one that was killed."""

import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

_DEATH = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: ([^.]*)|exited unexpectedly)"
)
# What PyTorch makes of an error in a worker: a traceback, then the error's name and message.
_CAUGHT = re.compile(r"Caught \w+ in .*\n[\w.]+Error: (.*)", re.DOTALL)
_CAUSES = {
    "Killed": "which is what the system does where memory runs out: use fewer of them (--workers 1, or 0: the main "
    "process decodes), or keep fewer decoded rows (--set data.cache_mb=0)",
    "Bus error": "which happens where shared memory runs out (/dev/shm): make it larger, or use --workers 0",
}
_LOOK = 1.0  # seconds from one look at the parent to the next
_ANY_CAUSE = "which a damaged file can do, or too little memory: use fewer of them (--workers 1)"


class DecodingMemoryError(MemoryError):
    """Memory ran out while a row was decoded. The message says what to do."""

    @classmethod
    def at(cls, place: str, reason: str) -> "DecodingMemoryError":
        """For a place in the table, or what was decoded there."""
        told = f" ({reason})" if reason else ""
        return cls(
            f"there is too little memory to decode {place}{told}: decode in fewer processes (--workers 1, or 0: the "
            "main process decodes), keep fewer decoded rows (--set data.cache_mb=0), or lower --cell-mb"
        )


@contextmanager
def worded_deaths(remedy: str = "") -> Iterator[None]:
    """Raises a `ChildProcessError` for a process that was killed while it decoded, which says by what and what to do;
    and such errors from within one without its traceback.

    Args:
        remedy: a sentence more.
    """
    try:
        yield
    except (MemoryError, ChildProcessError) as error:
        caught = _CAUGHT.match(str(error))
        if caught is None:
            raise
        raise type(error)(f"{caught[1].strip()} {remedy}".strip()) from None
    except RuntimeError as error:
        # PyTorch names the signal in the error that its last one came from.
        found = [match.groups() for one in (error.__cause__, error) if (match := _DEATH.search(str(one)))]
        if not found:
            raise
        pids, name = found[0]
        name = name or _signal_of(error, pids)
        number = next((f"signal {one.value}, " for one in signal.Signals if signal.strsignal(one) == name), "")
        ended = f"was killed ({number}{name})" if name else "ended"
        cause = _CAUSES.get(name or "", _ANY_CAUSE)
        raise ChildProcessError(
            f"a process that decodes rows (pid {pids}) {ended}, {cause}. {remedy}".strip()
        ) from error


def end_kept(loader: "DataLoader[Any]") -> None:
    """Ends processes that a loader keeps for its next iteration, which starts others.

    Those of a loader that the garbage collector finds may not hear of their end, since the pipes to them may go first;
    seconds are lost until they are told by a signal.
    """
    batches: Any = loader._iterator
    loader._iterator = None
    if batches is not None:
        batches._shutdown_workers()


def end_with_parent(parent: int, *, or_when_told: bool = False) -> None:
    """Have this process end when its parent is gone, whatever it waits for.

    Args:
        parent: its process number.
        or_when_told: end on SIGTERM too where the parent sends it; from others it is ignored. Where the system does
            not tell who sent a signal (macOS), nothing about SIGTERM changes.
    """
    if sys.platform == "win32":
        return
    or_when_told = or_when_told and hasattr(signal, "sigtimedwait")
    if or_when_told:  # blocked in all threads, so that one can wait for it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=_end_with, args=(parent, or_when_told), daemon=True).start()


def _end_with(parent: int, or_when_told: bool) -> None:
    while os.getppid() == parent:
        if not or_when_told:
            time.sleep(_LOOK)
        elif (sent := signal.sigtimedwait([signal.SIGTERM], _LOOK)) is not None and sent.si_pid == parent:
            os._exit(0)
    os._exit(1)


def _signal_of(error: BaseException, pids: str) -> str | None:
    """The signal that ended one of the processes, where PyTorch has found it dead before it heard of the signal.

    The exit codes are with the workers of the loader that raised the error.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for worker in getattr(frame.f_locals.get("self"), "_workers", ()):
            if str(worker.pid) in pids.split(", ") and (worker.exitcode or 0) < 0:
                return signal.strsignal(-worker.exitcode)
    return None
