"""Ctrl-C and SIGTERM: asked once, training stops between two steps; asked twice, at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, Any], Any]


def interrupt(number: int, frame: Any) -> None:
    """Raises KeyboardInterrupt, whichever signal came."""
    raise KeyboardInterrupt


@contextmanager
def handling(handler: Handler) -> Iterator[Callable[[], None]]:
    """Both signals go to ``handler`` within the block, and as before after it.

    Yields:
        A function that does so anew, for when a library has put a handler of its own in front.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def install() -> None:
        for number in SIGNALS:
            signal.signal(number, handler)

    try:
        install()
    except ValueError:  # not in the main thread, where signals do not arrive
        yield lambda: None
        return
    try:
        yield install
    finally:
        for number, old in before.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)


def ask_once(request: Callable[[], None]) -> Handler:
    """A handler that calls ``request`` the first time, and interrupts at once the second time."""
    asked = False

    def handle(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        request()

    return handle
