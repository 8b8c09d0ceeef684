"""The body of a request, read no further than it may be long."""

from collections.abc import AsyncGenerator
from typing import Any

from perceiver_pytorch.serve.refusals import RefusedError

JSON, FORM = "application/json", "multipart/form-data"


async def body_of(request: Any, most: int) -> bytes:
    """All of a body.

    Args:
        request: of Starlette.
        most: bytes.

    Raises:
        RefusedError: 413 if it is longer; 400 if the client went away.
    """
    return b"".join([part async for part in _limited(request, most)])


async def parts_of(request: Any, most: int, most_parts: int) -> list[tuple[str, str | bytes]]:
    """The parts of a form: (name, content), a text, or the bytes of an uploaded file.

    A file that was not chosen, which browsers send without a name and empty, counts as an empty text.

    Raises:
        RefusedError: 413 if it is longer than ``most`` bytes; 400 if it is no form, or has too many parts.
    """
    from starlette.formparsers import MultiPartException, MultiPartParser

    parser = MultiPartParser(
        request.headers, _limited(request, most), max_files=most_parts, max_fields=most_parts, max_part_size=most
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RefusedError(400, f"the body is no form that can be read ({error.message})") from None
    except (KeyError, ValueError) as error:
        raise RefusedError(400, f"the body is no form that can be read ({type(error).__name__})") from None
    found: list[tuple[str, str | bytes]] = []
    try:
        for name, value in form.multi_items():
            found.append((name, value if isinstance(value, str) else await value.read()))
    finally:
        await form.close()
    return found


def content_type(request: Any) -> str:
    """Which of `JSON` and `FORM` a request's body is.

    Raises:
        RefusedError: 415 if it is neither, or is compressed.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "the body must not be compressed (Content-Encoding)")
    if given not in (JSON, FORM):
        raise RefusedError(415, f"the body must be {JSON} or {FORM} (Content-Type), got {given[:80] or 'neither'!r}")
    return given


async def _limited(request: Any, most: int) -> AsyncGenerator[bytes, None]:
    from starlette.requests import ClientDisconnect

    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told[:20]) > most:
        raise _too_large(most)
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise _too_large(most)
            yield part
    except ClientDisconnect:
        raise RefusedError(400, "the client went away before the request was whole") from None


def _too_large(most: int) -> RefusedError:
    return RefusedError(
        413,
        f"the request is larger than {most / (1 << 20):.3g} MB, which is the most (--max-mb of perceiver serve)",
        headers={"Connection": "close"},
    )
