"""Category columns."""

from pathlib import Path

import numpy as np
import pytest

from data_helpers import declared, fitted, table_of
from perceiver_pytorch._settings import Settings
from perceiver_pytorch.data import CategoriesSpec, Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.kinds.category import CategoryKind
from perceiver_pytorch.data.losses import Change

WHERE = Where("here.csv", Path("/nowhere"), 17)


class TestCategories:
    spec = CategoriesSpec.fit("categories", {"color": ["red", "blue", None], "flag": [True, False, True]})

    def test_each_column_has_its_own_ids(self):
        assert self.spec.values == (("blue", "red"), ("false", "true"))
        assert self.spec.vocab_size == 6
        assert self.spec.encode({"color": "red", "flag": False}, WHERE).values.tolist() == [1, 3]

    def test_unknown_values_share_an_id_and_missing_ones_are_masked(self):
        encoded = self.spec.encode({"color": "green", "flag": None}, WHERE)
        assert encoded.values.tolist() == [2, 5]
        assert encoded.mask.tolist() == [True, False]
        assert encoded.changes == (Change("unseen", "color", "green"),)
        assert self.spec.encode({"color": "red", "flag": None}, WHERE).changes == ()
        assert self.spec.encode({"color": None, "flag": None}, WHERE) is None


def test_ids_notes_and_meanings_of_several_columns():
    spec = CategoriesSpec("c", ("a", "b", "d"), (("x",), ("y", "z"), ()))
    assert (spec.offsets, spec.vocab_size, spec.axes, spec.channels, spec.shape) == ((0, 2, 5), 6, (3,), 1, (3,))
    assert spec.encode({"a": "x", "b": "z", "d": "?"}, WHERE).values.tolist() == [0, 3, 5]
    assert spec.encode({"a": "x", "b": "z", "d": "?"}, WHERE).values.dtype == np.int64
    assert spec.encode({"a": "x", "b": "y", "d": None}, WHERE).mask.tolist() == [True, True, False]
    assert spec.note() == "1, 2, 0 values"
    assert not spec.shared
    assert spec.id_meanings() == [("a", "x"), ("a", None), ("b", "y"), ("b", "z"), ("b", None), ("d", None)]
    names = tuple("abcdefghi")
    assert CategoriesSpec("c", names[:8], (("x",),) * 8).note() == "1, 1, 1, 1, 1, 1, 1, 1 values"
    assert CategoriesSpec("c", names, (("x",),) * 8 + (("x", "y"),)).note() == "1 to 2 values"


@pytest.mark.parametrize(
    ("columns", "values", "reason"),
    [
        ((), (), "values must have one list per column"),
        (("a",), (), "values must have one list per column"),
        (("a", "b"), (("x",), ("y", "y")), "the values of 'b' must differ"),
    ],
)
def test_wrong_values_are_named(columns, values, reason):
    with pytest.raises(ValueError, match=rf"^{reason}$"):
        CategoriesSpec("c", columns, values)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([True, False, None], True),
        (["a", "b"] * 2, True),
        (["a", "b", "a"], False),  # more than half of the cells differ
        (["w" * 40] * 2 + ["a b c"] * 18, True),
        (["w" * 41] * 3 + ["a b c"] * 17, False),  # too many are long
        (["w" * 41] * 2 + ["a b c"] * 18, True),  # one in ten is long
        (["a b c d"] * 2 + ["a"] * 2, False),
        ([f"v{i}" for i in range(50)] * 2, True),
        ([f"v{i}" for i in range(51)] * 2, False),
        ([f"v{i}" for i in range(51)] * 20, True),  # a twentieth
        ([1, 2] * 5, False),
    ],
)
def test_categories_are_short_words_of_few_values(tmp_path, cells, expected):
    column = Column(table_of(tmp_path, x=cells), "x")
    assert CategoryKind().recognises(column) is expected


def test_all_columns_are_learned_together(tmp_path):
    table = table_of(tmp_path, x=["p", "q"] * 6, z=[True, False] * 6, y=["a", "b"] * 6)
    spec, _ = fitted(table, "y", kinds={"x": "category", "z": "category"})
    assert spec.modalities == (CategoriesSpec("categories", ("x", "z"), (("p", "q"), ("false", "true"))),)


def test_what_the_kind_declares():
    spec = (CategoriesSpec, "category", "int64")
    assert declared(CategoryKind()) == ("category", spec, Settings, Settings, True, True)
