"""What all kinds have in common."""

import numpy as np
import pytest

from perceiver_pytorch.data import ImageSpec, NumbersSpec, PointsSpec, TextSpec
from perceiver_pytorch.data.kinds import BUILT_IN, IGNORE, kind_names, kinds, specs
from perceiver_pytorch.data.kinds.base import (
    ColumnSpec,
    Encoded,
    Kind,
    ModalitySpec,
    ModelInput,
    Settings,
    check_positive,
)

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
    assert (NUMBERS.file_columns, NUMBERS.files, NUMBERS.token_options()) == ((), (), {})
    assert (NUMBERS.id_meanings(), TextSpec("x", 16).id_meanings()) == (("a", "b"), None)


def test_bytes_are_those_of_all_arrays():
    assert Encoded(np.zeros(4), np.ones(4, bool), (None, np.zeros(2, np.float32))).nbytes == 32 + 4 + 8


def test_kinds_have_names_and_specs_of_their_own():
    assert list(kinds()) == [kind.name for kind in BUILT_IN]
    assert kind_names() == (*kinds(), IGNORE)
    known = {spec: name for name, spec in specs().items()}
    assert all(known[kind.spec] == kind.name for kind in BUILT_IN if kind.spec)
    assert known.keys() >= {spec for kind in BUILT_IN for spec in kind.other_specs}


def test_what_is_changed_can_be_told():
    for spec in specs().values():
        assert all(isinstance(words, str) for words in spec.changes.values())
        assert spec.__doc__


def test_what_a_kind_and_a_spec_are_where_nothing_is_said():
    kind = Kind()
    assert kind.recognises(None) is False
    assert (kind.spec, kind.together, kind.plain, kind.settings, kind.augmentation) == (
        None,
        False,
        False,
        Settings,
        Settings,
    )
    assert (kind.reads_beside("x", None), kind.left_unread("x", None)) == ((), None)
    with pytest.raises(NotImplementedError):
        kind.learn(["x"], None)
    bare = type("Bare", (ModalitySpec,), {"name": "x", "columns": ("a", "b"), "axes": (2, 5), "channels": 3})()
    assert (bare.shape, bare.num_tokens, bare.resolution, bare.own_coordinates) == ((2, 5, 3), 10, 5.0, (0, 0))
    assert (bare.vocab_size, bare.dtype, bare.seconds, bare.grid(0), bare.layout()) == (0, "float32", 0.0, None, {})
    assert (bare.shared, bare.changes, bare.harmless) == (False, {}, frozenset())
    assert bare.model_input() == ModelInput(2, 3, 5.0, (1, 1), 1.0, 0.0, 0)
    one = type("One", (ColumnSpec,), {"name": "x", "axes": (5,), "vocab_size": 9})()
    assert (one.columns, one.shared, one.shape) == (("x",), True, (5,))
    for name in ("axes", "channels"):
        with pytest.raises(NotImplementedError):
            getattr(ModalitySpec(), name)
    for call in (lambda: bare.encode({}, None), bare.note):
        with pytest.raises(NotImplementedError):
            call()


def test_texts_are_shown_up_to_300_characters():
    encoded = Encoded(np.zeros((2, 1), np.float32))
    shown = NUMBERS.example(encoded, {"a": None, "b": "x" * 300})
    assert [part["value"] for part in shown] == ["", "x" * 300]
    assert NUMBERS.example(encoded, {"a": "y" * 301, "b": 0})[0]["value"] == "y" * 300 + "…"


def test_bytes_without_masks_and_places():
    assert Encoded(np.zeros((3, 2), np.float32)).nbytes == 24
    assert Encoded(np.zeros(4, np.uint8), None, (None,)).nbytes == 4


def test_fields_that_must_be_positive_are_named():
    check_positive(ImageSpec("x", 8, 12, 3, 2), "height", "patch")
    with pytest.raises(ValueError, match="patch must be"):
        check_positive(type("Spec", (), {"height": 1, "patch": 0})(), "height", "patch")
