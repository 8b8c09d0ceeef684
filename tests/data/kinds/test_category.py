"""Category columns."""

from pathlib import Path

import numpy as np
import pytest

from data_helpers import declared, fitted, table_of
from perceiver_pytorch._settings import Settings
from perceiver_pytorch.data import CategoriesSpec, Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.kinds import recognised
from perceiver_pytorch.data.kinds.category import CategoryKind
from perceiver_pytorch.data.losses import Change

WHERE = Where("here.csv", Path("/nowhere"), 17)


class TestCategories:
    spec = CategoriesSpec.fit("categories", {"color": ["red", "blue", None], "flag": [True, False, True]})

    def test_each_column_has_its_own_ids(self):
        assert self.spec.values == (("blue", "red"), ("false", "true"))
        assert self.spec.vocab_size == 7
        assert self.spec.encode({"color": "red", "flag": False}, WHERE).values.tolist() == [1, 4]

    def test_a_missing_value_has_an_id_where_train_rows_lack_it_too(self):
        encoded = self.spec.encode({"color": None, "flag": True}, WHERE)
        assert (encoded.values.tolist(), encoded.mask, encoded.changes) == ([3, 5], None, ())

    def test_unknown_values_share_an_id_and_other_missing_ones_are_masked(self):
        encoded = self.spec.encode({"color": "green", "flag": None}, WHERE)
        assert encoded.values.tolist() == [2, 6]
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


def test_rare_values_share_the_id_of_unknown_ones_and_are_not_told():
    cells = ["a"] * 145 + ["b"] * 3 + ["c"] * 2
    spec = CategoriesSpec.fit("c", {"x": cells})
    assert (spec.values, spec.rare, spec.vocab_size) == ((("a", "b"),), (("c",),), 3)
    assert spec.note() == "2 values, and 1 rare ones"
    rare, unknown = spec.encode({"x": "c"}, WHERE), spec.encode({"x": "d"}, WHERE)
    assert rare.values.tolist() == unknown.values.tolist() == [2]
    assert (rare.changes, unknown.changes) == ((), (Change("unseen", "x", "d"),))
    assert CategoriesSpec.fit("c", {"x": ["a"] * 48 + ["b"]}).rare == ((),)  # one of 49 rows is more than 2 %


def test_the_id_of_missing_values_means_nothing_else():
    spec = CategoriesSpec.fit("c", {"x": ["a", "None", None], "y": ["b"] * 3})
    assert spec.id_meanings() == [("x", "None"), ("x", "a"), ("x", None), ("x",), ("y", "b"), ("y", None)]


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
    for field in ("rare", "gaps"):
        with pytest.raises(ValueError, match=f"^{field} must have one entry per column$"):
            CategoriesSpec("c", ("a",), (("x",),), **{field: ((), ())})


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


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("zip", [94110, 94112, 10001] * 20, "category"),
        ("zipCode", [94110.0, 94112.0, None] * 20, "category"),
        ("area_code", ["415", "510"] * 20, "category"),
        ("agent_id", list(range(20)) * 3, "category"),
        ("agent_id", list(range(51)) * 3, "number"),  # too many to be told apart by so few rows
        ("code", list(range(30)), "number"),  # no one comes back
        ("zip", [94110, 94112, 1.5] * 20, "number"),
        ("rapid", [1, 2, 3] * 20, "number"),
        ("bedrooms", [1, 2, 3] * 20, "number"),
    ],
)
def test_codes_that_come_back_are_categories(tmp_path, name, cells, kind):
    assert recognised(Column(table_of(tmp_path, **{name: cells}), name)) == kind


def test_all_columns_are_learned_together(tmp_path):
    table = table_of(tmp_path, x=["p", "q"] * 6, z=[True, False] * 6, y=["a", "b"] * 6)
    spec, _ = fitted(table, "y", kinds={"x": "category", "z": "category"})
    assert spec.modalities == (
        CategoriesSpec("categories", ("x", "z"), (("p", "q"), ("false", "true")), ((), ()), (False, False)),
    )


def test_what_the_kind_declares():
    spec = (CategoriesSpec, "category", "int64")
    assert declared(CategoryKind()) == ("category", spec, Settings, Settings, True, True)
