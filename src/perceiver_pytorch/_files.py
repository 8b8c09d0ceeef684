"""Files: read if they are regular and of bounded size, and written so that they are whole or not there."""

import errno
import io
import json
import math
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Libraries that write by themselves (PyTorch, safetensors) have errors of their own, with the system's words in them.
_NO_ROOM_WORDS = ("no space left", "disk quota exceeded", "file too large", "enospc", "filewriter failed")

_FLAGS = ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NOINHERIT", "O_NONBLOCK")
_READ = sum(getattr(os, flag, 0) for flag in _FLAGS)  # not every system has all
_OTHERS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}

MAX_TEXT = 256 << 20
"""Bytes of a file of settings or JSON, at most."""


class FileRefusedError(OSError):
    """A file is not opened: it is no regular file, or too large. ``strerror`` is the reason without the path."""

    @classmethod
    def at(cls, path: "str | os.PathLike[str]", reason: str) -> "FileRefusedError":
        """For the file at ``path``."""
        error = cls(f"{os.fspath(path)}: {reason}")
        error.strerror = reason
        return error


def check_regular(path: "str | os.PathLike[str]", most: int | None = None) -> int:
    """The size of a file in bytes, for a library that opens it by itself.

    Args:
        path: leads to the file, also through links.
        most: bytes that it may have.

    Raises:
        FileRefusedError: if it is a folder, a pipe, a device or a socket, or larger than ``most``.
        OSError: if there is no such file, or it cannot be looked at.
    """
    return _checked_size(path, os.stat(path), most)


def open_regular(path: "str | os.PathLike[str]", most: int | None = None) -> io.BufferedReader:
    """Opens a file for reading bytes; it ends where it ended at this moment, as a growing file may have no end.

    A pipe would be waited for, and a device may have no end: both are refused. So is what takes the place of a file
    between the look at it and its opening.

    Args:
        path: leads to the file, also through links.
        most: bytes that it may have.

    Raises:
        FileRefusedError, OSError: as `check_regular` does.
    """
    check_regular(path, most)
    return io.BufferedReader(_AsOpened(path, most))


def read_regular(path: "str | os.PathLike[str]", most: int) -> bytes:
    """All bytes of a file that has no more than ``most`` of them; errors are those of `open_regular`."""
    with open_regular(path, most) as file:
        return file.read()


def read_text(path: "str | os.PathLike[str]", most: int = MAX_TEXT) -> str:
    """A file of UTF-8 text, with lines that end as Python's do; further errors are those of `open_regular`.

    Raises:
        UnicodeDecodeError: if it is something else.
    """
    return io.TextIOWrapper(io.BytesIO(read_regular(path, most)), encoding="utf-8").read()


class _AsOpened(io.FileIO):
    """A file up to the size that it had."""

    def __init__(self, path: "str | os.PathLike[str]", most: int | None) -> None:
        super().__init__(os.fspath(path), "rb", opener=lambda name, _: os.open(name, _READ))
        try:
            self._size = _checked_size(path, os.fstat(self.fileno()), most)
        except BaseException:
            self.close()
            raise

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        return super().readinto(view[: max(0, self._size - self.tell())]) or 0

    def readall(self) -> bytes:
        parts = []
        while part := super().read(max(0, self._size - self.tell())):
            parts.append(part)
        return b"".join(parts)

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self.tell())
        return self.readall() if size is None or size < 0 else super().read(min(size, left)) or b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return super().seek(self._size + offset) if whence == os.SEEK_END else super().seek(offset, whence)


def _checked_size(path: "str | os.PathLike[str]", found: os.stat_result, most: int | None) -> int:
    if stat.S_ISDIR(found.st_mode):
        raise FileRefusedError.at(path, "must be a file, is a folder")
    if not stat.S_ISREG(found.st_mode):
        what = _OTHERS.get(stat.S_IFMT(found.st_mode), "a device")
        raise FileRefusedError.at(path, f"must be a regular file, is {what}; save what it gives to a file first")
    if most is not None and found.st_size > most:
        raise FileRefusedError.at(path, f"must have at most {most:,} bytes, has {found.st_size:,}")
    return found.st_size


class DiskFullError(OSError):
    """A file could not be written for want of space; the message says which, and what is intact."""

    @classmethod
    def at(cls, path: Path) -> "DiskFullError":
        """For a file that was being written."""
        kept = "; what was there before is intact" if path.exists() else ""
        return cls(f"{path} cannot be written: the disk is full, or a limit on files is reached{kept}")


def write_whole(path: Path, write: Callable[[Path], None], *, partial: Path | None = None) -> None:
    """Calls ``write`` with a temporary path beside ``path``, then renames it; on an error nothing stays behind.

    ``partial`` is that path where several processes may write the same file; else `partial_path` names it.

    The file and its folder are flushed to the disk, so that after a crash there is the old file or the new one.

    Raises:
        FileNotFoundError: if the folder is not there.
        DiskFullError: if there is no space; the file that was there before is intact.
    """
    if not path.parent.is_dir():  # it may have been removed on purpose, so it is not made again
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    partial = partial_path(path) if partial is None else partial
    try:
        write(partial)
        _flush(partial)
        os.replace(partial, path)
        _flush(path.parent)
    except Exception as error:
        if is_disk_full(error):
            raise DiskFullError.at(path) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def copy_whole(source: Path, path: Path) -> None:
    """Makes ``path`` a copy of ``source``: another name of the same bytes where the file system has such."""

    def link(partial: Path) -> None:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)

    write_whole(path, link)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8."""
    write_whole(path, lambda partial: _write(partial, text))


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON.

    Raises:
        ValueError: for a number that is not finite, which JSON does not have; the message says where it is.
    """
    if place := _not_finite(value):
        raise ValueError(f"{path} cannot be written: {place}, and JSON has finite numbers only")
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def partial_path(path: Path) -> Path:
    """Where a file is written before it has its name."""
    return path.with_name(f".{path.name}.partial")


def remove_partials(*folders: Path) -> None:
    """Removes what a killed process was writing in these folders (not below them)."""
    for folder in folders:
        for path in folder.glob(".*.partial"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, tells of missing space."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
            return True
        if any(words in str(error).lower() for words in _NO_ROOM_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _not_finite(value: Any, place: str = "") -> str | None:
    """Where a tree of JSON values has a number that is not finite, and which; None: nowhere."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place or 'the value'} is {value}"
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    found = (_not_finite(inner, f"{place}.{key}".lstrip(".")) for key, inner in items)
    return next((where for where in found if where), None)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")  # the same bytes on every system


def _flush(path: Path) -> None:
    """Has the system write a file, or a folder's list of names, to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # not every file system knows it
            raise
    finally:
        os.close(descriptor)
