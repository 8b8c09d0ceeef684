"""A folder of files that were fetched: bounded in size, each file whole, used by several processes at once."""

import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from perceiver_pytorch._files import write_whole
from perceiver_pytorch.data.remote.retries import number_from

CACHE_MB = "PERCEIVER_CACHE_MB"
"""How large the folder may become, in MB; 10,240 where nobody says."""
_OFTEN = 32  # the folder is looked through whenever this part of its limit was written
_OLD = 24 * 3600  # seconds after which what a process was writing is no longer waited for
_ODD = re.compile(r"[^\w.-]")
_NAME = 80  # signs of a file's name that are kept


def cache_folder() -> Path:
    """`$PERCEIVER_CACHE`, or a folder where the system has such ones: `~/.cache/perceiver_pytorch` on Linux."""
    if chosen := os.environ.get("PERCEIVER_CACHE"):
        return Path(chosen)
    if sys.platform == "win32" and (place := os.environ.get("LOCALAPPDATA")):
        return Path(place) / "perceiver_pytorch" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "perceiver_pytorch"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perceiver_pytorch"


class Cache:
    """Files by keys; those that were used last stay.

    Args:
        folder: where they are.
        limit: bytes that all of them may take.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._written = limit  # bytes since the folder was looked through: it has not been

    @classmethod
    def here(cls) -> "Cache":
        """The one that the environment names; the same for a process as long as it names that."""
        folder, limit = cache_folder() / "elsewhere", number_from(CACHE_MB, 10_240) << 20
        if (found := _CACHES.get((folder, limit))) is None:
            found = _CACHES[folder, limit] = cls(folder, limit)
        return found

    def file(self, key: str, name: str, size: int, write: Callable[[Path], None]) -> Path:
        """The file of a key.

        Args:
            key: says what it holds: a change of that is another key.
            name: its name ends with this, for whoever goes by suffixes.
            size: bytes that it will take, as far as is known.
            write: makes it, where it is not there.

        Raises:
            OSError: it cannot be written, or is larger than all files may be.
        """
        digest = blake2b(key.encode("utf-8", errors="surrogatepass"), digest_size=16).hexdigest()
        path = self.folder / digest[:2] / f"{digest}-{_ODD.sub('_', name)[-_NAME:]}"
        with suppress(OSError):  # it is not there, or somebody else's
            os.utime(path)
        if path.is_file():
            return path
        if size > self.limit:
            raise OSError(
                f"takes {_mb(size)} MB, and the folder of files from elsewhere may take {_mb(self.limit)} MB; "
                f"a larger {CACHE_MB} in the environment allows it"
            )
        _make_folders(path.parent)
        self._make_room(size)
        partial = path.with_name(f".{digest}.{os.getpid()}.{time.monotonic_ns()}.partial")

        def counted(partial: Path) -> None:
            write(partial)
            self._written += partial.stat().st_size

        write_whole(path, counted, partial=partial)  # of two processes that made it, the last one wins
        return path

    def _make_room(self, size: int) -> None:
        """Removes the files that were not used for the longest time, until there is room for `size` bytes more."""
        if self._written + size <= self.limit // _OFTEN:
            return
        self._written, found, total, now = 0, [], size, time.time()
        for path in self.folder.glob("*/*"):
            with suppress(OSError):
                state = path.stat()
                total += state.st_size
                if not path.name.endswith(".partial") or now - state.st_mtime > _OLD:
                    found.append((state.st_mtime_ns, state.st_size, path))
        for _, taken, path in sorted(found):
            if total <= self.limit - self.limit // _OFTEN:
                return
            with suppress(OSError):  # Windows removes no file that is being read
                path.unlink(missing_ok=True)
                total -= taken


def _make_folders(folder: Path) -> None:
    """Makes a folder, and those above it that are missing, for their owner alone.

    Others on this machine may not be allowed to read what the store holds.
    """
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)


_CACHES: dict[tuple[Path, int], Cache] = {}


def _mb(size: int) -> str:
    return f"{size / (1 << 20):,.0f}"
