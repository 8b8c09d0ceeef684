import datetime
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_helpers import declared, fitted, table_of, write_table
from perceiver_pytorch._settings import Settings
from perceiver_pytorch.data import DataError, DatesSpec, Where, load_table, recognise_columns
from perceiver_pytorch.data.kinds.date import DateKind
from perceiver_pytorch.data.losses import Change
from perceiver_pytorch.data.values import as_date

WHERE = Where("here.csv", None, 17)
EAST = datetime.timezone(datetime.timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2020-01-31", datetime.datetime(2020, 1, 31)),
        ("2020-01", datetime.datetime(2020, 1, 1)),
        ("2020-01-31T12:30:00Z", datetime.datetime(2020, 1, 31, 12, 30)),
        ("2020-01-31 12:30:00.5+02:00", datetime.datetime(2020, 1, 31, 10, 30, 0, 500000)),
        (datetime.date(2020, 1, 31), datetime.datetime(2020, 1, 31)),
        (datetime.datetime(2020, 1, 31, 1, tzinfo=EAST), datetime.datetime(2020, 1, 31)),
        (1580428800, datetime.datetime(2020, 1, 31)),
        (1580428800000, datetime.datetime(2020, 1, 31)),
        (1580428800000000000, datetime.datetime(2020, 1, 31)),
        (None, None),
        ("", None),
        ("n/a", None),
        (math.nan, None),
    ],
)  # fmt: skip
def test_dates_of_every_form(value, expected):
    assert as_date(value) == expected


@pytest.mark.parametrize("value", ["yesterday", "2020-13-01", "10000-01-01", math.inf, True, [1], "31.01.2020", b"x"])
def test_what_is_no_date_is_named(value):
    with pytest.raises(DataError, match=r"row 17, column 'day': must be a date"):
        DatesSpec("dates", ("day",), (0.0,), (1.0,)).encode({"day": value}, WHERE)


@given(st.datetimes())
def test_every_date_has_finite_features_on_circles(date):
    values = DatesSpec("dates", ("day",), (0.0,), (100.0,)).encode({"day": date}, WHERE).values
    assert values.shape == (1, 12)
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= 10
    np.testing.assert_allclose((values[0, 2:].reshape(5, 2) ** 2).sum(1), 1, rtol=1e-5)


def test_features_say_month_weekday_and_hour():
    spec = DatesSpec("dates", ("day",), (0.0,), (1.0,))

    def features(*date):
        return spec.encode({"day": datetime.datetime(*date)}, WHERE).values[0, 2:].reshape(5, 2)

    assert np.array_equal(features(2019, 3, 4)[1], features(2021, 3, 20)[1])  # month
    assert np.array_equal(features(2024, 1, 1)[3], features(2024, 1, 8)[3])  # Monday
    assert not np.array_equal(features(2024, 1, 1)[3], features(2024, 1, 2)[3])
    np.testing.assert_allclose(features(2024, 1, 1, 6)[4], [1, 0], atol=1e-6)  # a quarter of a day


def test_elapsed_time_is_standardised_clipped_and_masked(tmp_path):
    days = [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 3), None, datetime.datetime(2020, 1, 2)] * 5
    spec = DatesSpec.fit("dates", {"a": days, "b": [None] * 20})
    encoded = spec.encode({"a": "2020-01-02", "b": None}, WHERE)
    assert encoded.values[0, 0] == pytest.approx(0)
    assert encoded.mask is None
    assert encoded.values[1].tolist() == [0.0] * 12 + [1.0]  # missing, as in the train rows
    full = DatesSpec.fit("dates", {"a": days[:2], "b": days[:2]})
    assert full.encode({"a": "2020-01-02", "b": None}, WHERE).mask.tolist() == [True, False]
    assert spec.encode({"a": None, "b": ""}, WHERE) is None
    assert spec.encode({"a": "9999-12-31", "b": None}, WHERE).changes == (Change("clipped", "a", "9999-12-31"),)


def test_dates_are_recognised_and_learned(tmp_path):
    table = table_of(
        tmp_path,
        day=[datetime.date(2020, 1, 1 + i) for i in range(20)],
        text=[f"2020-02-{1 + i:02d}T10:00:00" for i in range(20)],
        other=[f"the {i}th day of all" for i in range(20)],
        number=[f"{2000 + i}" for i in range(20)],
        y=["a", "b"] * 10,
    )
    kinds = recognise_columns(table, target="y", split=None)
    assert kinds == {"day": "date", "text": "date", "other": "text", "number": "number"}
    spec, _ = fitted(table, "y")
    assert spec.modalities[-1].columns == ("day", "text")
    csv = write_table(tmp_path, "when,y\n" + "".join(f"2021-05-0{1 + i % 9},{'ab'[i % 2]}\n" for i in range(20)))
    assert recognise_columns(csv, target="y", split=None) == {"when": "date"}


def test_a_date_that_python_has_not_is_named(tmp_path):
    import pyarrow.parquet

    path = tmp_path / "far.parquet"
    pyarrow.parquet.write_table(pa.table({"when": pa.array([0, 2**62], pa.timestamp("us")), "y": ["a", "b"]}), path)
    with pytest.raises(DataError, match="column 'when' has a date outside the years 1 to 9999"):
        load_table(path)


def test_all_parts_of_a_date():
    spec = DatesSpec("dates", ("day",), (18262.0,), (10.0,))  # 2020-01-01
    values = spec.encode({"day": datetime.datetime(2020, 7, 2, 6, 30, 15, 500_000)}, WHERE).values[0]
    day = (6 * 3600 + 30 * 60 + 15.5) / 86400
    shares = [(183 + day) / 366, 6 / 12, 1 / 31, 3 / 7, day]
    expected = [f(2 * math.pi * share) for share in shares for f in (math.sin, math.cos)]
    np.testing.assert_allclose(values[2:], expected, atol=1e-6)
    assert values[0] == 10  # 183 days later
    assert values[1] == pytest.approx(50 - 18262 / 365.2425, abs=1e-4)
    odd = spec.encode({"day": datetime.datetime(2021, 12, 31)}, WHERE).values[0]
    np.testing.assert_allclose(
        odd[2:4], [math.sin(2 * math.pi * 364 / 365), math.cos(2 * math.pi * 364 / 365)], atol=1e-6
    )
    wide = DatesSpec("dates", ("day",), (0.0,), (3652.425,)).encode({"day": "1990-01-01"}, WHERE).values[0]
    assert wide[1] == pytest.approx(2)
    assert wide[0] == pytest.approx(7305 / 3652.425)


def test_moments_of_dates():
    first, second = datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 3)
    spec = DatesSpec.fit("dates", {"a": [first, None, second], "b": [None], "c": [first, first]})
    assert (spec.means, spec.stds) == ((18263.0, 0.0, 18262.0), (1.0, 1.0, 1.0))
    assert (spec.channels, spec.axes, spec.name, spec.columns) == (13, (3,), "dates", ("a", "b", "c"))
    near = DatesSpec.fit("dates", {"a": [first, first + datetime.timedelta(seconds=1)]})
    assert near.stds[0] == pytest.approx(0.5 / 86400, rel=1e-3)
    assert spec.note() == ("mostly 2020-01-01 to 2020-01-03, 1969-12-31 to 1970-01-02, 2019-12-31 to 2020-01-02")
    assert DatesSpec("dates", ("a",), (1e9,), (1.0,)).note() == "mostly ? to ?"


def test_dates_of_an_early_version_are_read_as_they_were():
    spec = DatesSpec("dates", ("a", "b"), (0.0, 0.0), (1.0, 1.0))
    assert (spec.channels, spec.model_input().stem) == (12, None)
    assert spec.encode({"a": "1970-01-02", "b": None}, WHERE).mask.tolist() == [True, False]
    now = DatesSpec.fit("dates", {"a": [datetime.datetime(2020, 1, 1)]})
    assert now.model_input().stem == {"name": "numbers", "columns": 1, "input_channels": 13}
    with pytest.raises(ValueError, match=r"^gaps must have one entry per column$"):
        DatesSpec("dates", ("a", "b"), (0.0, 0.0), (1.0, 1.0), (True,))


def test_ten_deviations_are_kept():
    spec = DatesSpec("dates", ("a", "b"), (0.0, 0.0), (1.0, 1.0))
    assert spec.encode({"a": "1970-01-11", "b": None}, WHERE).changes == ()
    late = spec.encode({"a": "1970-01-11T00:00:01", "b": "1969-12-01"}, WHERE)
    assert [change.column for change in late.changes] == ["a", "b"]
    assert late.values[:, 0].tolist() == [10, -10]
    assert late.mask is None
    assert late.values.dtype == np.float32


def test_what_the_kind_declares():
    assert declared(DateKind()) == ("date", (DatesSpec, "date", "float32"), Settings, Settings, True, True)
