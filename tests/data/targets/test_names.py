import numpy as np
import pytest

from perceiver_pytorch.data.targets.names import (
    check_counts,
    look_alike_warnings,
    look_alikes,
    probability_columns,
    sort_names,
)


def test_names_that_differ_in_spaces_or_capitals_alone():
    assert look_alikes(["no", "no ", "yes", "Very good", "very  Good", "verygood"]) == [
        ("no", "no "),
        ("Very good", "very  Good"),
    ]


def test_numbers_come_first_by_value():
    assert sort_names(["b", "10", "9", "a", "-1.5", "inf", "nan", "9.0"]) == [
        "-1.5", "9", "9.0", "10", "a", "b", "inf", "nan",
    ]  # fmt: skip


def test_counts_are_one_per_name():
    check_counts((0, 3), 2)
    for counts in ((1,), (1, 2, 3), (1, -1)):
        with pytest.raises(ValueError, match=r"counts must hold one count per name, 2 in all, got \("):
            check_counts(counts, 2)


def test_a_column_of_probabilities_for_each_name():
    columns = probability_columns(("a", "b"), np.array([[0.25, 0.75], [1.0, 0.0]]))
    assert {name: values.tolist() for name, values in columns.items()} == {"p_a": [0.25, 1.0], "p_b": [0.75, 0.0]}
    assert columns["p_b"].flags.c_contiguous


def test_a_warning_names_the_column_and_the_names():
    (text,) = look_alike_warnings("answer", ["no", "No", "yes"], "classes")
    assert text == (
        "'answer' has 'no', 'No', which differ in spaces or capitals alone; they are learned as different classes"
    )
