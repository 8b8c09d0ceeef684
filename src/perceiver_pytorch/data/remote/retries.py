"""Asking again after errors that pass, with waits that grow."""

import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.remote.addresses import Address
from perceiver_pytorch.data.remote.errors import RemoteError, told

TRIES = "PERCEIVER_REMOTE_TRIES"
"""How often a file elsewhere is asked for before that is an error; 5 where nobody says."""
_FIRST_WAIT = 0.5  # seconds, then twice as long each time
_LONGEST_WAIT = 20.0

T = TypeVar("T")


def retried(address: Address, call: Callable[[], T], sleep: Callable[[float], None] | None = None) -> T:
    """What a call gives that asks for a file.

    Args:
        address: where the file is.
        call: asks for it; called anew after each error that passes.
        sleep: waits for some seconds; None: `time.sleep`.

    Raises:
        RemoteError: it cannot be read, or not after so many times.
    """
    tries = number_from(TRIES, 5)
    for attempt in range(1, tries + 1):
        try:
            return call()
        except (DataError, ImportError, MemoryError):
            raise
        except Exception as error:  # packages for stores have classes of their own
            found = told(address, error)
            if not found.transient:
                raise found from error
            if attempt == tries:
                times = "once" if tries == 1 else f"{tries} times"
                raise RemoteError.at(address, f"{found.reason}; asked for {times}", transient=True) from error
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1))
        (sleep or time.sleep)(wait * random.uniform(0.5, 1.0))  # processes that failed together ask apart
    raise AssertionError("unreachable")


def number_from(name: str, default: int) -> int:
    """A number of 1 or more that an environment variable says.

    Raises:
        ValueError: it says something else.
    """
    text = os.environ.get(name, "").strip()
    if text and not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"the environment variable {name} must be a number of 1 or more, is {text!r}")
    return int(text) if text else default
