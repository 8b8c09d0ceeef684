from collections import Counter

import numpy as np
import pytest
import torch

from data_helpers import table_of
from perceiver_pytorch.data import (
    ClassTarget,
    InputSpec,
    LabelsTarget,
    NumberTarget,
    Predictions,
    Splits,
    recognise_columns,
)
from perceiver_pytorch.training.table import coverage
from perceiver_pytorch.training.table.coverage import absence_warnings, coverage_warnings


def warnings(tmp_path, target="y", **columns):
    rows = len(columns["y"])
    table = table_of(tmp_path, x=np.linspace(0, 1, rows).tolist(), **columns)
    parts = np.array(columns["part"])
    train, val, test = (np.flatnonzero(parts == name) for name in ("train", "val", "test"))
    kinds = recognise_columns(table, target=target, split="part")
    spec = InputSpec.fit(table, kinds, target=target, rows=train)
    return coverage_warnings(table, spec, Splits(train, val, test), None)


def test_classes_that_a_split_lacks_are_named_and_counted(tmp_path):
    cells = ["a", "a", "b", "b", "a", "b", "a", "c"]
    part = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    assert warnings(tmp_path, y=cells, part=part) == [
        "y: the train rows lack 1 of the classes: 'c' (1 row in all); the model cannot learn them",
        "y: the validation rows lack 1 of the classes: 'c' (1 row in all); scores on these rows say nothing about them",
        "y: the test rows lack 1 of the classes: 'b' (3 rows in all); scores on these rows say nothing about them",
    ]


def test_classes_of_hardly_any_row_are_named(tmp_path):
    cells = ["neg"] * 97 + ["pos"] * 3
    (text,) = warnings(tmp_path, y=cells, part=["train"] * 50 + ["val"] * 48 + ["train", "val"])
    assert text.startswith("y: hardly any row has 1 of the classes: 'pos' (3 rows in all); too few")
    even = ["neg", "pos"] * 4
    assert warnings(tmp_path, y=even, part=["train"] * 4 + ["val"] * 4) == []


def test_labels_and_several_targets(tmp_path):
    cells = [["a"], ["a", "b"], ["b"], ["a"], ["a"], []]
    part = ["train"] * 3 + ["val"] * 3
    sides = ["l", "r"] * 3
    texts = warnings(tmp_path, ["y", "side"], y=cells, side=sides, part=part)
    assert texts == [
        "y: the validation rows lack 1 of the labels: 'b' (2 rows in all); scores on these rows say nothing about them"
    ]


def test_numbers_have_no_classes(tmp_path):
    assert warnings(tmp_path, y=[i / 7 for i in range(8)], part=["train"] * 6 + ["val"] * 2) == []


def test_what_a_table_that_is_evaluated_lacks_is_told():
    classes = ClassTarget("y", ("a", "b", "c"), (3, 3, 3))
    labels = LabelsTarget("g", ("x", "w"), (4, 1), 8, "|")
    number = NumberTarget("n", 0.0, 1.0)
    encoded = {"y": torch.tensor([0, 0, -1]), "g": torch.tensor([[1.0, 0.0]] * 3), "n": torch.zeros(3)}
    predictions = Predictions(torch.arange(3), (classes, labels, number), {}, encoded, {})
    assert absence_warnings(predictions) == [
        "y: the rows lack 2 of the classes: 'b', 'c'; the scores say nothing about them",
        "g: the rows lack 1 of the labels: 'w'; the scores say nothing about them",
    ]
    unknown = {name: torch.full_like(values, -1 if name == "y" else torch.nan) for name, values in encoded.items()}
    assert absence_warnings(Predictions(torch.arange(3), (classes, labels, number), {}, unknown, {})) == []


@pytest.mark.parametrize(("names", "shown"), [("abcde", ""), ("abcdef", " .. and 1 more")])
def test_five_classes_are_named_the_rarest_first(names, shown):
    groups = {("y", name): 1000 * (len(names) - i) for i, name in enumerate(names)} | {("y", "z"): 1}
    del groups["y", names[0]]
    counts = {name: f"{count:,} rows in all" for (_, name), count in groups.items()}
    first = ", ".join(f"'{name}' ({counts[name]})" for name in names[:0:-1][:4])
    assert coverage._counted(groups, "classes") == (f"{len(names)} of the classes: 'z' (1 row in all), {first}{shown}")
    assert coverage._counted({("y", "b"): 2, ("y", "a"): 2}, "labels") == (
        "2 of the labels: 'a' (2 rows in all), 'b' (2 rows in all)"
    )


@pytest.mark.parametrize(
    ("rare", "common", "told"),
    [
        (9, 500, True),  # fewer than ten
        (10, 500, False),
        (4, 96, True),  # fewer than a tenth of what a class has on the average: 50 rows
        (5, 95, False),
    ],
)
def test_few_rows_are_fewer_than_ten_and_than_a_tenth_of_the_mean(rare, common, told):
    counts = {"train": Counter({("y", "a"): common, ("y", "b"): rare, ("other", "c"): 1})}
    texts = coverage._warnings("y", "classes", counts)
    assert len(texts) == told
    assert all(text.startswith(f"y: hardly any row has 1 of the classes: 'b' ({rare} rows") for text in texts)
    assert coverage._warnings("number", "classes", counts) == []
