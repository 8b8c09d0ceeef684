"""Freed memory is kept where glibc allocates, and nobody has said how it should."""

import os
import platform
import subprocess
import sys

import pytest

LOOK = """
import resource
from perceiver_pytorch.training.run.allocation import keep_freed_memory
print(keep_freed_memory())
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        bytearray(4 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def kept(**environment: str) -> tuple[bool, int]:
    """Whether memory is kept in a fresh process, and how many pages are asked for by 50 blocks of 4 MB."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_"))}
    command = [sys.executable, "-c", LOOK]
    done = subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=True)
    told, faults = done.stdout.split()
    return told == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again() -> None:
    is_kept, faults = kept()
    assert is_kept
    assert faults < 1000  # 50 x 1,024 where each block is fresh


def test_what_the_environment_says_stays() -> None:
    is_kept, _ = kept(MALLOC_MMAP_THRESHOLD_="131072")
    assert not is_kept
