"""Files that are whole or not there, also when the process is killed or the disk is full."""

import errno
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Libraries that write by themselves (PyTorch, safetensors) have errors of their own, with the system's words in them.
_NO_ROOM_WORDS = ("no space left", "disk quota exceeded", "file too large", "enospc", "filewriter failed")


class DiskFullError(OSError):
    """A file could not be written for want of space; the message says which, and what is intact."""

    @classmethod
    def at(cls, path: Path) -> "DiskFullError":
        """For a file that was being written."""
        kept = "; what was there before is intact" if path.exists() else ""
        return cls(f"{path} cannot be written: the disk is full, or a limit on files is reached{kept}")


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Calls ``write`` with a temporary path beside ``path``, then renames it; on an error nothing stays behind.

    The file and its folder are flushed to the disk, so that after a crash there is the old file or the new one.

    Raises:
        FileNotFoundError: if the folder is not there.
        DiskFullError: if there is no space; the file that was there before is intact.
    """
    if not path.parent.is_dir():  # it may have been removed on purpose, so it is not made again
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    partial = partial_path(path)
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
    path.write_text(text, encoding="utf-8")


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
