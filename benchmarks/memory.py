"""Resident memory of processes, in bytes."""

import os
import re
import sys
from pathlib import Path


def resident(pid: int | str = "self") -> int:
    """Resident now; 0 where the system does not tell, or the process is gone."""
    return _status(pid, "VmRSS")


def resident_with_children(pid: int) -> int:
    """Resident of a process and of those that it started, such as what decodes pictures."""
    found = resident(pid)
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:  # the thread has ended
            continue
        found += sum(resident_with_children(int(child)) for child in children)
    return found


def peak() -> int:
    """Most that this process has had resident: interpreter, libraries, model and inputs included."""
    if found := _status("self", "VmHWM"):
        return found
    import resource

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


def available() -> int:
    """Main memory that is free for use; where the system does not tell, all of it."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _status(pid: int | str, key: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"{key}:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0
