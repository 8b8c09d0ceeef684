import pytest

from perceiver_pytorch.tables.plan_lines import duration


@pytest.mark.parametrize(("seconds", "expected"), [(0.0123, "12 ms"), (5, "5.0 s"), (300, "5 min"), (9000, "2.5 h")])
def test_durations_have_the_unit_that_people_use(seconds, expected):
    assert duration(seconds) == expected
