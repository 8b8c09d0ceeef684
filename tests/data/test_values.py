"""Cells as labels, numbers, dates and time stamps."""

import datetime
import math
from decimal import Decimal

import numpy as np
import pytest

from perceiver_pytorch.data.values import (
    as_date,
    as_label,
    as_number,
    as_seconds,
    is_infinite,
    is_missing,
    readable,
)

UTC = datetime.timezone.utc
EAST = datetime.timezone(datetime.timedelta(hours=2))
DAY = datetime.datetime(2020, 1, 31)


def test_missing_is_none_nan_or_of_no_length():
    assert all(map(is_missing, [None, math.nan, "", b""]))
    assert not any(map(is_missing, [0, 0.0, False, " ", "nan", b"\0", [], math.inf]))


def test_infinite_numbers_may_be_spelled():
    assert all(map(is_infinite, [math.inf, -math.inf, "inf", "-Infinity", Decimal("Infinity")]))
    assert not any(map(is_infinite, [1.0, "1", "x", None, [], 10**400, math.nan]))


def test_what_cannot_be_read_or_is_missing_is_left_out_and_the_order_stays():
    assert readable(["2", "x", None, 0, "1"], as_number) == [2.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        (True, "true"),
        (False, "false"),
        (1.0, "1"),
        (1, "1"),
        (-2.0, "-2"),
        (1.5, "1.5"),
        (Decimal("3.00"), "3"),
        (Decimal("0.5"), "0.5"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        ("1.0", "1.0"),
        ("red", "red"),
        (1e20, str(10**20)),
    ],
)
def test_labels_have_one_name_however_they_were_read(cell, label):
    assert as_label(cell) == label


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1.5", 1.5),
        (" 2 ", 2.0),
        (3, 3.0),
        (Decimal("0.25"), 0.25),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (datetime.date(1970, 1, 3), 2.0),
        (datetime.datetime(1970, 1, 2, 6), 1.25),
        (datetime.timedelta(hours=-6), -0.25),
        (datetime.datetime(1970, 1, 2, 2, tzinfo=EAST), 1.0),
        (datetime.time(18), 0.75),
        (datetime.time(0, 1), 60 / 86400),
        (datetime.time(0, 0, 1, 500_000), 1.5 / 86400),
    ],
)
def test_numbers_dates_and_times_are_numbers(cell, number):
    assert as_number(cell) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize("cell", [None, math.nan, "nan", "", " ", "NA", "n/a", "#N/A", "null", "None", "nil", "-", "?"])
def test_spellings_of_a_missing_number(cell):
    assert as_number(cell) is None
    assert as_date(cell) is None


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("x" * 50, f"^must be a number, got '{'x' * 40}'$"),
        ([1], "^must be a number, got a value of type list$"),
        (math.inf, "^must be a finite number, got inf$"),
        ("-inf", "^must be a finite number, got '-inf'$"),
        (10**400, "^must be a number, got a value of type int$"),
    ],
)
def test_what_is_no_number_is_said(cell, reason):
    with pytest.raises(ValueError, match=reason):
        as_number(cell)


@pytest.mark.parametrize(
    ("cell", "date"),
    [
        ("2020-01-31", DAY),
        (" 2020-01-31 ", DAY),
        ("2020-01", DAY.replace(day=1)),
        (datetime.date(2020, 1, 31), DAY),
        ("2020-01-31T12:00:00Z", DAY.replace(hour=12)),
        ("2020-01-31T12:00:00+02:00", DAY.replace(hour=10)),
        (DAY, DAY),
        ("2020-01-31 12:00:00.5z", DAY.replace(hour=12, microsecond=500_000)),
        (DAY.replace(hour=2, tzinfo=EAST), DAY),
        ("2020-01-31T00:00:00.123456789+00:00", DAY.replace(microsecond=123_456)),
        (60, datetime.datetime(1970, 1, 1, 0, 1)),
        (-1.5, datetime.datetime(1969, 12, 31, 23, 59, 58, 500_000)),
        (Decimal(86400), datetime.datetime(1970, 1, 2)),
        (253402300799, datetime.datetime(9999, 12, 31, 23, 59, 59)),
        (1580428800 * 10**3, DAY),
        (1580428800 * 10**6, DAY),
        (1580428800 * 10**9, DAY),
        (253402300800, datetime.datetime(1978, 1, 11, 21, 31, 40, 800_000)),
    ],
)
def test_dates_in_utc_from_texts_and_numbers_of_any_unit(cell, date):
    assert as_date(cell) == date


@pytest.mark.parametrize("cell", ["31.01.2020", "2020-13-01", "x" * 60, True, [1], 10**25, math.inf, Decimal("sNaN")])
def test_what_is_no_date_is_said(cell):
    shown = str(cell)[:40].replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(ValueError, match=rf"^must be a date \(as 2020-01-31 or .*\), got '{shown}'$"):
        as_date(cell)


def test_time_stamps_are_seconds_or_dates():
    assert as_seconds(1.5) == 1.5
    assert as_seconds(10**12) == 1e12  # no unit is guessed
    assert as_seconds(Decimal(2)) == 2.0
    assert as_seconds(datetime.timedelta(minutes=1)) == 60.0
    assert as_seconds("1970-01-01T00:01:00Z") == 60.0
    assert as_seconds(datetime.date(1970, 1, 2)) == 86400.0
    for cell in (None, math.nan, math.inf, ""):
        with pytest.raises(ValueError, match=r"^must be a time stamp \(seconds or a date\), got "):
            as_seconds(cell)
    with pytest.raises(ValueError, match="must be a date"):
        as_seconds(True)
