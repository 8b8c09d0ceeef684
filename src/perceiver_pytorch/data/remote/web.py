"""Files of the web, from hosts that somebody has allowed: whoever writes a table is not whoever reads it."""

import http.client
import ipaddress
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import uuid4

from perceiver_pytorch.data.remote.addresses import WEB, Address
from perceiver_pytorch.data.remote.errors import RemoteError
from perceiver_pytorch.data.remote.stores import State

_REPLY = 30  # seconds without a byte
_HOPS = 5  # redirects
_PART = 1 << 20
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]+")  # urllib decodes %31, and would ask another host than was looked up
_NEW = uuid4().hex  # stands for the version of files whose host says none: each process fetches them anew
ANY = "*"
"""Stands for every host but those of this machine and its network."""


def check_allowed(address: Address, hosts: Collection[str]) -> None:
    """Raises a `RemoteError` unless the host of an address is one of ``hosts``.

    `http`, which others may overhear and change, is for the machine itself.
    """
    name = address.host.rsplit("@", 1)[-1].lower()
    bare = name.rsplit(":", 1)[0] if name.rsplit(":", 1)[-1].isdecimal() else name
    named = {host.lower() for host in hosts}
    if "@" in address.host:
        raise RemoteError.at(address, "an address must not hold a user or a password", of_the_file=True)
    if not _HOST.fullmatch(address.host):
        reason = f"the host {name[:200]!r} has other signs than letters, digits and ._-:[]; write the name that it has"
        raise RemoteError.at(address, f"{reason} in the net, such as xn--bcher-kva.example", of_the_file=True)
    if not {name, bare} & named:
        if ANY not in named:
            raise RemoteError.at(
                address, f"the host {bare} is not allowed; --allow-web {bare} lets it be read", of_the_file=True
            )
        if _is_inside(address, bare):
            reason = f"the host {bare} belongs to this network; --allow-web {bare} lets it be read"
            raise RemoteError.at(address, reason, of_the_file=True)
    if address.protocol == "http" and bare not in ("localhost", "127.0.0.1", "[::1]"):
        raise RemoteError.at(address, "is read by https only, as others may change what http brings", of_the_file=True)


@dataclass(frozen=True, eq=False)
class Reply:
    """A file that a host begins to send.

    Attributes:
        state: its version, and its size; -1 where the host says none.
        body: its bytes.
    """

    state: State
    body: BinaryIO

    def copy_to(self, file: BinaryIO, address: Address, most: int) -> None:
        """Writes it, up to ``most`` bytes.

        Raises:
            RemoteError: it has more, or ends early.
        """
        done = 0
        while part := self._part(address):
            done += len(part)
            if done > most:
                raise RemoteError.at(address, f"has more than the {most:,} bytes that it may", of_the_file=True)
            file.write(part)
        if self.state.size >= 0 and done != self.state.size:
            reason = f"ended after {done:,} of {self.state.size:,} bytes"
            raise RemoteError.at(address, reason, transient=True)

    def _part(self, address: Address) -> bytes:
        try:
            return self.body.read(_PART)
        except (OSError, http.client.HTTPException) as error:
            raise RemoteError.at(address, f"the connection was lost ({error!r})", transient=True) from error


@contextmanager
def asked(address: Address, hosts: Collection[str]) -> Iterator[Reply]:
    """Asks for a file.

    Args:
        hosts: that may be asked, also by a redirect.

    Raises:
        RemoteError: a host is not allowed, or says that there is no such file.
        OSError: it cannot be reached.
    """
    check_allowed(address, hosts)
    request = urllib.request.Request(str(address), headers={"User-Agent": "perceiver-multi-modality-pytorch"})
    try:
        with _opener(hosts).open(request, timeout=_REPLY) as reply:
            told = reply.headers
            length = told.get("Content-Length", "")
            version = told.get("ETag") or told.get("Last-Modified") or _NEW
            yield Reply(State(int(length) if length.isdecimal() else -1, version), reply)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(address, error) from error
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, Exception) else error
        raise RemoteError.at(address, f"cannot be reached ({reason})", transient=_passes(reason)) from error


def _passes(reason: Exception) -> bool:
    """Whether a host that cannot be reached now may be if one asks again."""
    if isinstance(reason, UnicodeError) or "CERTIFICATE" in str(reason).upper():
        return False
    return not isinstance(reason, socket.gaierror) or reason.errno == socket.EAI_AGAIN


def _refused(address: Address, error: urllib.error.HTTPError) -> RemoteError:
    if error.code in (404, 410):
        return RemoteError.at(address, "there is no such file", of_the_file=True)
    if error.code in (408, 425, 429) or error.code >= 500:
        return RemoteError.at(address, f"cannot be read now (HTTP status {error.code})", transient=True)
    if error.code < 400:  # a redirect that urllib refuses itself
        return RemoteError.at(
            address, f"leads to what is not of the web, or in a circle ({error.msg})", of_the_file=True
        )
    return RemoteError.at(address, f"may not be read (HTTP status {error.code})", of_the_file=True)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to hosts that are allowed, by http and https alone."""

    max_redirections = _HOPS

    def __init__(self, hosts: Collection[str]) -> None:
        self.hosts = hosts

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        fp.close()
        target = Address.of(newurl) if "://" in newurl else None
        if target is None or target.protocol not in WEB:
            raise RemoteError(f"{req.full_url}: leads to {newurl[:200]!r}, which is not of the web", of_the_file=True)
        try:
            check_allowed(target, self.hosts)
        except RemoteError as error:
            text = f"{req.full_url}: leads elsewhere: {error}"
            raise RemoteError(text, transient=error.transient, of_the_file=error.of_the_file) from None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(hosts: Collection[str]) -> Any:
    """Reads http and https; what urllib adds by itself reads files and FTP, too."""
    opener = urllib.request.OpenerDirector()
    handlers: list[Callable[[], Any]] = [
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        lambda: _Redirects(hosts),
    ]
    for handler in handlers:
        opener.add_handler(handler())
    return opener


def _is_inside(address: Address, host: str) -> bool:
    """Whether a host is this machine, or one of its network.

    Raises:
        RemoteError: nobody knows the host.
    """
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host.strip("[]"), None)}
    except (OSError, UnicodeError) as error:  # UnicodeError: a part of the name is empty or too long
        reason = f"the host {host} cannot be found ({error}); --allow-web {host} asks for it all the same"
        passes = _passes(error)
        raise RemoteError.at(address, reason, transient=passes, of_the_file=not passes) from error
    return any(not ipaddress.ip_address(str(place).partition("%")[0]).is_global for place in found)
