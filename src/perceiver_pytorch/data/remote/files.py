"""Files elsewhere, as files here: fetched once, kept in the cache, and fetched again when they have changed."""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from perceiver_pytorch._files import open_regular
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.remote import web
from perceiver_pytorch.data.remote.addresses import Address, Root
from perceiver_pytorch.data.remote.cache import Cache
from perceiver_pytorch.data.remote.errors import RemoteError
from perceiver_pytorch.data.remote.retries import retried
from perceiver_pytorch.data.remote.stores import State, state_of, store_of

_PART = 8 << 20  # bytes that travel together
_NO_LIMIT = 1 << 62
_STATES: dict[tuple[int, Address, frozenset[str]], State] = {}  # of files that a process asks for once

Check = Callable[[int], None]
"""Raises an error if a file of so many bytes is too large."""


def fetched(
    address: Address,
    hosts: Collection[str] = (),
    check: Check | None = None,
    most: int = _NO_LIMIT,
    *,
    once: bool = False,
) -> Path:
    """The file here that holds what an address leads to now.

    Args:
        address: of a store, or of the web.
        hosts: of the web that may be asked.
        check: called with the size before anything is fetched, where it is known then.
        most: bytes that it may have, where it is not.
        once: ask only once in a process whether it has changed.

    Raises:
        RemoteError: there is no such file, it may not be read or cannot be reached, or it is too large.
    """
    asked = (os.getpid(), address, frozenset(hosts) if address.is_web else frozenset())  # hosts: also of redirects
    state = _STATES.get(asked) if once else None
    if address.is_web:
        held = None if state is None else _held(address, state)
        if held is None:
            held, _STATES[asked] = retried(address, lambda: _from_web(address, hosts, check, most))
        elif check is not None and state is not None:
            check(max(0, state.size))
        return held
    if state is None:
        state = state_of(address)
        if once:
            _STATES[asked] = state
    if check is not None:
        check(state.size)
    size = state.size

    def write(partial: Path) -> None:
        with partial.open("wb") as target:  # what goes wrong with it is none of the store
            retried(address, lambda: _copy(address, target, size))

    return _kept(address, state, write)


def read(address: Address, hosts: Collection[str], check: Check, most: int) -> bytes:
    """All bytes of a file; arguments and errors are those of `fetched`."""
    for _ in range(3):
        path = fetched(address, hosts, check, most, once=True)
        try:
            with open_regular(path, most) as file:
                return file.read()
        except FileNotFoundError:  # another process needed the room
            continue
    raise RemoteError.at(address, "is removed from the cache as soon as it is there; give that more room")


def local(path: Root, hosts: Collection[str] = ()) -> Path:
    """A file of a table as a file here; one that lies here is that.

    Args:
        hosts: of the web that may be asked.
    """
    return path if isinstance(path, Path) else fetched(path, hosts, once=True)


def opened(path: Root) -> Any:
    """What Arrow opens to read parts of a file: its path, or a file of a store that is read at any place."""
    return path if isinstance(path, Path) else retried(path, lambda: store_of(path).open(path.path))


def size_and_ends(address: Address, count: int) -> tuple[int, bytes]:
    """The size of a file, and its first and last bytes."""

    def ends() -> tuple[int, bytes]:
        with store_of(address).open(address.path) as file:
            start, size = file.read(count), file.seek(0, os.SEEK_END)
            file.seek(max(0, size - count))
            return size, start + file.read(count)

    return retried(address, ends)


def columns(address: Address, version: str, group: int, names: Sequence[str], fetch: Callable[[list[str]], Any]) -> Any:
    """Columns of a row group of a Parquet file as a `pyarrow.Table`; each is fetched once and kept in the cache.

    Args:
        version: of the file.
        group, names: which ones.
        fetch: reads those that are not there, as a table.
    """
    arrow = need("pyarrow", "read tables")
    key = f"{address}\0{version}\0{group}\0"
    found = {name: part for name in names if (part := _read_part(f"{key}{name}")) is not None}
    missing = [name for name in names if name not in found]
    if missing:
        rows = fetch(missing)
        for name in missing:
            found[name] = rows.select([name])
            _write_part(f"{key}{name}", found[name])
    if not names:
        return fetch([])
    return arrow.Table.from_arrays([found[name].column(0) for name in names], names=list(names))


def _read_part(key: str) -> Any:
    arrow = need("pyarrow", "read tables")
    try:
        path = Cache.here().file(key, "part.arrow", 0, _absent)
        with open_regular(path) as file:
            return arrow.ipc.open_file(arrow.py_buffer(file.read())).read_all()
    except (FileNotFoundError, arrow.ArrowInvalid):
        return None


def _write_part(key: str, rows: Any) -> None:
    arrow = need("pyarrow", "read tables")

    def write(partial: Path) -> None:
        options = arrow.ipc.IpcWriteOptions(compression="lz4")
        with arrow.OSFile(str(partial), "wb") as file, arrow.ipc.new_file(file, rows.schema, options=options) as out:
            out.write_table(rows)

    if rows.nbytes <= Cache.here().limit:
        Cache.here().file(key, "part.arrow", rows.nbytes, write)


def _absent(partial: Path) -> None:
    raise FileNotFoundError(partial)


def _held(address: Address, state: State) -> Path | None:
    """The file in the cache, if it is there."""
    try:
        return _kept(address, state, _absent)
    except RemoteError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def _from_web(address: Address, hosts: Collection[str], check: Check | None, most: int) -> tuple[Path, State]:
    with web.asked(address, hosts) as reply:
        if check is not None:
            check(max(0, reply.state.size))

        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                reply.copy_to(file, address, min(most, Cache.here().limit))

        return _kept(address, reply.state, write), reply.state


def _kept(address: Address, state: State, write: Callable[[Path], None]) -> Path:
    try:
        return Cache.here().file(f"{address}\0{state.version}", address.name, max(0, state.size), write)
    except RemoteError:
        raise
    except OSError as error:
        raise RemoteError.at(address, f"cannot be kept here: {error}") from error


def _copy(address: Address, target: BinaryIO, size: int) -> None:
    done = target.seek(0)
    target.truncate()
    with store_of(address).open(address.path) as source:
        while part := source.read(_PART):
            target.write(part)
            done += len(part)
    if done != size:
        raise RemoteError.at(address, f"changes while it is read: {done:,} bytes instead of {size:,}", transient=True)
