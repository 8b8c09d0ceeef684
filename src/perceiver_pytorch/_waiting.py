"""Whether calls wait until what they need is compiled, or go another way meanwhile."""

import contextlib
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_blocks = [0]


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Within the block, in all threads, a call waits until its loops are compiled: what comes of it does not depend on
    how fast that goes.
    """
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def must_wait() -> bool:
    """Whether any thread is within `waiting`."""
    return _blocks[0] > 0


def _count(more: int) -> None:
    with _lock:
        _blocks[0] += more
