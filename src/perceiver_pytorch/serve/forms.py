"""What a field of each form takes: its JSON schema, and how what was sent becomes a cell that holds no path."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from perceiver_pytorch.data.cells import UPLOADS_ONLY
from perceiver_pytorch.data.fields import FILES, Field
from perceiver_pytorch.data.inline_files import inline_file
from perceiver_pytorch.data.sniff import sniff_bytes
from perceiver_pytorch.data.values import as_label, is_missing

_TIMED = ("values", "value", "time", "times", "timestamps")  # fields of an array that brings its time stamps
_SMALLEST = 64  # bytes of a file that is taken for one whatever it begins with
_DEEPEST = 3  # lists in lists of an array
_NULL = {"type": "null"}
_FILE_NAMES = {"image": "a picture", "audio": "a sound", "video": "a video"}


@dataclass(frozen=True)
class CellLimits:
    """How long cells may be: characters of a text, entries of an array or a set."""

    text: int
    values: int


def read_cell(field: Field, given: Any, limits: CellLimits) -> Any:
    """What was sent for a field, as a cell: None where it is missing.

    Args:
        given: a JSON value; or bytes, of an uploaded file.

    Raises:
        ValueError: if the field does not take it. The message says so without the place.
    """
    if is_missing(given):
        return None
    return _READERS[field.form](given, limits)


def cell_schema(field: Field) -> dict[str, Any]:
    """The JSON schema of a field, with an example."""
    schema: dict[str, Any] = dict(_SCHEMAS[field.form](field))
    if field.example is not None:
        schema["examples"] = [field.example]
    return schema


def part_schema(field: Field) -> dict[str, Any]:
    """The schema of a field as a part of a form with uploads."""
    if field.form in FILES:
        return {"type": "string", "format": "binary", "description": f"{_FILE_NAMES[field.form]}, as a file"}
    if field.form == "array":
        return {"type": "string", "description": "the array as JSON, or a NumPy file (.npy)"}
    return {"type": "string", "description": _SCHEMAS[field.form](field).get("description", "")}


def _file(given: Any, limits: CellLimits) -> bytes:
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str):
        raise ValueError(f"{UPLOADS_ONLY}; got {_named(given)}")
    if given[:5].lower() == "data:":
        data = inline_file(given)
        if data is None:
            raise ValueError("must be a data URI such as data:image/png;base64,.., got one that is damaged")
        return data
    plain = "".join(given.split())
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) < _SMALLEST and sniff_bytes(data) is None:  # letters and slashes alone: a path may look like base64
        raise ValueError(f"{UPLOADS_ONLY}; got the text {given[:40]!r}")
    return data


def _text(given: Any, limits: CellLimits) -> str | None:
    if isinstance(given, bytes):
        try:
            given = given.decode()
        except UnicodeDecodeError:
            raise ValueError("must be text in UTF-8, got other bytes") from None
    if not isinstance(given, str | int | float):
        raise ValueError(f"must be a text, got {_named(given)}")
    return _checked(given if isinstance(given, str) else as_label(given), limits)


def _plain(given: Any, limits: CellLimits) -> Any:
    """A text, a number, true or false."""
    if isinstance(given, bytes | str):
        return _text(given, limits)
    if not isinstance(given, int | float):
        raise ValueError(f"must be a text, a number, true or false, got {_named(given)}")
    return given


def _number(given: Any, limits: CellLimits) -> Any:
    if isinstance(given, bool):
        raise ValueError("must be a number, got true or false")
    return _plain(given, limits)


def _array(given: Any, limits: CellLimits) -> Any:
    if isinstance(given, bytes):
        return _array_text(given.decode(), limits) if given.lstrip()[:1] in (b"[", b"{") else given
    if isinstance(given, str):
        return _array_text(given, limits)
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(_TIMED))
        if unknown or not {"values", "value"} & given.keys():
            raise ValueError(f"must be lists of numbers, or have the fields values and time, got {list(given)[:5]}")
        return {name: None if part is None else _list(part, limits) for name, part in given.items()}
    return _list(given, limits)


def _array_text(text: str, limits: CellLimits) -> Any:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = text
    if isinstance(parsed, str | int | float):
        raise ValueError(f"must be lists of numbers, or a NumPy file; {UPLOADS_ONLY}; got the text {text[:40]!r}")
    return _array(parsed, limits)


def _list(given: Any, limits: CellLimits) -> list[Any]:
    if not isinstance(given, list):
        raise ValueError(f"must be lists of numbers, got {_named(given)}")
    count = _counted(given, 1, limits.values)
    if count > limits.values:
        raise ValueError(f"has more than {limits.values:,} numbers, which is the most")
    return given


def _counted(given: list[Any], depth: int, most: int) -> int:
    """Entries of lists in lists, as far as they are not too many."""
    count = len(given)
    for entry in given if count <= most else ():
        if isinstance(entry, list):
            if depth == _DEEPEST:
                raise ValueError(f"must be lists of numbers, {_DEEPEST} in one another at most")
            count += _counted(entry, depth + 1, most)
        elif isinstance(entry, Mapping):
            raise ValueError("must be lists of numbers, got an object in one")
        elif isinstance(entry, str):
            _checked(entry, CellLimits(64, 0))
        if count > most:
            break
    return count


def _names(given: Any, limits: CellLimits) -> Any:
    if not isinstance(given, list):
        return _text(given, limits)
    if len(given) > limits.values:
        raise ValueError(f"has more than {limits.values:,} names, which is the most")
    return [_plain(name, limits) for name in given if not is_missing(name)]


def _checked(text: str, limits: CellLimits) -> str:
    if len(text) > limits.text:
        raise ValueError(f"has {len(text):,} characters, and {limits.text:,} is the most")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be text in Unicode, got half of a pair of surrogates") from None
    return text


def _named(given: Any) -> str:
    """A JSON value in words."""
    if isinstance(given, bool):
        return "true or false"
    names = {Mapping: "an object", list: "a list", str: "a text", int: "a number", float: "a number", bytes: "a file"}
    return next((name for kind, name in names.items() if isinstance(given, kind)), "another value")


def _file_schema(field: Field) -> dict[str, Any]:
    what = _FILE_NAMES[field.form]
    return {
        "type": ["string", "null"],
        "contentEncoding": "base64",
        "description": f"{what}, as base64 or a data URI; null: missing",
    }


def _array_schema(field: Field) -> dict[str, Any]:
    numbers: dict[str, Any] = {"type": "array", "items": {}}
    timed = {"type": "object", "properties": {"values": numbers, "time": numbers}, "required": ["values"]}
    return {"anyOf": [numbers, timed, {"type": "string"}, _NULL], "description": "numbers in lists; null: missing"}


def _number_schema(field: Field) -> dict[str, Any]:
    known = "" if field.low is None else f" (train rows: {field.low:.6g} to {field.high:.6g})"
    return {"anyOf": [{"type": "number"}, {"type": "string"}, _NULL], "description": f"a number{known}; null: missing"}


def _choice_schema(field: Field) -> dict[str, Any]:
    shown = ", ".join(field.choices[:20]) + (", .." if len(field.choices) > 20 else "")
    kinds = ["string", "number", "boolean", "null"]
    return {"type": kinds, "description": f"one of {shown}; others count as unknown; null: missing"}


def _names_schema(field: Field) -> dict[str, Any]:
    names = {"type": "array", "items": {"type": ["string", "number", "boolean"]}}
    return {"anyOf": [names, {"type": "string"}, _NULL], "description": "names, in any order; null: missing"}


_READERS: dict[str, Callable[[Any, CellLimits], Any]] = {
    **dict.fromkeys(FILES, _file),
    "array": _array,
    "text": _text,
    "number": _number,
    "choice": _plain,
    "date": _plain,
    "names": _names,
}
_SCHEMAS: dict[str, Callable[[Field], dict[str, Any]]] = {
    **dict.fromkeys(FILES, _file_schema),
    "array": _array_schema,
    "text": lambda field: {"type": ["string", "number", "null"], "description": "a text; null: missing"},
    "number": _number_schema,
    "choice": _choice_schema,
    "date": lambda field: {
        "type": ["string", "number", "null"],
        "description": "a date, as 2020-01-31 or 2020-01-31T12:00:00; null: missing",
    },
    "names": _names_schema,
}
