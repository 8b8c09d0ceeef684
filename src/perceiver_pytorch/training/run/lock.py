"""One process at a time writes into a run folder."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_held: dict[Path, IO[str]] = {}
"""Locks of this process: the system does not keep a process out of its own locks."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file at ``path`` within the block.

    The lock is the system's (POSIX record lock), so it ends with the process however that ends, a file left behind
    does not block, and forked workers do not inherit it. Without such locks (Windows) there is none.

    Raises:
        ValueError: if another process holds it, naming the process.
    """
    path = path.absolute()
    if path in _held:
        raise ValueError(f"{path.parent} is already being trained in this process")
    file = _acquire(path)
    _held[path] = file
    try:
        yield
    finally:
        ours = is_held(path)  # else the file is another process's, which began anew where ours was removed
        if fcntl is None:  # Windows removes no open file
            file.close()
        if ours:
            path.unlink()
        del _held[path]
        file.close()


def is_held(path: Path) -> bool:
    """Whether this process holds the lock file that is at ``path`` now."""
    file = _held.get(path.absolute())
    return file is not None and _is_at(path, file)


def is_locked(path: Path) -> bool:
    """Whether any process holds the lock file at ``path``; nothing is changed. Without such locks (Windows) none."""
    if path.absolute() in _held:  # to open and close the file would let go of this process's own lock
        return True
    if fcntl is None:
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _is_at(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _acquire(path: Path) -> IO[str]:
    while True:
        file = path.open("a+", encoding="utf-8", errors="replace")
        if fcntl is not None:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                holder = _named(file.read())
                file.close()
                raise ValueError(
                    f"{path.parent} is being trained by {holder}; wait for it or stop it, or give another --run"
                ) from None
            # Whoever had the lock before may have removed the file after we opened it.
            if not _is_at(path, file):
                file.close()
                continue
        file.truncate(0)
        json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
        file.flush()
        return file


def _named(content: str) -> str:
    try:
        holder = json.loads(content)
        return f"process {int(holder['pid'])} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
