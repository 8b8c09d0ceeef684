"""What a reader has to know to repeat an experiment: the command, versions, and the machine."""

import os
import platform
import shlex
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from perceiver_pytorch._memory import usable_cores
from perceiver_pytorch.experiments.cells import PACKAGE
from perceiver_pytorch.experiments.spec import Experiment

_LIBRARIES = ("torch", "lightning", "numpy", "numba", "sqlalchemy")


def facts_of(experiment: Experiment, arguments: Sequence[str], data: Path | None) -> dict[str, Any]:
    """JSON values that the store keeps and the report shows.

    Args:
        experiment: what is run.
        arguments: of the command, without ``perceiver``.
        data: the folder that paths of tables start at, or None.
    """
    return {
        "name": experiment.name,
        "text": experiment.text,
        "quick": experiment.quick,
        "data": None if data is None else str(data),
        "folder": os.getcwd(),
        "command": shlex.join(["perceiver", *arguments]),
        "versions": {
            "perceiver_pytorch": metadata.version(PACKAGE),
            "python": platform.python_version(),
            **_versions(),
        },
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """Processor, its cores that may be used, memory and system."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    except (AttributeError, ValueError, OSError):  # Windows
        return None
