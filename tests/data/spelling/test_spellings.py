"""Cells become what they mean, as a run has found out."""

import datetime
import json

import pyarrow
import pytest

from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.spelling.spellings import Spelling, Spellings, SpellingSettings
from perceiver_pytorch.data.values import as_date, as_number

EUROPE = Spellings(
    columns=(
        Spelling("price", decimal=",", thousands="."),
        Spelling("day", date_format="%d/%m/%Y"),
        Spelling("country", missing=("",)),
    )
)


def read(name, *cells, spellings=EUROPE):
    return spellings.read(name, pyarrow.array(cells)).to_pylist()


def test_numbers_dates_and_marks():
    assert read("price", "1.234", "0,25", "NA", " none ", None) == [1234.0, 0.25, None, None, None]
    assert read("day", "31/01/2020", "?", "nil") == [datetime.date(2020, 1, 31), None, None]
    assert read("other", "NA", "n/a", " - ", "?", "NULL", "", "none", "a") == [None] * 6 + ["none", "a"]
    assert read("country", "NA", "DE", "") == ["NA", "DE", None]


def test_texts_in_a_dictionary_are_texts():
    cells = pyarrow.array(["1.234", "NA", "1.234"]).dictionary_encode()
    assert EUROPE.read("price", cells).to_pylist() == [1234.0, None, 1234.0]
    assert EUROPE.read("other", cells).to_pylist() == ["1.234", None, "1.234"]


def test_chunks_are_read_alike():
    cells = pyarrow.chunked_array([["1.234"], [], ["0,5", "1.234"]])
    assert EUROPE.read("price", cells).to_pylist() == [1234.0, 0.5, 1234.0]


@pytest.mark.parametrize("cells", [pyarrow.array([1.5, None]), pyarrow.array(["a", None]), pyarrow.array([["NA"]])])
def test_what_needs_no_change_stays_the_same_object(cells):
    assert EUROPE.read("other", cells) is cells
    assert cells.type == "string" or EUROPE.read("price", cells) is cells


def test_a_cell_that_is_written_otherwise_is_no_number_at_all():
    """ "0.25" is 0.25 in one country and nothing in another: it must not become a number without a word."""
    first, second = read("price", "1.234", "0.25")
    assert as_number(first) == 1234
    with pytest.raises(ValueError, match=r"'0.25 \(written otherwise than 1.234,5\)'"):
        as_number(second)


def test_a_date_that_is_written_otherwise_is_none_unless_it_is_plain():
    first, plain, other = read("day", "31/01/2020", "2020-02-01", "01/31/2020")
    assert [as_date(first).day, as_date(plain).month] == [31, 2]
    with pytest.raises(ValueError, match="must be a date"):
        as_date(other)


def test_whole_numbers_are_dates_where_a_format_says_so():
    spellings = Spellings(columns=(Spelling("day", date_format="%Y%m%d"),))
    assert read("day", 20200131, spellings=spellings) == [datetime.date(2020, 1, 31)]


def test_they_are_kept_as_json():
    assert Spellings.from_dict(json.loads(json.dumps(EUROPE.to_dict())), "x") == EUROPE


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ([], "must be an object"),
        ({"missing": []}, "list of columns"),
        ({"missing": 3, "columns": []}, "missing"),
        ({"missing": [], "columns": [{"column": "x", "decimal": ";"}]}, "decimal"),
        ({"missing": [], "columns": [{"column": "x", "date_format": "%q"}]}, "date_format"),
    ],
)
def test_damaged_ones_are_refused(given, match):
    with pytest.raises(DataError, match=match):
        Spellings.from_dict(given, "input spec.spellings")


def test_settings_are_checked():
    with pytest.raises(ValueError, match="must differ"):
        SpellingSettings(decimal=",", thousands=",")
    with pytest.raises(ValueError, match="date_format must be a format such as %d/%m/%Y, got 'day'"):
        SpellingSettings(date_format="day")


def test_what_is_read_again_as_text():
    assert EUROPE.as_written == ("price", "day")


def test_dates_with_a_time_are_timestamps():
    spellings = Spellings(
        columns=(Spelling("day", date_format="%d/%m/%Y %H:%M"), Spelling("d", date_format="%d/%m/%Y"))
    )
    assert read("day", "31/01/2020 10:30", spellings=spellings) == [datetime.datetime(2020, 1, 31, 10, 30)]
    assert read("day", "31/01/2020 10:30", "x", spellings=spellings) == [
        "2020-01-31T10:30:00.000000", "x (written otherwise than %d/%m/%Y %H:%M)"
    ]  # fmt: skip
    assert read("d", "31/01/2020", "x", spellings=spellings)[0] == "2020-01-31"


def test_a_mark_is_a_short_text():
    mark = "x" * 32
    spellings = Spellings(missing=("", mark, f"{mark}x"))
    assert read("other", mark.upper(), f"{mark}x", spellings=spellings) == [None, f"{mark}x"]
    assert Spellings(missing=()).read("other", pyarrow.array(["", "NA"])).to_pylist() == ["", "NA"]


def test_a_separator_of_thousands_may_be_none_at_all():
    assert SpellingSettings(thousands="", decimal=".").thousands == ""
    assert (Spelling("x").number, Spelling("x").date, Spelling("x", thousands=",").number) == (None, None, None)
    for wrong in ({"thousands": ";"}, {"decimal": "'"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be one of"):
            Spelling("x", **wrong)
