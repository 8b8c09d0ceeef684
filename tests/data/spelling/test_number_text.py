"""Numbers as people write them are read as the numbers that they are, and nothing else is."""

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.data.spelling.number_text import NumberText, may_be_a_code, units

WAYS = [NumberText(d, t, u) for d in ".," for t in ("", ",", ".", " ", "'") if t != d for u in ("", "$", "%", "EUR")]


def read(way, *texts):
    plain, fits = way.read(pyarrow.array(texts))
    return [float(text) if there else None for text, there in zip(plain.to_pylist(), fits, strict=True)]


@pytest.mark.parametrize(
    ("way", "text", "value"),
    [
        (NumberText(".", ","), "1,037.5", 1037.5),
        (NumberText(".", ","), "12,34,567", 1234567),
        (NumberText(".", ","), "(1,000)", -1000),
        (NumberText(",", "."), "1.234", 1234),
        (NumberText(",", " "), "1\u202f037,5", 1037.5),
        (NumberText(".", "'"), "1\u2019037", 1037),
        (NumberText(), "\u22125", -5),
        (NumberText(), " .5 ", 0.5),
        (NumberText(",", ""), "-1,5e3", -1500),
        (NumberText(".", ",", "$"), "-$1,000", -1000),
        (NumberText(".", ",", "$"), "($ 1,000.50)", -1000.5),
        (NumberText(".", ",", "$"), "7", 7),
        (NumberText(".", "", "EUR"), "1.50 EUR", 1.5),
        (NumberText(".", "", "%"), "1.5 %", 1.5),
        (NumberText(".", "", "%"), "0", 0),
    ],
)
def test_what_is_written_so(way, text, value):
    assert read(way, text) == [value]


@pytest.mark.parametrize(
    ("way", "text"),
    [
        (NumberText(".", ","), "0,250"),
        (NumberText(".", ","), "1,03"),
        (NumberText(",", "."), "0.25"),
        (NumberText(",", "."), "1.2345"),
        (NumberText(".", " "), "030 123"),
        (NumberText(".", "", "%"), "5"),
        (NumberText(".", "", "$"), "€5"),
        (NumberText(".", ","), "(-5)"),
        (NumberText(), "Total"),
        (NumberText(), ""),
    ],
)
def test_what_is_not(way, text):
    assert read(way, text) == [None]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(WAYS), st.integers(-(10**12), 10**12), st.integers(0, 4))
def test_numbers_are_read_back(way, scaled, decimals):
    sign, digits = "-" * (scaled < 0), str(abs(scaled)).zfill(decimals + 1)
    whole, rest = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    grouped = f"{int(whole):,}".replace(",", way.thousands)
    number = grouped + (way.decimal + rest if rest else "")
    text = f"{sign}{way.unit}{number}" if way.unit == "$" else f"{sign}{number}{way.unit}"
    assert read(way, text) == [pytest.approx(scaled / 10**decimals, rel=1e-15)]


def test_units_are_told_from_words():
    count, found = units(["$1,000", "1.50 EUR", "5%", "1'037", "(5)", "some", "12 apples", "555-1234"])
    assert (count, dict(found)) == (5, {"$": 1, "EUR": 1, "%": 1, "": 2})


def test_codes_have_one_length():
    way = NumberText(".", " ")
    assert may_be_a_code(pyarrow.array([f"555 123 {i:03d}" for i in range(9)]), way)
    assert not may_be_a_code(pyarrow.array(["1 000 000", "25 000 000", "3 000"]), way)
    assert not may_be_a_code(pyarrow.array([f"555,123,{i:03d}" for i in range(9)]), NumberText(".", ","))


def test_a_way_as_people_and_as_python_have_it():
    texts = pyarrow.array
    assert [str(way) for way in (NumberText(), NumberText(",", ".", "€"), NumberText(".", ",", "%"))] == [
        "1234.5",
        "€1.234,5",
        "1,234.5%",
    ]
    assert NumberText(",", ".").shown(texts(["1.234,5"])) == "1234.5"
    assert (NumberText().what, NumberText().tells("12345")) == ("numbers", 5)
    assert NumberText().as_it_is(texts([" 5", "1.5"]))
    assert not NumberText().as_it_is(texts(["5", "x"]))
    assert not NumberText(".", ",").as_it_is(texts(["5", "1,000"]))
    assert NumberText(".", ",").as_it_is(texts(["5", "1000"]))
    assert (NumberText().plain("1.5"), NumberText().plain("")) == (1.5, None)
    with pytest.raises(ValueError, match=r"^must be written as 1\.234,5, got '1\.5'$"):
        NumberText(",", ".").plain("1.5")
    with pytest.raises(ValueError, match="must be a number"):
        NumberText().plain("x")


def test_a_code_has_seven_digits_at_least_and_groups():
    way = NumberText(".", " ")
    assert may_be_a_code(pyarrow.array(["1 234 567", "9 876 543", "2 345 678"]), way)
    assert may_be_a_code(pyarrow.array(["1.234.567", "9.876.543", "2.345.678"]), NumberText(",", "."))
    assert not may_be_a_code(pyarrow.array(["1 234 567", "9 876 543"]), way)
    assert not may_be_a_code(pyarrow.array(["123 456", "987 654", "234 567"]), way)
    assert not may_be_a_code(pyarrow.array(["1 234 567", "9 876 543", "2 345 67x"]), way)
    assert not may_be_a_code(pyarrow.array(["1 234 567", "9 876 543", "2 345 678"]), NumberText(".", " ", "$"))
