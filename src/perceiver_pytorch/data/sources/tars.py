"""Tar files as shards, as WebDataset lays them out: members of one name up to the first dot are one row."""

import contextlib
import io
import json
import re
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from perceiver_pytorch._files import FileRefusedError, open_regular
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.remote.addresses import Root
from perceiver_pytorch.data.remote.files import local
from perceiver_pytorch.data.sources.base import Place, ReadOptions, Source
from perceiver_pytorch.data.sources.sharded import ShardedTable

_TEXT = frozenset({"txt", "text", "caption", "cls", "label", "transcript"})
_UNPICKLED = frozenset({"pyd", "pickle", "pkl", "pt", "pth"})  # code, not data
_LOOKED_AT = 64  # rows of a shard whose JSON members are looked at for columns
_MAX_JSON = 16 << 20
_MAX_HEADER = 1 << 20  # bytes of what stands before a member, such as its name and times

PACKED = re.compile(r"\.(tgz|tar\.(gz|bz2|xz|zst|lz4))$", re.IGNORECASE)
"""Names of compressed tar files."""
UNPACK = "compressed tar files cannot be read by position; unpack them, with gunzip for .tar.gz, into .tar files"


class TarFiles(Source):
    """A tar file, several, or a folder of them."""

    suffixes = (".tar",)

    def claims(self, place: Place) -> bool:
        return PACKED.search(place.name) is not None or bool(place.files(".tar"))

    def load(self, place: Place, options: ReadOptions) -> ShardedTable:
        if PACKED.search(place.name):
            raise DataError(f"{place.name}: {UNPACK}")
        return tar_table(place.name, place.root, place.files(".tar"), options.hosts)


class TarShard:
    """One tar file: where its members lie is noted once, and a row's members are read when it is asked for.

    Columns are the members' extensions, and the fields of `.json` members.

    Args:
        path: where it lies.
        hosts: of the web that may be asked for it.

    Raises:
        DataError: it is no tar file, or compressed, or cut off.
    """

    def __init__(self, path: Root, hosts: tuple[str, ...] = ()) -> None:
        self.path = self.called = path
        self._hosts = hosts
        self.extensions: list[str] = []
        self.skipped = 0
        starts, kinds, offsets, sizes = array("q", [0]), array("i"), array("q"), array("q")
        numbers: dict[str, int] = {}
        key = None
        for name, offset, size in _members(local(path, hosts)):
            stem, extension = _parted(name)
            if extension in _UNPICKLED:
                self.skipped += 1
                continue
            if stem != key:
                if key is not None:
                    starts.append(len(kinds))
                key = stem
            kinds.append(numbers.setdefault(extension, len(numbers)))
            offsets.append(offset)
            sizes.append(size)
        if len(kinds):
            starts.append(len(kinds))
        self.extensions = list(numbers)
        self._starts, self._kinds, self._offsets, self._sizes = (
            np.array(values) for values in (starts, kinds, offsets, sizes)
        )
        self.num_rows = len(starts) - 1
        self.nbytes = int(self._sizes.sum())
        self.column_names = self._columns()

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> list[dict[str, Any]]:
        wanted = set(columns)
        fields = bool(wanted - set(self.extensions)) and "json" in self.extensions
        members = wanted | ({"json"} if fields else set())
        with self._opened() as file:
            found = [self._members_of(file, int(row), members) for row in rows]
        return [{name: row.get(name) for name in columns} for row in found]

    def place(self, row: int) -> str:
        return f"{self.called.name}, its sample {row}"

    def _columns(self) -> tuple[str, ...]:
        names = dict.fromkeys(extension for extension in self.extensions if extension != "json")
        if "json" in self.extensions:
            with self._opened() as file:
                for row in range(min(self.num_rows, _LOOKED_AT)):
                    with contextlib.suppress(DataError):  # told when the row is asked for
                        names |= dict.fromkeys(self._members_of(file, row, {"json"}))
        return tuple(names)

    def _opened(self) -> BinaryIO:
        try:
            return open_regular(local(self.path, self._hosts))
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror})") from error

    def _members_of(self, file: BinaryIO, row: int, wanted: set[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for i in range(self._starts[row], self._starts[row + 1]):
            extension = self.extensions[self._kinds[i]]
            if extension in wanted:
                value = self._value(file, i, extension, row)
                if extension == "json":
                    found = {**value, **found}
                else:
                    found[extension] = value
        return found

    def _value(self, file: BinaryIO, member: int, extension: str, row: int) -> Any:
        offset, size = int(self._offsets[member]), int(self._sizes[member])
        file.seek(offset)
        data = file.read(size)
        place = f"{self.place(row)}, its .{extension} member"
        if len(data) < size:
            raise DataError(f"{place}: the file ends within it")
        if extension == "json":
            return _fields(data, place)
        if extension in _TEXT:
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{place}: is not UTF-8 text ({error.reason})") from error
            return text.strip() if extension in ("cls", "label") else text
        return data


def tar_table(source: str, root: Root, paths: Sequence[Root], hosts: tuple[str, ...] = ()) -> ShardedTable:
    """The rows of tar files, one after the other.

    Raises:
        DataError: one is no tar file, or they have no rows.
    """
    shards = [TarShard(path, hosts) for path in paths]
    skipped = sum(shard.skipped for shard in shards)
    note = f"{skipped} members are pickled Python objects, which are never read: they could run code"
    return ShardedTable(source, root, shards, [note] if skipped else [], hosts=hosts)


def _members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, position and size of every file in a tar file."""
    try:
        with _Headers.of(path) as headers, tarfile.open(fileobj=headers, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # else tarfile keeps a kilobyte for each
                if not member.isfile() or Path(member.name).name.startswith("."):
                    continue
                if member.issparse():
                    raise DataError(f"{path}: its member {member.name!r} is sparse; write it with tar without --sparse")
                if member.offset_data + member.size > headers.size:
                    raise DataError(f"{path}: is cut off within its member {member.name!r}")
                yield member.name, member.offset_data, member.size
    except (DataError, MemoryError):
        raise
    except FileRefusedError as error:
        raise DataError(str(error)) from None
    except Exception as error:  # tarfile lets through what numbers and names of a damaged header lead to
        reason = error if isinstance(error, tarfile.TarError | EOFError | OSError) else "a header is damaged"
        hint = "; compressed shards cannot be read by position: unpack them with gunzip" if _is_zipped(path) else ""
        raise DataError(f"{path}: cannot be read as tar ({reason}){hint}") from error


class _Headers(io.BufferedReader):
    """A tar file, of which headers are read and no more: one that claims to be larger is damaged."""

    size: int

    @classmethod
    def of(cls, path: Path) -> "_Headers":
        headers = cls(open_regular(path).detach())
        headers.size = headers.seek(0, io.SEEK_END)
        headers.seek(0)
        return headers

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header claims to be {size:,} bytes long")
        return super().read(size)


def _is_zipped(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError:
        return False


def _parted(name: str) -> tuple[str, str]:
    """The part of a member's path up to the first dot of its file name, and the extension in lower case."""
    folder, slash, file = name.rpartition("/")
    stem, _, extension = file.partition(".")
    return folder + slash + stem, extension.lower() or "file"


def _fields(data: bytes, place: str) -> dict[str, Any]:
    if len(data) > _MAX_JSON:
        raise DataError(f"{place}: must have at most {_MAX_JSON:,} bytes, has {len(data):,}")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: is no JSON ({error})") from error
    if not isinstance(fields, dict):
        raise DataError(f"{place}: must be an object of fields")
    return fields
