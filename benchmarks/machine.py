"""What a measurement ran on."""

import os
import platform
import re
import subprocess
from pathlib import Path

import torch

from benchmarks.peers import ROOT


def describe(threads: int) -> dict[str, str]:
    """Processor, memory and versions; no names of machines or folders."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": str(num_cores()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "memory": f"{memory / 1e9:.0f} GB",
        "threads": str(threads),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
    }


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or "unknown"


def _commit() -> str:
    """The commit of this repository, and whether files differ from it."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
