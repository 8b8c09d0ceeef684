"""Numbers as people read them."""

import math

import pytest

from perceiver_pytorch.data.amounts import amount


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.0, "12"),
        (9999.4, "9999"),
        (9999.6, "10,000"),
        (-41740000.0, "-41,740,000"),
        (1.234567e20, "1.235e+20"),
        (1.5e-7, "1.5e-07"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_short_and_have_no_power_of_ten_that_nobody_needs(value, text):
    assert amount(value) == text


def test_what_rounding_left_of_zero_is_zero():
    assert amount(-1.544e-07, smallest=1e-5) == "0"
    assert amount(-1.544e-03, smallest=1e-5) == "-0.001544"
