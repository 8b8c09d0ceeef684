"""Addresses of files that lie elsewhere: `s3://bucket/folder/file.csv`, `https://host/file.csv`."""

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # a single letter would be a drive of Windows
_UNSENT = re.compile(r"[^\x21-\x7e]+")  # what an address of the web cannot hold as it is

WEB = ("https", "http")
"""What is fetched from hosts that somebody has to allow."""


def is_address(text: str) -> bool:
    """Whether a text is an address, and no path."""
    return _ADDRESS.match(text) is not None


@dataclass(frozen=True)
class Address:
    """Where a file or folder lies: as much of a `pathlib.Path` as tables and their cells need.

    Attributes:
        protocol: what stands before ``://``, in lower case.
        host: a bucket, a container or a host, as it is written.
        key: the path in it, with ``/`` between its parts and none at the ends; empty for all of it.
        query: of an address of the web, what stands behind the path, with its ``?``.
    """

    protocol: str
    host: str
    key: str = ""
    query: str = ""

    @classmethod
    def of(cls, text: str) -> "Address":
        """The address that a text writes out.

        Raises:
            ValueError: it names neither bucket nor host, or none that can be read.
        """
        match = _ADDRESS.match(text)
        if match is None or any(ord(sign) < 32 for sign in text):
            raise ValueError(f"{text[:200]!r} is no address such as s3://bucket/folder/file.csv")
        protocol, rest, query = match[1].lower(), text[match.end() :], ""
        if protocol in WEB:
            parts = urlsplit(text)
            query = f"?{_sent(parts.query)}" if parts.query else ""
            rest = parts.netloc + _sent(parts.path)
        host, _, key = rest.partition("/")
        if not host:
            raise ValueError(f"{text[:200]!r} names no bucket or host")
        return cls(protocol, host, _normal(key), query)

    @property
    def is_web(self) -> bool:
        """Whether it is fetched from a host of the web."""
        return self.protocol in WEB

    @property
    def path(self) -> str:
        """What a store calls it: bucket and key."""
        return f"{self.host}/{self.key}" if self.key else self.host

    @property
    def name(self) -> str:
        """The last part of the key."""
        return posixpath.basename(self.key)

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "Address":
        """The folder that it lies in."""
        return Address(self.protocol, self.host, posixpath.dirname(self.key))

    def __truediv__(self, relative: str) -> "Address":
        """What a relative path leads to; ``..`` leads up, no further than the whole bucket or host."""
        key = quote(relative, safe="/%:@!$&'()*+,;=~") if self.is_web else relative
        return Address(self.protocol, self.host, _normal(f"{self.key}/{key}"))

    def is_relative_to(self, other: object) -> bool:
        """Whether it lies in another one, or is that."""
        if not isinstance(other, Address) or (self.protocol, self.host) != (other.protocol, other.host):
            return False
        return not other.key or self.key == other.key or self.key.startswith(f"{other.key}/")

    def relative_to(self, other: "Address") -> PurePosixPath:
        """The path from a folder that it lies in."""
        return PurePosixPath(self.key[len(other.key) :].lstrip("/"))

    def __str__(self) -> str:
        return f"{self.protocol}://{self.path}{self.query}"


Root = Path | Address
"""The folder of a table, or a file in it: here or elsewhere."""


def _sent(text: str) -> str:
    """A part of an address of the web, with spaces and letters beyond ASCII quoted."""
    return _UNSENT.sub(lambda found: quote(found[0]), text)


def _normal(key: str) -> str:
    """A key without empty parts, ``.`` and ``..``."""
    parts = posixpath.normpath(f"/{key}")
    return parts.lstrip("/")
