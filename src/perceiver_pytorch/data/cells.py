"""Find the bytes behind an image or sound cell, and where a cell stands."""

import errno
import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from perceiver_pytorch._files import check_regular
from perceiver_pytorch.data.cell_memory import CELL_BYTES
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.inline_files import inline_file, inline_media
from perceiver_pytorch.data.remote.addresses import Root
from perceiver_pytorch.data.sniff import without_query
from perceiver_pytorch.data.values import is_missing

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # other cells would fail as well
_LONG = 4096  # characters
T = TypeVar("T")
UPLOADS_ONLY = "must be the file itself (an upload, base64 or a data URI); paths and addresses are not read"


@dataclass(frozen=True)
class Where:
    """The row a cell belongs to.

    Attributes:
        source: the table's path or name, for messages.
        root: the folder that relative paths in cells start at.
        row: the row number, from 0.
        allow_outside: let a path in a cell lead out of `root` (absolute, `..`, or through a link), or an address.
        hosts: of the web, whose files a cell may lead to.
        cell_bytes: memory that decoding the cell may take.
        uploads_only: no file is opened: a cell holds its file, or is refused.
    """

    source: str
    root: Root
    row: int
    allow_outside: bool = False
    cell_bytes: int = CELL_BYTES
    uploads_only: bool = False
    hosts: tuple[str, ...] = ()

    def error(self, column: str, reason: str, cell: Any = None) -> DataError:
        """A `DataError` that says the table, the row, the column and the reason, and the file that a cell leads to."""
        if (file := file_named(cell)) is not None:
            reason = f"{reason}, file {file[:200]!r}"
        message = f"{self.source}: row {self.row}, column {column!r}: {reason}"
        return DataError(message, row=self.row, column=column, reason=reason)


def file_named(cell: Any) -> str | None:
    """The path or address in a cell; None where it holds its file, or something else."""
    if isinstance(cell, Mapping):
        cell = cell.get("path") if is_missing(cell.get("bytes")) else None
    return cell if isinstance(cell, str) and inline_media(cell) is None else None


def media_cell(value: Any) -> bytes | str | None:
    """A cell that may hold a file as its bytes, as its path, or None where it is missing.

    Args:
        value: bytes, a path, base64, a data URI, or a mapping with `bytes` and `path`, as Hugging Face data sets store
            files (bytes win).

    Raises:
        TypeError: it is none of these. The message says so without the place.
        ValueError: it is base64 that is damaged.
    """
    if isinstance(value, Mapping) and ("bytes" in value or "path" in value):
        data, path = value.get("bytes"), value.get("path")
        value = path if is_missing(data) else data
    if is_missing(value):
        return None
    if isinstance(value, str):
        data = inline_file(value)
        return value if data is None else data
    if isinstance(value, bytes):
        return value
    raise TypeError(f"must be a file (bytes, a path, or bytes and path), got a value of type {type(value).__name__}")


def cell_key(value: Any) -> Hashable:
    """A small key that is equal for equal image, sound or text cells: a digest of bytes and long texts, or the text."""
    if isinstance(value, Mapping):
        data = value.get("bytes")
        value = value.get("path") if is_missing(data) else data
    if isinstance(value, str) and len(value) > _LONG:
        value = value.encode("utf-8", errors="surrogatepass")
    if isinstance(value, bytes):
        return blake2b(value, digest_size=16).digest()
    return value if isinstance(value, Hashable) else repr(value)


def media_source(value: Any, column: str, where: Where) -> bytes | Path | None:
    """The bytes of an image or sound cell, or the file that holds them; None where the cell is missing.

    Raises:
        DataError: there is no such file, it is none that can be read, or it lies outside `where.root`; or the cell
            cannot hold a file.
        RemoteError: the place where it lies cannot be reached, or refuses whoever asks.
    """
    try:
        cell = media_cell(value)
    except (TypeError, ValueError) as error:
        raise where.error(column, str(error)) from error
    if not isinstance(cell, str):
        return cell
    if where.uploads_only:
        raise where.error(column, UPLOADS_ONLY)
    if not isinstance(where.root, Path) or "://" in cell:
        from perceiver_pytorch.data.remote import cells as remote

        if remote.is_elsewhere(cell, where.root):
            return _from_elsewhere(remote.cell_bytes, cell, column, where)
    path = _resolve(cell, column, where)
    try:
        check_regular(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise where.error(column, f"there is no file {cell!r}, looked for at {path}") from error
    except (OSError, ValueError) as error:
        if not of_the_cell(error):
            raise
        raise where.error(column, f"the file cannot be read ({reason_of(error)})", cell) from error
    return path


def table_source(name: str, column: str, where: Where) -> Path | None:
    """The file of a table that a column's cells are read from, as a file here; arguments and errors as above."""
    if isinstance(where.root, Path) and "://" not in name:
        found = media_source(name, column, where)
        return found if isinstance(found, Path) else None
    from perceiver_pytorch.data.remote.cells import cell_file

    return _from_elsewhere(cell_file, name, column, where)


def of_the_cell(error: Exception) -> bool:
    """Whether an error says something about the file that a cell leads to, and not about the computer or a network."""
    if isinstance(error, ChildProcessError) or not getattr(error, "of_the_file", True):
        return False
    return getattr(error, "errno", None) not in _EXHAUSTED


def reason_of(error: Exception) -> str:
    """What went wrong with a file, without its path."""
    return getattr(error, "strerror", None) or str(error)


def file_path(root: Path, cell: str) -> Path:
    """Where the file of a cell lies. Where there is none of that name, a path is understood as Windows writes it, and
    without a query (``pic.jpg?w=200``)."""
    plain = cell.replace("\\", "/")
    others = [name for name in (plain, without_query(cell), without_query(plain)) if name not in (cell, "")]
    if not others or os.path.lexists(root / cell):
        return root / cell
    return next((root / name for name in others if os.path.lexists(root / name)), root / plain)


def _from_elsewhere(get: Callable[..., T], cell: str, column: str, where: Where) -> T:
    """What ``get`` makes of the address of a cell."""
    from perceiver_pytorch.data.remote.cells import address_of
    from perceiver_pytorch.data.remote.errors import RemoteError

    try:
        address = address_of(cell, where.root, allow_outside=where.allow_outside)
        return get(address, where.hosts, where.cell_bytes)
    except (OSError, ValueError) as error:
        if not of_the_cell(error):
            raise
        raise where.error(
            column, *([error.reason, cell] if isinstance(error, RemoteError) else [str(error)])
        ) from error


def _resolve(cell: str, column: str, where: Where) -> Path:
    assert isinstance(where.root, Path)
    path = file_path(where.root, cell)
    if where.allow_outside:
        return path
    try:
        # resolve() follows links, so a link that leads out of the folder is caught as well as ".." and "/...".
        inside = path.resolve().is_relative_to(where.root.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        if not of_the_cell(error):
            raise
        raise where.error(column, f"{cell[:200]!r} is not a usable path ({error})") from error
    if not inside:
        raise where.error(
            column,
            f"the path {cell!r} leads out of the table's folder {where.root}; "
            "put the file inside, or allow paths outside",
        )
    return path
