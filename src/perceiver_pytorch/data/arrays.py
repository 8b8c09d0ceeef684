"""Cells that hold arrays of numbers: lists, JSON text, NumPy files."""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cells import Where, media_source
from perceiver_pytorch.data.sniff import sniff_bytes, sniff_path
from perceiver_pytorch.data.values import as_seconds, is_missing

_VALUES, _TIMES = ("values", "value"), ("time", "times", "timestamps")  # fields of a cell that brings its time stamps
_NUMPY = b"\x93NUMPY"
_MAX_BYTES = 1 << 30  # of an array, before it is cut: a header may claim any shape


def array_cell(value: Any, column: str, where: Where) -> "np.ndarray | None":
    """The array of a cell, float64, NaN where a value is missing; None where the whole cell is.

    Args:
        value: a list (of lists), an array, JSON text of such, or a NumPy file (`.npy`: path, bytes, or bytes and path).

    Raises:
        DataError: it is none of these, ragged, not of numbers, or no such file is there.
    """
    if isinstance(value, np.ndarray | list | tuple):
        return _floats(value, column, where)
    if is_missing(value):
        return None
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return _floats(json.loads(value), column, where)
        except (ValueError, RecursionError) as error:
            raise where.error(column, f"{value[:40]!r} is no JSON array ({error})") from error
    if not isinstance(value, str | bytes | Mapping):
        reason = "must be an array of numbers (a list, JSON text of one, a .npy file), got a value of type "
        raise where.error(column, reason + type(value).__name__)
    source = media_source(value, column, where)
    return None if source is None else _floats(_numpy_file(source, value, column, where), column, where)


def timed_cell(value: Any, column: str, where: Where) -> "tuple[np.ndarray | None, Any]":
    """The array of a cell, and its time stamps where it is a mapping that brings them, else None."""
    if isinstance(value, Mapping) and not {"bytes", "path"} & value.keys():
        found = next((name for name in _VALUES if name in value), None)
        if found is None:
            raise where.error(column, f"must be an array, or have fields 'values' and 'time', got {sorted(value)}")
        times = next((value[name] for name in _TIMES if name in value), None)
        return array_cell(value[found], column, where), times
    return array_cell(value, column, where), None


def time_cell(value: Any, column: str, where: Where) -> "np.ndarray | None":
    """The time stamps of a cell, float64 seconds, from numbers (seconds), dates, or ISO strings.

    Raises:
        DataError: it holds something else, or a time stamp is missing or not finite.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise where.error(column, f"{value[:40]!r} is no JSON array ({error})") from error
    if isinstance(value, list | tuple) and value and not isinstance(value[0], int | float):
        try:
            return np.array([as_seconds(one) for one in value], dtype=np.float64)
        except ValueError as error:
            raise where.error(column, str(error)) from error
    times = array_cell(value, column, where)
    if times is not None and (times.ndim != 1 or not np.isfinite(times).all()):
        raise where.error(column, f"must have one finite time stamp per step, got an array {times.shape}")
    return times


def looks_like_array(value: Any) -> bool:
    """Whether a text or file cell holds an array, by its beginning."""
    if isinstance(value, bytes):
        return sniff_bytes(value) == "array"
    return isinstance(value, str) and (sniff_path(value) == "array" or _is_json_array(value))


def _is_json_array(text: str) -> bool:
    if not text.lstrip().startswith("["):
        return False
    try:
        array = np.asarray(json.loads(text), dtype=np.float64)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return False
    return array.ndim in (1, 2)


def _numpy_file(source: bytes | Path, cell: Any, column: str, where: Where) -> Any:
    if not _beginning(source).startswith((_NUMPY, b"PK")):
        raise where.error(column, "the array cannot be read (it is no NumPy file)", cell)
    try:
        if isinstance(source, bytes):
            return np.load(BytesIO(source), allow_pickle=False)
        array = np.load(source, allow_pickle=False, mmap_mode="r")
    except Exception as error:  # a damaged header is parsed with whatever errors that gives
        raise where.error(column, f"the array cannot be read ({str(error)[:200]})", cell) from error
    if not isinstance(array, np.ndarray):
        reason = "must be one array (.npy), got an archive of arrays (.npz)"
        raise where.error(column, reason, cell)
    return array


def _beginning(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        return source[:6]
    try:
        with source.open("rb") as file:
            return file.read(6)
    except OSError:  # told by who reads on
        return _NUMPY


def _floats(value: Any, column: str, where: Where) -> "np.ndarray":
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise where.error(column, f"must be an array of numbers, got one of {value.dtype}")
        if value.size * 8 > _MAX_BYTES:
            raise where.error(column, f"an array {value.shape} is suspiciously large")
    try:
        return np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        shape = f"{len(value)} entries" if isinstance(value, Sequence) else type(value).__name__
        raise where.error(
            column, f"must be an array of numbers with rows of one length, got {shape} ({error})"
        ) from error
