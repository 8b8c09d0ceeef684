"""Dates as people write them are read as the dates that they are."""

import datetime

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.data.spelling.date_text import DateText, possible_formats

FORMATS = [
    *("%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%d-%b-%Y", "%Y-%m-%d"),
    *("%a, %d %b %Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%Y/%m/%d %H:%M:%S", "%d%b%Y:%H:%M:%S", "%Y%m%d"),
]


def read(format, *texts):
    dates, fits = DateText(format).read(pyarrow.array(texts))
    return [str(date.astype("datetime64[s]")) if there else None for date, there in zip(dates, fits, strict=True)]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FORMATS), st.datetimes(datetime.datetime(1000, 1, 1), datetime.datetime(9999, 12, 31)))
def test_dates_are_read_back(format, date):
    date = date.replace(microsecond=0) if DateText(format).timed else datetime.datetime(date.year, date.month, date.day)
    text = date.strftime(format.replace("%Y", f"{date.year:04d}"))  # strftime fills up no years
    assert read(format, text) == [date.isoformat()]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(FORMATS[:-1]), st.dates(datetime.date(1000, 1, 1), datetime.date(9999, 12, 31)))
def test_their_format_is_among_the_possible_ones(format, date):
    text = datetime.datetime(date.year, date.month, date.day, 15, 4, 5).strftime(format)
    assert DateText(format.replace("%B", "%b")) in possible_formats([text])


@pytest.mark.parametrize(
    ("format", "text", "date"),
    [
        ("%d/%m/%Y", "5/1/2020", "2020-01-05T00:00:00"),
        ("%d/%m/%Y", "31/02/2020", None),
        ("%d/%m/%Y", "29/02/2020", "2020-02-29T00:00:00"),
        ("%d/%m/%Y", "01/31/2020", None),
        ("%d %b %Y", "5 Sept. 2020", "2020-09-05T00:00:00"),
        ("%d %b %Y", "5 Foo 2020", None),
        ("%d/%m/%y", "31/01/68", "2068-01-31T00:00:00"),
        ("%d/%m/%y", "31/01/69", "1969-01-31T00:00:00"),
        ("%b %Y", "Jan 2020", "2020-01-01T00:00:00"),
        ("%m/%d/%Y %I:%M %p", "1/5/2020 12:30 am", "2020-01-05T00:30:00"),
        ("%m/%d/%Y %I:%M %p", "1/5/2020 12:30 PM", "2020-01-05T12:30:00"),
        ("%d %b %Y %H:%M:%S %z", "05 Jan 2020 10:00:00 -0530", "2020-01-05T15:30:00"),
        ("%d %b %Y %H:%M:%S %z", "05 Jan 2020 10:00:00 GMT", "2020-01-05T10:00:00"),
        ("%Y", "0000", None),
    ],
)
def test_what_a_text_means(format, text, date):
    assert read(format, text) == [date]


def test_seconds_may_have_a_fraction():
    dates, _ = DateText("%Y/%m/%d %H:%M:%S").read(pyarrow.array(["2020/01/05 10:00:01.25"]))
    assert dates[0] == np.datetime64("2020-01-05T10:00:01.250000")


@pytest.mark.parametrize("format", ["%d/%m", "%d %Y", "%q", "%d/%d/%Y", ""])
def test_a_format_that_is_none(format):
    with pytest.raises(ValueError, match=r"it has|twice"):
        DateText(format)


def test_only_day_and_month_change_places():
    assert DateText("%d/%m/%Y %H:%M").other_order == DateText("%m/%d/%Y %H:%M")
    assert DateText("%Y/%m/%d").other_order is DateText("%d %b %Y").other_order is None


def test_a_format_as_people_and_as_iso_have_it():
    texts = pyarrow.array
    day, clock = DateText("%d/%m/%Y"), DateText("%d/%m/%Y %H:%M")
    assert (day.what, str(day), day.timed, clock.timed, DateText("%Y %I").timed) == (
        "dates", "%d/%m/%Y", False, True, True
    )  # fmt: skip
    assert day.shown(texts(["5/1/2020"])) == "2020-01-05 (%d/%m/%Y)"
    assert clock.shown(texts(["5/1/2020 7:08"])) == "2020-01-05 07:08:00 (%d/%m/%Y %H:%M)"
    assert (day.tells("31/1/2020"), day.tells(" 5/1/2020 "), DateText("%Y").tells("2020")) == (True, False, False)
    iso = DateText("%Y-%m-%d")
    assert iso.as_it_is(texts([" 2020-01-05", "2021-12-31"]))
    assert not iso.as_it_is(texts(["2020-01-05", "2020-1-05"]))
    assert not iso.as_it_is(texts(["2020-01-05", "2020-02-31"]))
    assert DateText("%Y-%m-%dT%H:%M").as_it_is(texts(["2020-01-05T07:08"]))
    assert day.plain("2020-01-05") == datetime.datetime(2020, 1, 5)
    with pytest.raises(ValueError, match="must be a date"):
        day.plain("5/1/2020")


def test_directives_have_their_parts_of_a_date():
    assert read("%d.%m.%Y %I %p", "5.1.2020 12 a.m.", "5.1.2020 11 PM", "5.1.2020 13 PM") == [
        "2020-01-05T00:00:00", "2020-01-05T23:00:00", None
    ]  # fmt: skip
    assert read("%d.%m.%Y %I", "5.1.2020 12", "5.1.2020 1") == ["2020-01-05T12:00:00", "2020-01-05T01:00:00"]
    assert read("%Y", "2020", "0001") == ["2020-01-01T00:00:00", "0001-01-01T00:00:00"]
    assert read("%m/%Y", "12/1969", "13/1969") == ["1969-12-01T00:00:00", None]
    zone = "%Y-%m-%d %H:%M:%S %z"
    assert read(zone, *(f"2020-01-05 10:00:30 {at}" for at in ("Z", "utc", "+01:30", "-0100", "+10:30"))) == [
        "2020-01-05T10:00:30", None, "2020-01-05T08:30:30", "2020-01-05T11:00:30", "2020-01-04T23:30:30",
    ]  # fmt: skip
    assert read("%A, %B %d, %Y 100%%", "Sunday, January 05, 2020 100%") == ["2020-01-05T00:00:00"]
    assert read("%d/%m/%Y %S", "5/1/2020 07,5") == ["2020-01-05T00:00:07"]
    assert read("%d %b %Y", "1 feb 2019", "30 Feb 2019", "1 Dec 1999") == [
        "2019-02-01T00:00:00", None, "1999-12-01T00:00:00"
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"it has '%q'; it must be made of %d, %m, %Y, %y, %b, %a, %H"):
        DateText("%q")
    with pytest.raises(ValueError, match=r"it has no year \(%Y or %y\)"):
        DateText("%d/%m")
    with pytest.raises(ValueError, match=r"it has a day without a month \(%m or %b\)"):
        DateText("%d %Y")


def test_possible_formats_are_those_of_any_text():
    def found(*texts):
        return [date.format for date in possible_formats(texts)]

    assert found("5/1/2020") == ["%d/%m/%Y", "%m/%d/%Y"]
    assert found("31/1/2020") == ["%d/%m/%Y"]
    assert found(" 2020-01-31 ", "31.12.20") == ["%Y-%m-%d", "%d.%m.%y"]
    assert found("2020/01/31T10:00") == ["%Y/%m/%dT%H:%M"]
    assert found("2020/01/31, 10:00:00 +0100") == ["%Y/%m/%d, %H:%M:%S %z"]
    assert found("Jan 2020", "Jan", "x" * 65) == ["%b %Y"]
    assert found("2020/01/31" + " " * 54 + "1") == found("1" * 65) == []
