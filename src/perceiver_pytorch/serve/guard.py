"""What stands before every route: the Host header, where a request comes from, security headers, and the counting."""

import ipaddress
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from perceiver_pytorch.serve.metrics import Metrics
from perceiver_pytorch.serve.refusals import RefusedError
from perceiver_pytorch.serve.settings import LOOPBACK

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOG = logging.getLogger("perceiver.serve")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI application before another one.

    Args:
        app: the application.
        hosts: names by which it may be called; a web page elsewhere cannot make one of its own lead here.
        any_address: whether an IP address may stand in their place, as where other computers may call.
        metrics: counts.

    Attributes:
        ending: whether clients are told to close their connections.
    """

    def __init__(self, app: App, *, hosts: Iterable[str], any_address: bool, metrics: Metrics) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in (*LOOPBACK, *hosts))
        self._any_address = any_address
        self._metrics = metrics
        self.ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.monotonic(), 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._headers()]
            await send(message)

        self._metrics.at_work.inc()
        try:
            self._check(scope)
            await self._app(scope, receive, guarded)
        except RefusedError as error:
            await refuse(error, guarded)
        except Exception:
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            if not status:
                await refuse(RefusedError(500, "the server failed at this request; its log says why"), guarded)
        finally:
            self._metrics.at_work.dec()
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.monotonic() - began)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        found = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
        return [*found, (b"connection", b"close")] if self.ending else found

    def _check(self, scope: Scope) -> None:
        """Raises a `RefusedError` for a request that means another server, or that another site's page sends."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not self._may_be(host):
            raise RefusedError(
                421,
                f"this server does not go by the name {host[:80]!r}; call it by its address, or start it with "
                "--allow-host NAME",
            )
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and scope["method"] != "GET":
            raise RefusedError(403, "another site's page may not send rows to this server")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise RefusedError(403, "another site's page may not use this server")

    def _may_be(self, host: str) -> bool:
        """Whether a Host header, a name with or without a port, is one of ours."""
        before, colon, port = host.rpartition(":")
        name = before if colon and port.isdigit() else host
        name = name.lower().removesuffix(".").removeprefix("[").removesuffix("]")
        if name in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any_address or address.is_loopback


async def refuse(error: RefusedError, send: Send) -> None:
    """Sends the answer to a request that is refused."""
    await answer_json(send, error.status, error.body, error.headers)


async def answer_json(send: Send, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
    """Sends JSON."""
    content = ascii_json(body)
    named = {"content-type": "application/json", "content-length": str(len(content)), **(headers or {})}
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": content})


def ascii_json(body: Any) -> bytes:
    """JSON in ASCII: what was sent to us may stand in it, halves of characters too."""
    return json.dumps(body).encode("ascii")
