import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.data import DataError
from perceiver_pytorch.data.predicate import Predicate

TABLE = pa.table(
    {
        "age": pa.array([3, 18, 40, None], pa.int64()),
        "height": [1.0, float("nan"), 1.8, 1.7],
        "country": ["DE", "FR", "it's", None],
        "my column": [True, False, None, True],
        "day": [datetime.date(2024, 1, day) for day in (1, 2, 3, 4)],
        "price": pa.array([Decimal("1.25"), Decimal("2.00"), Decimal("2.50"), None], pa.decimal128(10, 2)),
        "large": pa.array([1, 2**63 + 5, 2**64 - 1, None], pa.uint64()),
        "single": pa.array([0.5, 0.1, float("nan"), None], pa.float32()),
        "time": pa.array([1, 10**9, 10**9 + 1, None], pa.timestamp("ns")),
        "kind": pa.array(["x", "y", "x", "y"]).dictionary_encode(),
    }
)


def rows(text):
    return Predicate.of(text).rows(TABLE.append_column("row", [range(4)]), "table").column("row").to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age >= 18", [1, 2]),
        ("age > 17.5 and age < 1e2", [1, 2]),
        ("not age = 3", [1, 2]),
        ("age != 3", [1, 2]),
        ("age <> 3 or country is null", [1, 2, 3]),
        ("age is not null and height is null", [1]),
        ("country in ('DE', 'FR')", [0, 1]),
        ("country not in ('DE')", [1, 2]),
        ("country = 'it''s'", [2]),
        ('"my column" = true', [0, 3]),
        ("`my column` = FALSE", [1]),
        ("day >= '2024-01-03'", [2, 3]),
        ("kind == 'x' AND (age < 5 OR age > 30)", [0, 2]),
        ("age < 5 or age > 30 and country = 'DE'", [0]),
        ("not height > 1.75", [0, 3]),
        ("height != 1", [2, 3]),
        ("not (height = 1 or age = 40)", []),
        ("not (height = 1.8 and age < 99)", [0, 3]),
        ("height not in (1, 1.8)", [3]),
        ("height in (1, 1.8)", [0, 2]),
        ("not (height is null)", [0, 2, 3]),
        ("not not age in (3, 40.0, 18.5, 99999)", [0, 2]),
        ("single in (0.5, 0.1)", [0]),
        ("kind in ('x', 'z')", [0, 2]),
        ("kind not in ('x')", [1, 3]),
        ("day in ('2024-01-03')", [2]),
        ("time in ('1970-01-01 00:00:01')", [1]),
        ('"my column" in (true)', [0, 3]),
        ("price >= 2", [1, 2]),
        ("price > 1.249 and price in (1.25, 2.5, 1.249)", [0, 2]),
        ("large >= 9223372036854775808", [1, 2]),
        ("large in (9223372036854775813, 1, -1)", [0, 1]),
        ("height < 99999999999999999999", [0, 2, 3]),
        (f"age in ({', '.join(map(str, range(4, 20_000)))})", [1, 2]),
        (" or ".join(f"age = {number}" for number in range(4, 304)), [1, 2]),
    ],
)
def test_the_rows_that_a_condition_holds_for(text, expected):
    assert rows(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "ends too early"),
        ("age >=", "ends too early"),
        ("age >= 18 age", "from 'age'"),
        ("__import__('os').system('x')", r"from \"\.system"),
        ("age = country", "from 'country'"),
        ("age in ()", r"from '\)'"),
        ("(age = 1", "ends too early"),
        ("age; drop", "from ';"),
        ("age = 'open", "from \"'open"),
        ("(" * 60 + "age = 1" + ")" * 60, "more than 50 parentheses"),
        (" or ".join(["age = 1"] * 301), "more than 300 comparisons"),
        ("not " * 2000 + "age = 1", "more than 50 parentheses"),
    ],
)
def test_what_is_no_condition_is_refused_where_it_stops_making_sense(text, words):
    with pytest.raises(ValueError, match=words):
        Predicate.of(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agee = 1", r"no column 'agee' for --where \(did you mean 'age'"),
        ("age = 'x'", "column 'age', which holds int64, with 'x'"),
        ("age = 99999999999999999999", "column 'age', which holds int64, with 99999999999999999999"),
        ("large in (18446744073709551616)", "column 'large', which holds uint64"),
        ("country = 1", "texts stand in single quotes"),
        ("day > 'soon'", "column 'day'"),
    ],
)
def test_a_condition_that_does_not_fit_the_table_names_the_column(text, words):
    with pytest.raises(DataError, match=words):
        rows(text)


@given(st.text(max_size=30))
def test_whatever_is_written_is_read_or_refused(text):
    try:
        Predicate.of(text)
    except ValueError:
        return
    assert text.strip()


@given(st.integers(0, 50), st.integers(0, 50), st.sampled_from(["<", "<=", "=", "!=", ">", ">="]))
def test_comparisons_are_those_of_python(low, high, sign):
    compare = {"=": int.__eq__, "!=": int.__ne__, "<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__}
    expected = [i for i, age in enumerate([3, 18, 40]) if compare[sign](age, low) or age == high]
    assert rows(f"age {sign} {low} or age = {high}") == expected
