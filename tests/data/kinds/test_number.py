"""Number columns."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_helpers import declared
from perceiver_pytorch._settings import Settings
from perceiver_pytorch.data import (
    DataError,
    NumbersSpec,
    Where,
)
from perceiver_pytorch.data.kinds.number import NumberKind
from perceiver_pytorch.data.losses import Change

WHERE = Where("here.csv", Path("/nowhere"), 17)


class TestNumbers:
    spec = NumbersSpec.fit("numbers", {"a": [1.0, 3.0, None], "b": [5.0, 5.0, 5.0], "c": [None, None, None]})

    def test_moments_leave_missing_values_out(self):
        assert self.spec.means == (2.0, 5.0, 0.0)
        assert self.spec.stds == (1.0, 1.0, 1.0)

    @pytest.mark.parametrize(("size", "step"), [(1e15, 1.0), (9e15, 2.0), (0.0, 1e-15), (0.0, 1e-200), (1e6, 1e-8)])
    def test_numbers_that_differ_little_are_told_apart(self, size, step):
        numbers = [size + step * i for i in range(40)]
        spec = NumbersSpec.fit("numbers", {"a": numbers})
        encoded = [spec.encode({"a": number}, WHERE) for number in numbers]
        assert not any(one.changes for one in encoded)
        scores, values = np.array([one.values[0, :2] for one in encoded]).T
        assert values.std() == pytest.approx(1, abs=0.02)
        assert (np.diff(values) > 0).all()
        assert (np.diff(scores) > 0).all()

    @pytest.mark.parametrize("number", [0.1, 1e16, 12345678.9, -3e-200])
    def test_equal_numbers_are_zero(self, number):
        spec = NumbersSpec.fit("numbers", {"a": [number] * 40})
        assert spec.stds == (1.0,)
        assert spec.encode({"a": number}, WHERE).values[0] == pytest.approx([0, 0, 0], abs=1e-6)

    def test_values_are_standardised_and_clipped(self):
        encoded = self.spec.encode({"a": 99, "b": "4.5", "c": float("nan")}, WHERE)
        assert encoded.values[:, 1].tolist() == [10.0, -0.5, 0.0]
        assert encoded.changes == (Change("clipped", "a", "99"),)
        assert self.spec.encode({"a": None, "b": "NA", "c": ""}, WHERE) is None

    def test_a_missing_number_is_a_token_where_train_rows_lack_it_too(self):
        assert self.spec.gaps == (True, False, True)
        encoded = self.spec.encode({"a": None, "b": 5, "c": None}, WHERE)
        assert encoded.mask is None
        assert encoded.values[[0, 2]].tolist() == [[0.0, 0.0, 1.0]] * 2
        assert self.spec.encode({"a": 1, "b": None, "c": None}, WHERE).mask.tolist() == [True, False, True]

    @pytest.mark.parametrize("cell", [2**53 + 1, "9007199254740993", Decimal(2**60 + 1)])
    def test_digits_that_a_float_does_not_hold_are_told(self, cell):
        assert Change("digits", "a", str(cell)) in self.spec.encode({"a": cell, "b": 1, "c": 1}, WHERE).changes

    @pytest.mark.parametrize("cell", [2**53, 2**60, "9007199254740992", 1e300, "1e300", "1234567890123456"])
    def test_digits_that_a_float_holds_are_not(self, cell):
        (change,) = self.spec.encode({"a": cell, "b": 1, "c": 1}, WHERE).changes
        assert change == Change("clipped", "a", str(cell))

    @pytest.mark.parametrize("cell", ["abc", float("inf"), "-inf", [1], 10**400])
    def test_what_is_no_number_is_named(self, cell):
        with pytest.raises(DataError, match=r"row 17, column 'a': must be a .*number"):
            self.spec.encode({"a": cell, "b": 1, "c": 1}, WHERE)


def test_scores_are_those_of_a_normal_distribution():
    skewed = np.exp(np.random.default_rng(0).normal(3, 2, 4000)).tolist()
    spec = NumbersSpec.fit("n", {"a": skewed})
    scores = [spec.encode({"a": number}, WHERE).values[0, 0] for number in sorted(skewed)]
    assert np.mean(scores) == pytest.approx(0, abs=0.01)
    assert np.std(scores) == pytest.approx(1, abs=0.05)
    assert (np.diff(scores) >= 0).all()
    assert spec.encode({"a": 1e9}, WHERE).values[0, 0] == max(scores)  # beyond the train rows
    assert spec.encode({"a": -1e9}, WHERE).values[0, 0] == min(scores)


def test_a_value_of_many_rows_has_the_score_of_their_middle():
    spec = NumbersSpec.fit("n", {"a": [0.0] * 32 + [1.0] * 33})
    low, high = (spec.encode({"a": number}, WHERE).values[0, 0] for number in (0, 1))
    assert low == pytest.approx(-0.674, abs=0.03)  # a quarter of a normal distribution lies below
    assert high == pytest.approx(0.674, abs=0.03)


def test_a_spec_of_an_early_version_is_read_as_it_was():
    spec = NumbersSpec("n", ("a", "b"), (0.0, 1.0), (1.0, 2.0))
    encoded = spec.encode({"a": None, "b": 4}, WHERE)
    assert encoded.values.tolist() == [[0.0], [1.5]]
    assert encoded.mask.tolist() == [False, True]
    assert spec.model_input().stem is None


@pytest.mark.parametrize(
    ("quantiles", "gaps", "reason"),
    [
        (((0.0, 1.0),), (False,), "quantiles and gaps must have one entry per column"),
        (((0.0,), (0.0,)), (False,), "quantiles and gaps must have one entry per column"),
        (((0.0,), ()), (False, True), "the quantiles of 'b' must be one or more ascending numbers"),
        (((1.0, 0.0), (0.0,)), (False, True), "the quantiles of 'a' must be one or more ascending numbers"),
    ],
)
def test_wrong_quantiles_are_named(quantiles, gaps, reason):
    with pytest.raises(ValueError, match=f"^{reason}$"):
        NumbersSpec("n", ("a", "b"), (0.0, 1.0), (1.0, 2.0), quantiles, gaps)


def test_numbers_of_a_spec():
    assert NumbersSpec.fit("n", {"a": [1.0, 2.0]}).note() == "normal scores, and standardised by the train rows"
    assert NumbersSpec.fit("n", {"a": [1.0, 2.0]}).channels == 3
    assert NumbersSpec.fit("n", {"a": [1.0]}).model_input().stem == {
        "name": "numbers",
        "columns": 1,
        "input_channels": 3,
    }
    spec = NumbersSpec("n", ("a", "b"), (0.0, 1.0), (1.0, 2.0))
    assert (spec.axes, spec.channels, spec.shared, spec.vocab_size, spec.dtype) == ((2,), 1, False, 0, "float32")
    assert spec.note() == "standardised by the train rows"
    assert set(spec.changes) == {"clipped", "digits"}
    assert (NumberKind().together, NumberKind().plain, NumberKind().name) == (True, True, "number")


def test_ten_deviations_are_kept_and_marks_have_no_digits_to_lose():
    spec = NumbersSpec("n", ("a",), (1.0,), (2.0,))
    for cell, value, clipped in ((21, 10, False), (-19, -10, False), (21.001, 10, True), (-99, -10, True)):
        encoded = spec.encode({"a": cell}, WHERE)
        assert encoded.values[0, 0] == value
        assert bool(encoded.changes) == clipped
    huge = spec.encode({"a": np.float32(1e20)}, WHERE)  # no decimal number of Python's
    assert [change.what for change in huge.changes] == ["clipped"]
    assert spec.encode({"a": "9007199254740991"}, WHERE).changes[1:] == ()


@pytest.mark.parametrize(
    ("values", "mean", "std"),
    [
        ([], 0.0, 1.0),
        ([7.0], 7.0, 1.0),
        ([1.0, 3.0], 2.0, 1.0),
        ([-5.0, -5.0], -5.0, 1.0),
        ([1e15, 1e15 + 2], 1e15 + 1, 1.0),
        ([0.0, 2e-200], 1e-200, 1e-200),
    ],
)
def test_moments(values, mean, std):
    spec = NumbersSpec.fit("n", {"a": [*values, None]})
    assert (spec.means, spec.stds) == ((mean,), (pytest.approx(std),))


def test_numbers_that_cannot_be_averaged_are_named():
    with pytest.raises(DataError, match="column 'a': its numbers are too large to average"):
        NumbersSpec.fit("n", {"a": [1e308, 1e308, -1e308]})
    for means, stds in (((0.0,), (1.0,)), ((0.0, 0.0), (1.0,))):
        with pytest.raises(ValueError, match=r"^means and stds must have one number per column$"):
            NumbersSpec("n", ("a", "b"), means, stds)
    with pytest.raises(ValueError, match="one number per column"):
        NumbersSpec("n", (), (), ())
    with pytest.raises(ValueError, match="each of stds must be"):
        NumbersSpec("n", ("a",), (0.0,), (0.0,))


def test_what_the_kind_declares():
    assert declared(NumberKind()) == ("number", (NumbersSpec, "number", "float32"), Settings, Settings, True, True)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=9), st.floats(-60, 60))
def test_scores_between_quantiles_are_interpolated(numbers, number):
    quantiles = tuple(sorted(map(float, numbers)))
    spec = NumbersSpec("n", ("a",), (0.0,), (1.0,), (quantiles,), (False,))
    expected = np.interp(number, *spec._curves[0])
    assert spec.encode({"a": number}, WHERE).values[0, 0] == pytest.approx(expected, abs=1e-6)
