"""What processes say to each other: JSON, and the bytes of a file or an array. Nothing that is received is run."""

import json
import struct
from io import FileIO
from typing import Any

_SIZES = struct.Struct("<IQ")  # bytes of the JSON, and of what follows it
_MAX_JSON = 1 << 20


def send(pipe: FileIO, head: dict[str, Any], data: bytes = b"") -> None:
    """Write a message; `OSError` where nobody reads."""
    text = json.dumps(head).encode()
    for part in (_SIZES.pack(len(text), len(data)) + text, data):
        view = memoryview(part)
        while view:
            view = view[pipe.write(view) :]


def receive(pipe: FileIO, most: int) -> tuple[dict[str, Any], bytearray]:
    """Read a message.

    Args:
        pipe: where from.
        most: bytes of data that may follow the JSON.

    Raises:
        EOFError: the other side is gone.
        ValueError: it is no message.
    """
    text_size, data_size = _SIZES.unpack(_exactly(pipe, _SIZES.size))
    if text_size > _MAX_JSON or data_size > most:
        raise ValueError(f"a message of {text_size + data_size} bytes")
    head = json.loads(_exactly(pipe, text_size))
    if not isinstance(head, dict):
        raise ValueError("a message that is no object")
    return head, _exactly(pipe, data_size)


def _exactly(pipe: FileIO, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = pipe.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]
    return data
