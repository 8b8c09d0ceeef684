"""The memory that this process uses, and the most that it has used since it was asked to look."""

import ctypes
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESTART = "5"  # Linux: the peak starts anew at what is in use


class PeakMemory:
    """Of an accelerator where there is one, else of the process; on systems but Linux the latter is not known."""

    def __init__(self) -> None:
        self._start: int | None = None

    def used(self) -> int | None:
        """Bytes in use; None where that cannot be asked."""
        if (cuda := _cuda()) is not None:
            return int(cuda.memory_allocated())
        return _status("VmRSS")

    def restart(self) -> None:
        """Looks for the peak from here on. What the allocator holds without use is given back before."""
        cuda = _cuda()
        if cuda is None:
            _trim()
        self._start = self.used()
        if cuda is not None:
            cuda.reset_peak_memory_stats()
        elif self._start is not None:
            try:
                _CLEAR.write_text(_RESTART, encoding="ascii")
            except OSError:  # some containers do not allow it
                self._start = None

    def raised(self) -> int | None:
        """Bytes by which the peak since `restart` lies above what was in use then."""
        if self._start is None:
            return None
        peak = int(cuda.max_memory_allocated()) if (cuda := _cuda()) is not None else _status("VmHWM")
        return None if peak is None else max(0, peak - self._start)


def _cuda():  # type: ignore[no-untyped-def]
    import torch

    return torch.cuda if torch.cuda.is_available() else None


def _trim() -> None:
    """Gives free memory back to the system, where the C library can: else it looks as if it were in use."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(name: str) -> int | None:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(f"{name}:")), None)
    return None if found is None else int(found.split()[1]) << 10
