"""Files that a text holds itself: base64, bare or in a data URI."""

import base64
import binascii
import re
from typing import Literal
from urllib.parse import unquote_to_bytes

from perceiver_pytorch.data.sniff import Media, sniff_bytes

_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[^,;]*)*),", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_HEAD = 96  # signs that are enough to tell a file by
_LEAST = 64  # signs; a shorter text may well be a name


def inline_file(text: str) -> bytes | None:
    """The bytes of the file that a text holds; None where it holds none, but is a path, say.

    Raises:
        ValueError: it begins as a file, and is damaged. The message says so without the place.
    """
    uri = _URI.match(text)
    if uri is None:
        return _decoded(text) if _head(text) is not None else None
    content = text[uri.end() :]
    return _decoded(content) if uri[2].lower().endswith(";base64") else unquote_to_bytes(content)


def inline_media(text: str) -> Media | Literal["other"] | None:
    """What the file that a text holds is, by its first bytes; None where it holds none."""
    uri = _URI.match(text)
    if uri is None:
        return _head(text)
    start = text[uri.end() : uri.end() + _HEAD]
    try:
        found = sniff_bytes(_decoded(_whole(start)) if uri[2].lower().endswith(";base64") else unquote_to_bytes(start))
    except ValueError:
        found = None
    return found or ("other" if (uri[1] or "text").lower().startswith(("image", "audio", "video")) else None)


def _head(text: str) -> Media | None:
    """What base64 that is not in a data URI begins like; None of other texts."""
    start = "".join(text[: 2 * _HEAD].split())[:_HEAD]
    if len(start) < _LEAST or not _BASE64.fullmatch(start):
        return None
    return sniff_bytes(_decoded(_whole(start)))


def _whole(text: str) -> str:
    """As much of a text as stands for whole bytes."""
    text = "".join(text.split()).rstrip("=")
    return text[: len(text) // 4 * 4]


def _decoded(text: str) -> bytes:
    """The bytes of base64, also where it is made for addresses, broken into lines, or not filled up."""
    plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"holds base64 that is damaged ({error})") from None
