import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_helpers import table_of
from perceiver_pytorch.data import DataError, split_column, split_rows


def split(table, **changes):
    return split_rows(table, **{"target": "y", "split": None, "val_fraction": 0.25, "seed": 0, **changes})


def test_names_of_splits_in_any_case(tmp_path):
    names = ["Train", "training", "VAL", "valid", "validation", "dev", "test", " Eval "]
    splits = split(table_of(tmp_path, y=[0, 1] * 4, split=names))
    assert (splits.train.tolist(), splits.val.tolist(), splits.test.tolist()) == ([0, 1], [2, 3, 4, 5], [6, 7])
    assert splits.train.dtype == np.int64


@pytest.mark.parametrize("name", ["Split", "SPLIT", " split"])
def test_the_split_column_may_be_written_in_capitals(tmp_path, name):
    parts = ["train", "train", "test", "val"]
    splits = split(table_of(tmp_path, y=[0, 1, 0, 1], **{name: parts}))
    assert (splits.train.tolist(), splits.val.tolist(), splits.test.tolist()) == ([0, 1], [3], [2])
    both = table_of(tmp_path, y=[0, 1, 0, 1], **{name: ["test"] * 4, "split": parts})
    assert split_column(both, None) == "split"
    assert split_column(table_of(tmp_path, **{name: parts, "sPLIT": parts}), None) is None


def test_val_is_drawn_from_train_where_there_is_none(tmp_path):
    part = ["train"] * 80 + ["test"] * 20
    splits = split(table_of(tmp_path, y=[0, 0, 0, 1] * 25, part=part), split="part")
    assert len(splits.val) == 20
    assert splits.test.tolist() == list(range(80, 100))
    assert sum(row % 4 == 3 for row in splits.val) == 5  # stratified
    assert sorted([*splits.train, *splits.val]) == list(range(80))


def test_a_seed_fixes_the_draw(tmp_path):
    table = table_of(tmp_path, y=["a", "b"] * 30)
    assert np.array_equal(split(table).val, split(table).val)
    assert not np.array_equal(split(table).val, split(table, seed=1).val)


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_draw_covers_all_rows_once_and_leaves_both_parts_something(tmp_path, labels, fraction, seed):
    splits = split(table_of(tmp_path, y=labels), val_fraction=fraction, seed=seed)
    assert sorted([*splits.train, *splits.val]) == list(range(len(labels)))
    assert len(splits.train) > 0
    assert len(splits.val) > 0
    repeated = {label for label in labels if labels.count(label) > 1}
    assert repeated <= {labels[row] for row in splits.train}


@pytest.mark.parametrize(
    ("columns", "changes", "message"),
    [
        ({"y": [0, 1], "split": ["train", "holdout"]}, {}, "row 1: .*says 'holdout'"),
        ({"y": [0, 1], "split": ["train", None]}, {}, "row 1: .*is empty"),
        ({"y": [0, 1], "split": ["val", "test"]}, {}, "no row into the train split"),
        ({"y": [0, None], "split": ["train", "val"]}, {}, "row 1: the target 'y' is missing"),
        ({"y": [0, float("nan"), 1.0]}, {}, "row 1: the target"),
        ({"y": [0]}, {}, "one train row only"),
        ({"y": [0, 1]}, {"val_fraction": 1.0}, "between 0 and 1, got 1.0"),
        ({"y": [0, 1]}, {"val_fraction": 0.0}, "between 0 and 1"),
        ({"y": [0, 1]}, {"target": "z"}, "no column 'z'"),
        ({"y": [0, 1]}, {"split": "part"}, "no column 'part'"),
        ({"y": [0, 1]}, {"split": "y"}, "both the target and the split"),
    ],
)
def test_what_cannot_be_split(tmp_path, columns, changes, message):
    with pytest.raises(DataError, match=message):
        split(table_of(tmp_path, **columns), **changes)


def test_a_test_row_may_lack_its_target(tmp_path):
    table = table_of(tmp_path, y=[0, 1, None], split=["train", "val", "test"])
    assert split(table).test.tolist() == [2]


@pytest.mark.parametrize(
    "cells", [{"a": [[1, 2]], "y": [["u", "v"]]}, {"a": [{"0": 1, "1": 2}], "y": [{"0": "u", "1": "v"}]}]
)
def test_a_file_of_columns_is_told_from_one_of_rows(tmp_path, cells):
    with pytest.raises(DataError, match=r"one train row only, .* seems to hold columns: write an object per row"):
        split_rows(table_of(tmp_path, **cells), target="y", split=None, val_fraction=0.1, seed=0)
    with pytest.raises(DataError, match=r"no val row can be drawn from it$"):
        split_rows(table_of(tmp_path, a=[1], y=["u"]), target="y", split=None, val_fraction=0.1, seed=0)


def test_every_class_that_two_rows_have_is_validated(tmp_path):
    table = table_of(tmp_path, y=["neg"] * 197 + ["pos"] * 3)
    splits = split(table, val_fraction=0.1)
    assert sum(row >= 197 for row in splits.val) == 1
    assert not any(row >= 197 for row in split(table, val_fraction=0.1, draw="proportional").val)


def test_classes_of_all_targets_and_labels_are_validated(tmp_path):
    labels = [["x"]] * 95 + [["x", "w"]] * 3 + [["x"]] * 2
    table = table_of(tmp_path, y=["a", "b"] * 50, g=labels, n=[i / 7 for i in range(100)], k=[0] * 97 + [1] * 3)
    for seed in range(5):
        splits = split(table, target=["n", "y", "g", "k"], kinds_of_targets={"k": "class"}, val_fraction=0.1, seed=seed)
        assert {95, 96, 97} & set(splits.val.tolist())
        assert {97, 98, 99} & set(splits.val.tolist())
        assert {95, 96, 97} & set(splits.train.tolist())


def test_a_covering_draw_is_the_default_and_its_groups_are_those_asked_for(tmp_path):
    table = table_of(tmp_path, y=["a;b", "a", "b", "c", "a;c", "b;c"] * 5)
    assert np.array_equal(split(table).val, split(table, draw="covering").val)
    as_classes = split(table, kinds_of_targets={"y": "class"}).val
    assert {table.column("y")[row] for row in as_classes} == set(table.column("y"))


def test_splits_without_a_value_or_with_another_name_tell_the_row(tmp_path):
    table = table_of(tmp_path, y=[0, 1, 0], split=["train", "val", "holdout"])
    with pytest.raises(DataError, match=r"row 2: .*says 'holdout'") as caught:
        split(table)
    assert (caught.value.row, caught.value.column) == (2, "split")
    lone = table_of(tmp_path, y=[0, 1], split=["train", "test"])
    with pytest.raises(DataError, match=r"one train row only, so that no val row can be drawn from it$"):
        split(lone)


def test_rows_may_be_limited_and_every_class_stays_in_train(tmp_path):
    parts = ["train"] * 60 + ["val"] * 20 + ["test"] * 20
    table = table_of(tmp_path, y=["rare" if i == 31 else "ab"[i % 2] for i in range(100)], split=parts)
    most = {"train": 7, "test": 5}
    draws = [split(table, most=most, seed=seed) for seed in range(20)]
    for drawn in draws:
        assert (len(drawn.train), len(drawn.val), len(drawn.test)) == (7, 20, 5)
        assert 31 in drawn.train
        assert np.array_equal(drawn.train, np.unique(drawn.train))
        assert drawn.train.max() < 60 <= 80 <= drawn.test.min()
    assert len({tuple(drawn.train) for drawn in draws}) == 20
    assert np.array_equal(split(table, most=most, seed=3).test, draws[3].test)
    whole = split(table, most={"train": 60, "val": 99})
    assert [len(rows) for rows in (whole.train, whole.val, whole.test)] == [60, 20, 20]
