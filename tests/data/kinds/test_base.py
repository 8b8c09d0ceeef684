"""What all kinds have in common."""

import numpy as np
import pytest

from perceiver_pytorch.data import ImageSpec, NumbersSpec, PointsSpec, TextSpec
from perceiver_pytorch.data.kinds import BUILT_IN, IGNORE, kind_names, kinds, specs
from perceiver_pytorch.data.kinds.base import Encoded, ModelInput

NUMBERS = NumbersSpec("numbers", ("a", "b"), (0.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (ImageSpec("x", 8, 12, 3, 2), ModelInput(2, 12, 6.0, (1, 1), 2 / 255, -1.0)),
        (TextSpec("x", 16), ModelInput(1, 1, 16.0, (1,), vocab_size=257)),
        (PointsSpec("x", 9, (0.0, 0.0, 0.0), 1.0, (), ()), ModelInput(1, 3, 64.0, (3,))),
        (NUMBERS, ModelInput(1, 1, 2.0, (1,))),
    ],
)
def test_what_the_model_is_told(spec, expected):
    assert spec.model_input() == expected


def test_a_row_is_shown_as_text_unless_its_kind_draws_it():
    encoded = Encoded(np.zeros((2, 1), np.float32))
    shown = NUMBERS.example(encoded, {"a": 1.5, "b": "x" * 400})
    assert shown[0] == {"kind": "text", "name": "a", "value": "1.5"}
    assert shown[1]["value"] == "x" * 300 + "…"


def test_kinds_that_change_nothing_leave_values_alone():
    values = object()
    assert NUMBERS.augmented(values, None, None) is values
    assert (NUMBERS.file_columns, NUMBERS.files, NUMBERS.token_options(), NUMBERS.id_meanings()) == ((), (), {}, None)


def test_bytes_are_those_of_all_arrays():
    assert Encoded(np.zeros(4), np.ones(4, bool), (None, np.zeros(2, np.float32))).nbytes == 32 + 4 + 8


def test_kinds_have_names_and_specs_of_their_own():
    assert list(kinds()) == [kind.name for kind in BUILT_IN]
    assert kind_names() == (*kinds(), IGNORE)
    assert all(kinds()[name].spec is spec for name, spec in specs().items())


def test_what_is_changed_can_be_told():
    for spec in specs().values():
        assert all(isinstance(words, str) for words in spec.changes.values())
        assert spec.__doc__
