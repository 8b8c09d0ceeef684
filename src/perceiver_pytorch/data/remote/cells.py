"""Cells that lead to files elsewhere: addresses, and paths in a table that lies elsewhere itself."""

import re
from collections.abc import Collection
from pathlib import Path

from perceiver_pytorch.data.remote.addresses import Address, Root, is_address
from perceiver_pytorch.data.remote.errors import RemoteError
from perceiver_pytorch.data.remote.files import fetched, read
from perceiver_pytorch.data.sniff import without_query

_OF_THIS_MACHINE = re.compile(r"/|\\|[A-Za-z]:|~")
OUTSIDE = "put the file inside, or allow paths outside"


def is_elsewhere(cell: str, root: Root) -> bool:
    """Whether the file of a cell does not lie in a folder of this machine."""
    return not isinstance(root, Path) or is_address(cell)


def address_of(cell: str, root: Root, *, allow_outside: bool) -> Address:
    """Where the file of a cell lies.

    Args:
        cell: an address, or a path in the table's folder.
        root: that folder.
        allow_outside: let it lie in another one.

    Raises:
        ValueError: it lies outside, or on this machine while the table does not; the message is without the place.
    """
    if cell[:7].lower() == "file://":
        raise ValueError(f"{cell[:200]!r} is an address of this machine; give the path")
    if is_address(cell):
        address = Address.of(cell)
        if address.is_web:  # its host has to be allowed, wherever the table lies
            return address
        outside = not address.is_relative_to(root)
    else:
        assert isinstance(root, Address)
        plain = cell.replace("\\", "/")
        if _OF_THIS_MACHINE.match(cell):
            raise ValueError(f"the path {cell[:200]!r} is one of a machine, and the table lies at {root}; {OUTSIDE}")
        address = root / (without_query(plain) if root.is_web else plain)
        outside = not address.is_relative_to(root) or _climbs(plain)
    if outside and not allow_outside:
        raise ValueError(f"{cell[:200]!r} leads out of the table's folder {root}; {OUTSIDE} (--allow-outside)")
    return address


def cell_bytes(address: Address, hosts: Collection[str], most: int) -> bytes:
    """The file of a cell, of ``most`` bytes at most.

    Raises:
        RemoteError: it cannot be read, or is too large.
    """
    return read(address, hosts, lambda size: _check(address, size, most), most)


def cell_file(address: Address, hosts: Collection[str], most: int) -> Path:
    """The same as a file here, for what reads tables."""
    return fetched(address, hosts, lambda size: _check(address, size, most), most, once=True)


def _check(address: Address, size: int, most: int) -> None:
    if size > most:
        needed = -(-size >> 20)
        reason = f"the file has {needed:,} MB, and a cell may take {most >> 20:,} MB; --cell-mb {needed} allows it"
        raise RemoteError.at(address, reason, of_the_file=True)


def _climbs(path: str) -> bool:
    """Whether a path leads above where it starts, wherever it ends: the top of a bucket stops it."""
    depth = 0
    for part in path.split("/"):
        depth += -1 if part == ".." else int(part not in ("", "."))
        if depth < 0:
            return True
    return False
