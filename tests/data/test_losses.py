"""What cells lost: counted once a row, worded, and kept in checkpoints."""

from types import SimpleNamespace

import numpy as np

from data_helpers import table_of
from perceiver_pytorch.data import InputSpec, TableDataset, in_order
from perceiver_pytorch.data.losses import EMPTY, Change, Losses, told

MODALITY = SimpleNamespace(name="m", changes={"cut": "lost their end", "fit": "were resized"}, harmless={"fit"})


def test_a_row_counts_once_and_is_named():
    losses = Losses([MODALITY], 8)
    losses.count(3, [("m", Change("cut", "a", "x" * 99)), ("m", Change("fit"))])
    losses.count(3, [("m", Change("cut", "a"))])
    losses.count_all(range(4, 6), {5: [("m", Change("cut", "a", "y"))]})
    losses.count(0, [])
    (count,) = losses.counts()
    assert (count.column, count.what, count.rows, count.first, losses.rows) == ("a", "cut", 2, [3, 5], 4)
    assert losses.lines("test") == [f"2 of 4 test rows (rows 3, 5): cells of 'a' lost their end: {'x' * 40}, y"]
    assert losses.lines(harmless=True) == ["1 of 4 rows (row 3): cells of 'm' were resized"]
    (entry,) = losses.as_json("val")
    assert entry["split"] == "val"
    assert (entry["rows"], entry["of"], entry["values"]) == (2, 4, ["x" * 40, "y"])


def test_what_most_rows_lost_comes_first_and_few_are_named():
    losses = Losses([MODALITY], 2000)
    for row in range(2000):
        losses.count(row, [("m", Change("cut", "a", str(row)))] + [("m", Change("cut", "b"))] * (row > 0))
    assert losses.lines() == [
        "2,000 of 2,000 rows: cells of 'a' lost their end: 0, 1, 2, 3, 4 ..",
        "1,999 of 2,000 rows (rows 1, 2, 3, 4, 5 ..): cells of 'b' lost their end",
    ]
    losses = Losses([MODALITY], 5)
    for row in range(5):
        losses.count(row, [("m", Change("cut", "a", f"{row}\nmore"))])
    assert losses.lines()[0].endswith(": 0 more, 1 more, 2 more, 3 more, 4 more")
    assert told(["a"] * 5) == ["a"] * 5
    assert told(["a"] * 1007, ", see there")[5:] == [".. and 1,002 more warnings of this kind, see there"]


def test_the_state_of_a_checkpoint_goes_on():
    first, second = Losses([MODALITY], 9), Losses([MODALITY], 9)
    for losses in (first, second):
        losses.count(1, [("m", Change("cut"))])
        if losses is second:
            losses = Losses([MODALITY], 9)
            losses.load(second.state())
            second = losses
        losses.count(1, [("m", Change("cut"))])
        losses.count(2, [("m", Change("cut"))])
    assert first.lines() == second.lines() == ["2 of 2 rows: cells of 'm' lost their end"]


def unseen(tmp_path, **options):
    table = table_of(tmp_path, sex=["male", "female"] * 4 + ["MALE", None, "FEMALE", "male"] * 8, y=["a", "b"] * 20)
    spec = InputSpec.fit(table, {"sex": "category"}, target="y", rows=np.arange(8))
    return TableDataset(table, np.arange(8, 40), spec, **options)


def test_values_that_the_train_rows_did_not_have(tmp_path):
    data = unseen(tmp_path)
    data.prepare()
    assert data.losses.lines() == [
        "16 of 32 rows (rows 8, 10, 12, 14, 16 ..): cells of 'sex' have values that the train rows did not have: "
        "MALE, FEMALE"
    ]


def test_losses_of_rows_that_are_decoded_late_by_workers(tmp_path):
    prepared = unseen(tmp_path)
    prepared.prepare()
    for workers in (0, 2):
        late = unseen(tmp_path, workers=workers)
        for _ in range(2):  # epochs
            list(in_order(late, 5))
        assert late.losses.as_json("val") == prepared.losses.as_json("val")


def test_cells_that_hold_nothing_to_read(tmp_path):
    nan = float("nan")
    clouds = [[[1.0, 2.0, 3.0]] * 3, [[nan, 1.0, 1.0]], [], None] * 3
    table = table_of(tmp_path, cloud=clouds, note=["a", None, "", "b"] * 3, y=["a", "b"] * 6)
    spec = InputSpec.fit(table, {"cloud": "points", "note": "text"}, target="y", rows=np.arange(12))
    for workers in (0, 2):
        data = TableDataset(table, np.arange(12), spec, workers=workers)
        list(in_order(data, 4))
        (line,) = data.losses.lines()
        assert line.startswith("3 of 12 rows (rows 1, 5, 9): cells of 'cloud' hold or lead to nothing that can be read")


def test_values_are_shown_in_short_and_once():
    losses = Losses([MODALITY], 20)
    for row, value in enumerate(["", " ", "x", "x", *"abcdefg"]):
        losses.count(row, [("m", Change("unheard of", "a", value))])
    (count,) = losses.counts()
    assert (count.text, count.rows, count.values) == ("unheard of", 11, ["x", *"abcde"])
    assert losses.lines() == ["11 of 11 rows: cells of 'a' unheard of: x, a, b, c, d .."]
    losses.count(19, [("m", Change("cut", "b")), ("m", Change(EMPTY))])
    assert [(count.column, count.rows) for count in losses.counts()] == [("a", 11), ("b", 1), ("m", 1)]
    assert losses.lines("val")[2] == (
        "1 of 12 val rows (row 19): cells of 'm' hold or lead to nothing that can be read, and count as missing"
    )
    assert losses.lines()[0].startswith("11 of 12 rows (rows 0, 1, 2, 3, 4 ..): cells of")
    assert told([], " there") == []
    assert told(["a", "b", "c"], " there", most=1) == ["a", ".. and 2 more warnings of this kind there"]
    again = Losses([MODALITY], 20)
    again.load(losses.state())
    assert (again.rows, again.lines()) == (12, losses.lines())
    assert losses.state()["seen"].dtype == np.uint8
