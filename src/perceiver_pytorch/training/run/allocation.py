"""Memory that a step gives back is kept for the next one, instead of being asked of the system anew.

glibc maps each block of more than 128 KB by itself, and gives it back at once. So the arrays of a step would be fresh
memory each time, which the system fills with zeros page by page: of a small model's step that takes a tenth.
"""

import ctypes
import os
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_MIB = 1 << 20
_VALUES = {_MMAP_THRESHOLD: 32 * _MIB, _TRIM_THRESHOLD: 256 * _MIB}
"""Larger blocks are mapped as before (some versions refuse more); so much free memory is kept at a heap's end."""


@cache
def keep_freed_memory() -> bool:
    """Lets this process keep freed memory from now on; whether it does.

    A few hundred megabytes, or as much of small arrays as a process ever had where a newer one stands behind them.

    Of glibc alone, and not where the environment says by itself how it should allocate.
    """
    asked = any(name.startswith("MALLOC_") or name in ("GLIBC_TUNABLES", "LD_PRELOAD") for name in os.environ)
    if not sys.platform.startswith("linux") or asked:
        return False
    try:
        library = ctypes.CDLL(None)
        if not hasattr(library, "gnu_get_libc_version"):  # others have a mallopt that does nothing
            return False
        return all(library.mallopt(name, value) == 1 for name, value in _VALUES.items())
    except (AttributeError, OSError):
        return False
