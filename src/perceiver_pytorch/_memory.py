"""How much of the machine this process may take: memory, and cores."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_UNKNOWN = 4 << 30  # where the system does not say, as Windows
_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def free_memory() -> int:
    """Bytes: of what the machine has free, the limits of its containers leave, and ``ulimit -v`` leaves, the least."""
    return max(0, min([*_machine(), *_containers(), *_address_space()], default=_UNKNOWN))


def usable_cores() -> int:
    """Those that this process may run on, but no more than the limits of its containers are worth."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    return max(1, min([cores, *_quotas()]))


def _quotas() -> Iterator[int]:
    """What control groups allow, in whole cores, rounded up."""
    for folder in _control_groups("cpu"):
        whole = _text(folder / "cpu.max").split()
        parts = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        for quota in (whole, parts):
            if len(quota) == 2 and all(number.isdecimal() for number in quota):  # "max" and -1 are no limits
                yield math.ceil(int(quota[0]) / max(1, int(quota[1])))


def _machine() -> Iterator[int]:
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) << 10
            return
    try:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return


def _containers() -> Iterator[int]:
    """What control groups leave: the one of this process, and those that it lies in."""
    for folder in _control_groups("memory"):
        for limit, used in _LIMITS:
            numbers = [_text(folder / file).strip() for file in (limit, used)]
            if all(number.isdecimal() for number in numbers):  # "max" is no limit
                yield int(numbers[0]) - int(numbers[1])


def _control_groups(kind: str) -> Iterator[Path]:
    """Folders of the control group of this process, and of those that it lies in: of all kinds, and of one."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, kinds, name = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        own = _CGROUP / kinds / name.lstrip("/")
        for folder in (own, *own.parents):
            if not folder.is_relative_to(_CGROUP):
                break
            yield folder


def _address_space() -> Iterator[int]:
    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _text(Path("/proc/self/statm")).split()
    if limit != resource.RLIM_INFINITY:
        yield limit - (int(pages[0]) * resource.getpagesize() if pages else 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
