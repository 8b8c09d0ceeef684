"""Processes that decode rows, and are killed."""

import re
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

_DEATH = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: ([^.]*)|exited unexpectedly)"
)
_CAUSES = {
    "Killed": "which is what the system does where memory runs out: use fewer of them (--workers 1, or 0: the main "
    "process decodes), or keep fewer decoded rows (--set data.cache_mb=0)",
    "Bus error": "which happens where shared memory runs out (/dev/shm): make it larger, or use --workers 0",
}
_ANY_CAUSE = "which a damaged file can do, or too little memory: use fewer of them (--workers 1)"


@contextmanager
def worded_deaths(remedy: str = "") -> Iterator[None]:
    """Raises a `ChildProcessError` for a process that was killed while it decoded, which says by what and what to do.

    Args:
        remedy: a sentence more.
    """
    try:
        yield
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


def _signal_of(error: BaseException, pids: str) -> str | None:
    """The signal that ended one of the processes, where PyTorch has found it dead before it heard of the signal.

    The exit codes are with the workers of the loader that raised the error.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for worker in getattr(frame.f_locals.get("self"), "_workers", ()):
            if str(worker.pid) in pids.split(", ") and (worker.exitcode or 0) < 0:
                return signal.strsignal(-worker.exitcode)
    return None
