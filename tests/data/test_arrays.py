"""Cells with arrays of numbers."""

import datetime
import io
from pathlib import Path

import numpy as np
import pytest

from data_helpers import npy
from perceiver_pytorch.data import DataError, Where
from perceiver_pytorch.data.arrays import array_cell, looks_like_array, time_cell, timed_cell

WHERE = Where("here.csv", Path("/nowhere"), 17)
TABLE = [[1.0, 2.0], [3.0, 4.0]]


def little(num_bytes):
    return Where("here.csv", Path("/nowhere"), 17, cell_bytes=num_bytes)


def archive():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


def version_two():
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array(TABLE), version=(2, 0))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "cell",
    [
        TABLE,
        tuple(TABLE),
        np.array(TABLE, np.int8),
        " [[1, 2], [3, 4.0]]",
        npy(np.array(TABLE, np.float32)),
        version_two(),
        {"bytes": npy(np.array(TABLE)), "path": "gone.npy"},
    ],
)
def test_arrays_are_lists_texts_or_files(cell):
    array = array_cell(cell, "x", WHERE)
    assert array.dtype == np.float64
    assert array.tolist() == TABLE


def test_gaps_are_nan_and_files_are_found_beside_the_table(tmp_path):
    np.testing.assert_array_equal(array_cell([1, None, "2"], "x", WHERE), [1, np.nan, 2])
    np.testing.assert_array_equal(array_cell("[1, null, NaN]", "x", WHERE), [1, np.nan, np.nan])
    (tmp_path / "a.npy").write_bytes(npy(np.array([True, False])))
    assert array_cell("a.npy", "x", Where("here.csv", tmp_path, 17)).tolist() == [1.0, 0.0]
    assert all(array_cell(cell, "x", WHERE) is None for cell in (None, "", b"", float("nan"), {"bytes": None}))


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (5, r"must be an array of numbers \(a list, JSON text of one, a .npy file\), got a value of type int$"),
        ("[1, 2", r"'\[1, 2' is no JSON array \("),
        ("[" + "1," * 40, rf"'\[{'1,' * 19}1' is no JSON array"),
        ("[" * 100_000, "is no JSON array"),
        ([[1], [2, 3]], r"rows of one length, got 2 entries \("),
        (["a"], "1 entries"),
        (np.array(["a"]), "must be an array of numbers, got one of <U1$"),
        (npy(np.array(["a"])), "got one of <U1$"),
        (archive(), r"must be one array \(.npy\), got an archive of arrays \(.npz\)$"),
        (b"junk", r"the array cannot be read \(it is no NumPy file\)$"),
        (b"\x93NUMPY\x01\0\x05\0junk!", "cannot be read"),
        (npy(np.zeros(100))[:-1], "the array cannot be read"),
    ],
)
def test_what_is_no_array_is_said_with_its_place(cell, reason):
    with pytest.raises(DataError, match=rf"^here.csv: row 17, column 'x': .*{reason}"):
        array_cell(cell, "x", WHERE)


def test_memory_is_claimed_before_it_is_taken():
    enough = [("[1, 2, 3]", 16 * 9, "9 characters of JSON"), (np.zeros(3, np.int8), 24, r"shape \(3,\)")]
    for cell, num_bytes, size in [*enough, (npy(np.zeros((2, 2), np.float32)), 32, r"shape \(2, 2\)")]:
        assert array_cell(cell, "x", little(num_bytes)) is not None
        with pytest.raises(DataError, match=f"row 17, column 'x': the array takes 1 MB of memory .*{size}"):
            array_cell(cell, "x", little(num_bytes - 1))


def test_a_cell_may_bring_its_time_stamps():
    for values, times in (("values", "time"), ("value", "times"), ("values", "timestamps")):
        found, own = timed_cell({values: [1, 2], times: [0, 5], "unit": "s"}, "x", WHERE)
        assert found.tolist() == [1, 2]
        assert own == [0, 5]
    assert timed_cell({"values": None}, "x", WHERE) == (None, None)
    assert timed_cell([1], "x", WHERE)[1] is None
    assert timed_cell({"path": "a.npy", "bytes": npy(np.ones(2))}, "x", WHERE)[0].tolist() == [1, 1]
    with pytest.raises(DataError, match=r"must be an array, or have fields 'values' and 'time', got \['a', 'time'\]$"):
        timed_cell({"time": [1], "a": [2]}, "x", WHERE)


def test_time_stamps_are_seconds_dates_or_texts():
    day = datetime.date(1970, 1, 2)
    for cell in ([0, 86400.0], "[0, 86400]", [datetime.date(1970, 1, 1), day], '["1970-01-01", "1970-01-02"]'):
        times = time_cell(cell, "t", WHERE)
        assert times.dtype == np.float64
        assert times.tolist() == [0, 86400]
    assert time_cell((), "t", WHERE).tolist() == []
    assert time_cell(None, "t", WHERE) is None
    for cell in ([0, None], np.zeros((2, 1)), [0, float("inf")]):
        with pytest.raises(
            DataError, match=r"row 17, column 't': must have one finite time stamp per step, got an array \("
        ):
            time_cell(cell, "t", WHERE)
    with pytest.raises(DataError, match=r"row 17, column 't': must be a time stamp"):
        time_cell([day, None], "t", WHERE)


@pytest.mark.parametrize(
    ("cell", "looks"),
    [
        ("[1, 2]", True),
        (" [[1], [2]]", True),
        ("[1, null]", True),
        ("[]", True),
        ("[[[1]]]", False),
        ("[[1], [2, 3]]", False),
        ('["a"]', False),
        ("[1", False),
        ("1", False),
        ("[" * 100_000, False),
        ("[1e999999]", True),
        (f"[{10**400}]", False),
        ("a/b.npy", True),
        ("a/b.png", False),
        (npy(np.zeros(2)), True),
        (b"[1]", False),
        ([1], False),
        (None, False),
    ],
)
def test_texts_and_files_that_look_like_arrays(cell, looks):
    assert looks_like_array(cell) is looks


def test_no_text_that_a_cell_may_not_hold_is_parsed_to_see_what_it_is():
    limit = (512 << 20) // 16
    assert not looks_like_array("[" + " " * (limit - 1) + "1]")
    assert looks_like_array("[1" + " " * 1000 + "]")
