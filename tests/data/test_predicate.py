import datetime

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
