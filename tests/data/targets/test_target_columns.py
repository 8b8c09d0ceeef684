import math

import numpy as np
import pytest

from data_helpers import table_of
from perceiver_pytorch.data import (
    ClassTarget,
    DataError,
    InputSpec,
    LabelsTarget,
    NumberTarget,
    TableDataset,
    recognise_columns,
    split_rows,
    target_kinds,
    target_names,
)
from perceiver_pytorch.data.targets.target_columns import check_unique, fit_targets, groups, require_targets, strata

GENRES = ["Drama, Crime", "Drama", "Crime", "Comedy, Drama", "Comedy"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["a", "b"] * 20, "class"),
        ([0, 1] * 20, "class"),
        ([True, False] * 20, "class"),
        ([1.5, 2.5] * 20, "class"),
        (list(range(10)) * 4, "class"),
        (list(range(40)), "number"),
        ([i / 7 for i in range(12)], "number"),
        (["1.5", "", "2.25", "7.1", "8", "9.5"], "number"),
        ([i / 7 if i else math.inf for i in range(30)], "number"),  # the row is named later
        (["1.5", "-inf", "2.25", "7.1", "8", "9.5"], "number"),
        (GENRES * 4, "labels"),
        ([["a"], ["a", "b"], []], "labels"),
        (['["a"]', "[]"], "labels"),
        ([f"name {i}" for i in range(50)], "class"),
    ],
)
def test_kinds_are_recognised(tmp_path, cells, kind):
    assert target_kinds(table_of(tmp_path, y=cells), "y") == {"y": kind}


def test_a_kind_or_a_separator_may_be_given(tmp_path):
    table = table_of(tmp_path, y=["a/b", "c", "a"], n=[1, 2, 3])
    assert target_kinds(table, "y", separator="/") == {"y": "labels"}
    assert target_kinds(table, "y,n", {"n": "number"}) == {"y": "class", "n": "number"}
    (spec,) = fit_targets(table, {"y": "labels"}, np.arange(3), separator="/")
    assert spec.labels == ("a", "b", "c")
    with pytest.raises(DataError, match="unknown kind 'numbr' \\(did you mean 'number'"):
        target_kinds(table, "n", {"n": "numbr"})
    with pytest.raises(DataError, match="a kind is given for 'z'"):
        target_kinds(table, "n", {"z": "number"})


def test_names_may_stand_in_one_text(tmp_path):
    table = table_of(tmp_path, a=[1], b=[1], **{"x, y": [1]})
    assert target_names(table, "a") == ("a",)
    assert target_names(table, "a, b") == target_names(table, ["a", "b"]) == ("a", "b")
    assert target_names(table, "x, y") == ("x, y",)
    for wrong, message in (("a,c", "no column 'c'"), (["a", "a"], "different target columns"), ([], "one or more")):
        with pytest.raises(DataError, match=message):
            target_names(table, wrong)


def test_what_is_learned_of_each_kind(tmp_path):
    table = table_of(tmp_path, c=["b", "a", "b", None], g=["x|y", "x", None, "y"], n=[1.0, 3.0, None, math.nan])
    kinds = {"c": "class", "g": "labels", "n": "number"}
    classes, labels, number = fit_targets(table, kinds, np.arange(4))
    assert classes == ClassTarget("c", ("a", "b"), (1, 2))
    assert labels == LabelsTarget("g", ("x", "y"), (2, 2), 3, "|")
    assert number == NumberTarget("n", 2.0, 1.0)
    assert [int(classes.encode(cell)) for cell in ("a", "b", None)] == [0, 1, -1]
    assert labels.encode("y").tolist() == [0, 1]
    assert labels.encode([]).tolist() == [0, 0]
    assert np.isnan(labels.encode(None)).all()
    assert number.encode("4").tolist() == 2
    assert np.isnan(number.encode(""))


@pytest.mark.parametrize(
    ("kind", "cells", "message"),
    [
        ("number", ["a", "b"], "no number in the train rows"),
        ("number", [3, 3], "one value only in the train rows \\(3\\)"),
        ("labels", [[], []], "no label in 2 train rows"),
        ("labels", [["a", "b"], ["c"]], "3 different labels in 2 train rows"),
    ],
)
def test_targets_from_which_nothing_can_be_learned(tmp_path, kind, cells, message):
    table = table_of(tmp_path, y=cells)
    with pytest.raises(DataError, match=message):
        fit_targets(table, {"y": kind}, np.arange(2))


def _several(tmp_path, **changes):
    columns = {
        "x": [float(i) for i in range(6)],
        "c": ["a", "b", None, "a", None, "b"],
        "n": [1.0, None, 2.0, 3.0, None, 7.5],
        "split": ["train"] * 4 + ["test"] * 2,
    }
    return table_of(tmp_path, **{**columns, **changes})


def test_a_row_needs_one_of_several_targets(tmp_path):
    table = _several(tmp_path)
    spec = InputSpec.fit(table, {"x": "number"}, target=["c", "n"], rows=np.arange(4), kinds_of_targets={"n": "number"})
    samples = TableDataset(table, np.arange(4), spec)
    assert [int(samples[i].targets["c"]) for i in range(4)] == [0, 1, -1, 0]
    assert [bool(np.isnan(samples[i].targets["n"])) for i in range(4)] == [False, True, False, False]
    with pytest.raises(DataError, match="row 4, column 'c': all targets are missing"):
        TableDataset(table, np.array([4]), spec)[0]
    skipping = TableDataset(table, np.arange(6), spec, on_error="skip")
    assert [bad.row for bad in skipping.prepare()] == [4]


def test_train_rows_without_any_target_stop_or_are_skipped(tmp_path):
    table = _several(tmp_path, c=[None, "b", "a", "a", "b", "b"], n=[None, 1.0, 2.0, 3.0, 4.0, 5.0])
    options = {"target": ["c", "n"], "split": None, "val_fraction": 0.3, "seed": 0}
    with pytest.raises(DataError, match=r"row 0: all of the targets c, n are missing; .*--on-error skip"):
        split_rows(table, **options)
    splits = split_rows(table, **options, require_target=False)
    assert sorted([*splits.train, *splits.val]) == [0, 1, 2, 3]


def test_a_class_that_only_the_test_rows_have_is_named_or_skipped(tmp_path):
    table = _several(tmp_path, c=["a", "b", "a", "a", "c", "b"])
    spec = InputSpec.fit(table, {"x": "number"}, target="c", rows=np.arange(4))
    with pytest.raises(
        DataError, match=r"row 4, column 'c': the class 'c' is none of the train rows' classes \(a, b\)"
    ):
        TableDataset(table, np.array([4, 5]), spec).prepare()
    assert [bad.row for bad in TableDataset(table, np.array([4, 5]), spec, on_error="skip").prepare()] == [4]


def test_a_label_that_only_the_test_rows_have_is_named(tmp_path):
    table = table_of(tmp_path, x=[1.0, 2, 3, 4], y=["a|b", "a", "b", "a|z"])
    spec = InputSpec.fit(table, {"x": "number"}, target="y", rows=np.arange(3))
    with pytest.raises(DataError, match=r"row 3, column 'y': the label 'z' is none of the train rows' labels \(a, b\)"):
        TableDataset(table, np.arange(4), spec)[3]
    assert TableDataset(table, np.arange(4), spec, require_target=False)[3].row == 3


def test_all_targets_are_left_out_of_the_inputs(tmp_path):
    kinds = recognise_columns(_several(tmp_path), target=("c", "n"), split=None)
    assert list(kinds) == ["x"]


def test_val_rows_are_drawn_in_proportion_from_the_classes_of_a_later_target(tmp_path):
    table = table_of(tmp_path, n=[i / 7 for i in range(80)], c=["a", "a", "a", "b"] * 20)
    splits = split_rows(table, target=["n", "c"], split=None, val_fraction=0.25, seed=0)
    assert len(splits.val) == 20
    assert sum(row % 4 == 3 for row in splits.val) == 5


def test_val_rows_of_numbers_are_drawn_by_share(tmp_path):
    table = table_of(tmp_path, n=[i / 7 for i in range(80)])
    assert len(split_rows(table, target="n", split=None, val_fraction=0.25, seed=0).val) == 20


def test_rows_without_targets_are_named_and_counted(tmp_path):
    table = table_of(tmp_path, y=[1, None, 2, None], z=[None, None, 1, 1])
    require_targets(table, "y", np.array([0, 2]))
    require_targets(table, ["y", "z"], np.array([0, 2, 3]))
    end = "; fill it in, leave the row out, or skip such rows with --on-error skip"
    with pytest.raises(DataError) as caught:
        require_targets(table, "y", np.array([0, 3, 1]))
    assert str(caught.value) == f"{table.source}: row 3: the target 'y' is missing (2 such rows in all){end}"
    assert (caught.value.row, caught.value.column, caught.value.reason) == (3, "y", "the target 'y' is missing")
    with pytest.raises(DataError) as caught:
        require_targets(table, "y,z", np.arange(4))
    assert str(caught.value) == f"{table.source}: row 1: all of the targets y, z are missing{end}"


def test_groups_and_strata_are_those_of_the_targets_kinds(tmp_path):
    table = table_of(tmp_path, n=[i / 7 for i in range(30)], c=["a", None, "b"] * 10, g=["x|y", "x", None] * 10)
    rows = np.array([1, 3])
    assert strata(table, ["n", "c"], np.arange(30))[:3] == ["a", "None", "b"]
    assert strata(table, "n", np.arange(30)) == [""] * 30
    found = groups(table, {"c": "class", "g": "labels", "n": "number"}, rows, "|")
    assert found == [[("g", "x")], [("c", "a"), ("g", "x"), ("g", "y")]]


def test_targets_have_names_of_their_own():
    with pytest.raises(DataError, match="targets must hold one or more of different names, got \\[\\]"):
        check_unique([])
    with pytest.raises(DataError, match="got \\['n', 'n'\\]"):
        check_unique([NumberTarget("n", 0.0, 1.0)] * 2)
    check_unique([NumberTarget("n", 0.0, 1.0)])


def test_an_unlearned_target_says_where(tmp_path):
    table = table_of(tmp_path, y=[None, None, 3])
    with pytest.raises(DataError) as caught:
        fit_targets(table, {"y": "number"}, np.arange(2))
    assert str(caught.value) == f"{table.source}: target 'y' is missing in all 2 train rows"
    assert caught.value.column == "y"
    with pytest.raises(DataError, match=r"one or more different target columns must be given, got \[\]"):
        target_names(table, " , ")
