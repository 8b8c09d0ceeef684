"""Cells that hold arrays of numbers: lists, JSON text, NumPy files."""

import json
import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from perceiver_pytorch._files import open_regular
from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cell_memory import CELL_BYTES, claim
from perceiver_pytorch.data.cells import Where, media_source
from perceiver_pytorch.data.sniff import sniff_bytes, sniff_path
from perceiver_pytorch.data.values import as_seconds, is_missing

_VALUES, _TIMES = ("values", "value"), ("time", "times", "timestamps")  # fields of a cell that brings its time stamps
_NUMPY, _ZIP = b"\x93NUMPY", b"PK"
_NUMBERS, _FLOAT = "biuf", 8  # kinds of dtypes that are read; bytes of a float64, as which they are
_PARSED = 16  # bytes of Python's numbers for a character of JSON


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
        return _floats(_parsed(value, column, where), column, where)
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
        value = _parsed(value, column, where)
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
    if _PARSED * len(text) > CELL_BYTES or not text.lstrip().startswith("["):
        return False
    try:
        array = np.asarray(json.loads(text), dtype=np.float64)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return False
    return array.ndim in (1, 2)


def _parsed(text: str, column: str, where: Where) -> Any:
    _claim(f"{len(text):,} characters of JSON", _PARSED * len(text), column, where)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise where.error(column, f"{text[:40]!r} is no JSON array ({error})") from error


def _numpy_file(source: bytes | Path, cell: Any, column: str, where: Where) -> Any:
    """The array of a NumPy file, of which the header is read first: it may claim any shape."""
    try:
        with BytesIO(source) if isinstance(source, bytes) else open_regular(source) as file:
            begins = file.read(len(_NUMPY))
            file.seek(0)
            shape, dtype = _header(file) if begins == _NUMPY else ((), np.dtype(float))
    except Exception as error:  # a damaged header is parsed with whatever errors that gives
        raise where.error(column, f"the array cannot be read ({str(error)[:200]})", cell) from error
    if begins.startswith(_ZIP):
        raise where.error(column, "must be one array (.npy), got an archive of arrays (.npz)", cell)
    if begins != _NUMPY:
        raise where.error(column, "the array cannot be read (it is no NumPy file)", cell)
    _check_numbers(dtype, column, where)
    _claim(f"shape {shape}", _FLOAT * math.prod(shape), column, where, cell)
    try:
        if isinstance(source, bytes):
            return np.load(BytesIO(source), allow_pickle=False)
        return np.load(source, allow_pickle=False, mmap_mode="r")
    except MemoryError:
        raise
    except Exception as error:
        raise where.error(column, f"the array cannot be read ({str(error)[:200]})", cell) from error


def _header(file: Any) -> "tuple[tuple[int, ...], np.dtype]":
    """Shape and dtype by the header of a NumPy file."""
    form = np.lib.format
    read = form.read_array_header_1_0 if form.read_magic(file) == (1, 0) else form.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _check_numbers(dtype: "np.dtype", column: str, where: Where) -> None:
    if dtype.kind not in _NUMBERS:
        raise where.error(column, f"must be an array of numbers, got one of {dtype}")


def _claim(size: str, num_bytes: int, column: str, where: Where, cell: Any = None) -> None:
    try:
        claim("the array", size, num_bytes, where.cell_bytes)
    except ValueError as error:
        raise where.error(column, str(error), cell) from error


def _floats(value: Any, column: str, where: Where) -> "np.ndarray":
    if isinstance(value, np.ndarray):
        _check_numbers(value.dtype, column, where)
        _claim(f"shape {value.shape}", _FLOAT * value.size, column, where)
    try:
        return np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        shape = f"{len(value)} entries" if isinstance(value, Sequence) else type(value).__name__
        raise where.error(
            column, f"must be an array of numbers with rows of one length, got {shape} ({error})"
        ) from error
