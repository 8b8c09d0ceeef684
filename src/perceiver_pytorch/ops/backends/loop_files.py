"""Where compiled loops stay between processes: a file each, in the first folder that takes it.

A file begins with the digest of what follows, and is renamed into place when it is whole. So two processes may compile
the same loop at once, and what was damaged is compiled anew. Nothing here needs Numba, whose import takes a quarter of
a second.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

ENDING = ".loop"
_DIGEST = hashlib.sha256().digest_size


def folders() -> Iterator[Path]:
    """Where loops are looked for, the first choice first: other than the last they may lie where nobody can write.

    That is Numba's own setting, else the package, the user's cache, and a folder for temporary files.
    """
    own = _of_numba()
    places = (_of_package(), _of_user(), _temporary()) if own is None else (own,)
    yield from (folder for folder in places if folder is not None)


def _of_numba() -> Path | None:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return Path(chosen) / "perceiver_pytorch" if chosen else None


def _of_package() -> Path:
    return Path(__file__).parent / "__pycache__"


def _of_user() -> Path | None:
    cache = os.environ.get("PERCEIVER_CACHE")
    with contextlib.suppress(RuntimeError):  # there is no home
        return (Path(cache) if cache else Path.home() / ".cache" / "perceiver_pytorch") / "loops"
    return None


def _temporary() -> Path | None:
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""  # on Windows temporary files have a folder per user
    with contextlib.suppress(OSError):  # there is no such folder
        return Path(tempfile.gettempdir()) / f"perceiver-loops{user}"
    return None


def _is_safe(folder: Path) -> bool:
    """Whether nobody but this user and the administrator can have put a file there: it would be run.

    The package is trusted as its code is, and Numba's folder as somebody chose it.
    """
    if folder in (_of_numba(), _of_package()) or not hasattr(os, "getuid"):
        return True
    with contextlib.suppress(OSError):
        found = os.lstat(folder)
        mine = found.st_uid in (os.getuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return mine and stat.S_ISDIR(found.st_mode)
    return False


def place() -> Path | None:
    """The first folder that has any loop, of whatever version."""
    for folder in filter(_is_safe, folders()):
        with contextlib.suppress(OSError):  # it may not be entered
            if next(folder.glob(f"*{ENDING}"), None) is not None:
                return folder
    return None


def read(name: str) -> bytes | None:
    """What was kept under a name; None if that is nothing, or damaged."""
    for folder in filter(_is_safe, folders()):
        with contextlib.suppress(OSError):
            content = (folder / (name + ENDING)).read_bytes()
            if hashlib.sha256(content[_DIGEST:]).digest() == content[:_DIGEST]:
                return content[_DIGEST:]
    return None


def write(name: str, content: bytes) -> Path | None:
    """Keeps something under a name, and gives the file; None if no folder takes it."""
    for folder in folders():
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            if not _is_safe(folder):
                continue
            return _write(folder / (name + ENDING), hashlib.sha256(content).digest() + content)
    return None


def _write(path: Path, content: bytes) -> Path:
    number, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # of this process alone
    try:
        with open(number, "wb") as file:
            file.write(content)
        os.chmod(partial, 0o644)  # the administrator may compile for all
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    return path
