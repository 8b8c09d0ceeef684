"""A server in this process: it listens, and ends without losing a request."""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from perceiver_pytorch.data.errors import need
from perceiver_pytorch.serve.app import create_app
from perceiver_pytorch.serve.examples import Examples
from perceiver_pytorch.serve.guard import Guard
from perceiver_pytorch.serve.served import Served
from perceiver_pytorch.serve.settings import ServeSettings

_BACKLOG = 512  # connections that wait to be accepted
_TICK = 0.02  # seconds
_IDLE = 30  # seconds that a connection may rest between two requests


def serve(
    served: Served,
    settings: ServeSettings | None = None,
    *,
    examples: Examples | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serves a model until the process is told to end (SIGINT, SIGTERM), and answers what has begun by then.

    Args:
        served: the model.
        settings: where to listen, and limits.
        examples: rows that the page offers.
        say: prints where the server is.

    Raises:
        ValueError: if the port is taken, or the address is none of this computer's.
        ImportError: without the extra `serve`.
    """
    settings = settings or ServeSettings()
    need("uvicorn", "serve a model", extra="serve")
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what is wrong with a form is told to its sender
    listener = listen(settings.host, settings.port)
    try:
        server = make_server(create_app(served, settings, examples), settings)
        say(f"serving {served.name} at {address_of(listener)} (Ctrl-C ends it)")
        server.run(sockets=[listener])
    finally:
        listener.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ValueError: if it cannot.
    """
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ValueError(
            f"cannot listen on {host}, port {port} ({error.strerror or error}); --port 0 takes a port that is free"
        ) from None


def address_of(listener: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def make_server(app: Guard, settings: ServeSettings) -> Any:
    """A uvicorn server for an application; `run(sockets=[..])` serves."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        backlog=_BACKLOG,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=int(settings.timeout) + 5,
    )
    return _server_class()(config, app, settings.drain)


@cache
def _server_class() -> type:
    import uvicorn

    class Server(uvicorn.Server):
        """Ends in an order that loses no request: first nothing new is accepted but what the system has accepted
        already, then connections have time to send what they have begun, then those that rest are closed."""

        def __init__(self, config: Any, app: Guard, drain: float) -> None:
            super().__init__(config)
            self._app, self._drain = app, drain

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Signals end the server, and not the process after it: it has done what it was told."""
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            signals = (signal.SIGINT, signal.SIGTERM)
            before = {number: signal.signal(number, self.handle_exit) for number in signals}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            self._app.ending = True
            for listener in sockets or []:
                await self._accept_waiting(listener)
            for server in self.servers:
                server.close()
            until = asyncio.get_running_loop().time() + self._drain
            while self._begun() and asyncio.get_running_loop().time() < until and not self.force_exit:
                await asyncio.sleep(_TICK)
            await super().shutdown(sockets)

        async def _accept_waiting(self, listener: socket.socket) -> None:
            """Takes the connections that the system has accepted, and that closing the socket would cut off."""
            loop = asyncio.get_running_loop()
            while True:
                try:
                    connection, _ = listener.accept()
                except (BlockingIOError, InterruptedError):
                    return
                connection.setblocking(False)
                await loop.connect_accepted_socket(self._protocol, connection)

        def _protocol(self) -> Any:
            config: Any = self.config
            return config.http_protocol_class(
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )

        def _begun(self) -> bool:
            """Whether a connection may still send, or waits for an answer."""
            return bool(self.server_state.connections)

    return Server
