"""Rows with equal inputs, in other splits or with other targets."""

import numpy as np
import pyarrow
import pytest

from data_helpers import png, table_of
from perceiver_pytorch.data import InputSpec, Splits
from perceiver_pytorch.data.duplicates import duplicate_warnings, row_keys

SPLITS = Splits(np.arange(20), np.arange(20, 25), np.arange(25, 30))


def told(table, kinds, splits=SPLITS):
    return duplicate_warnings(table, splits, InputSpec.fit(table, kinds, target="y", rows=splits.train))


def test_rows_of_two_splits_are_named(tmp_path):
    x = [float(i * i) for i in range(30)]
    word = [f"w{i % 3}" for i in range(30)]
    for row, other in ((21, 3), (26, 5), (27, 5)):
        x[row], word[row] = x[other], word[other]
    x[28] = x[6]  # the word differs
    table = table_of(tmp_path, x=x, word=word, y=["a", "b"] * 15)
    validation, test = told(table, {"x": "number", "word": "category"})
    assert validation.startswith("1 of 5 validation rows have the inputs of train rows (row 21 is row 3): their score")
    assert test.startswith("2 of 5 test rows have the inputs of train rows (row 26 is row 5, row 27 is row 5): ")
    assert told(table_of(tmp_path, x=[float(i) for i in range(30)], y=["a", "b"] * 15), {"x": "number"}) == []


def test_equal_rows_of_few_values_say_nothing(tmp_path):
    table = table_of(tmp_path, word=[f"w{i % 3}" for i in range(30)], y=["a", "b"] * 15)
    assert told(table, {"word": "category"}) == []


def test_train_rows_that_contradict_each_other(tmp_path):
    x = [float(i) for i in range(30)]
    x[3], x[7], x[9] = x[1], x[1], x[8]
    answers = ["a"] * 30
    answers[7] = answers[2] = "b"
    answers[9] = None
    table = table_of(tmp_path, x=x, y=answers)
    (line,) = told(table, {"x": "number"})
    assert line == (
        "3 of 19 train rows have the inputs of others and another target (rows 1, 3, 7): no model can tell them apart"
    )


def test_files_are_the_same_by_what_they_hold(tmp_path):
    pictures = [png(np.full((4, 4), i, np.uint8)) for i in range(30)]
    pictures[26] = pictures[2]
    for i, picture in enumerate(pictures):
        (tmp_path / f"{i}.png").write_bytes(picture)
    paths = [f"{i}.png" for i in range(30)]
    answers = ["a", "b"] * 15
    for cells in (paths, pictures, [{"bytes": picture, "path": None} for picture in pictures]):
        (line,) = told(table_of(tmp_path, x=cells, y=answers), {"x": "image"})
        assert "(row 26 is row 2)" in line


@pytest.mark.parametrize(
    "cells",
    [
        [[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [], None, [1.0], [1.0, None]],
        [[[1], [2]], [[1], [2]], [[2], [1]], [], None, [[1]], [[2], [2]]],
        [["a"], ["a"], ["b"], [], None, ["a", "b"], ["c"]],
        ["a", "a", "b", "", None, "ab", "c"],
        [1, 1, 2, 4, None, 3, 5],
    ],
)
def test_equal_cells_have_equal_keys(tmp_path, cells):
    keys = row_keys(table_of(tmp_path, x=cells), ["x"]).tolist()
    assert keys[0] == keys[1]
    assert len(set(keys[1:])) >= len(cells) - 2  # an empty list may count as missing
    chunks = pyarrow.chunked_array([pyarrow.array(cells[:1]), pyarrow.array(cells[1:])]) if None not in cells else None
    if chunks is not None:
        assert row_keys(table_of(tmp_path, x=chunks), ["x"]).tolist() == keys


def test_columns_count_in_their_order(tmp_path):
    table = table_of(tmp_path, a=[1, 2, 1], b=[2, 1, 2])
    keys = row_keys(table, ["a", "b"])
    assert keys[0] == keys[2] != keys[1]


def test_five_rows_are_named_and_all_are_counted(tmp_path):
    splits = Splits(np.arange(20), np.arange(20, 26), np.arange(26, 31))
    x = [float(i) for i in range(20)] + [float(i) for i in range(6)] + [float(i) for i in range(10, 15)]
    table = table_of(tmp_path, x=x, y=["a", "b"] * 10 + ["a"] * 11)
    validation, test = told(table, {"x": "number"}, splits)
    named = ", ".join(f"row {20 + i} is row {i}" for i in range(5))
    assert validation.startswith(f"6 of 6 validation rows have the inputs of train rows ({named} ..): their ")
    named = ", ".join(f"row {26 + i} is row {10 + i}" for i in range(5))
    assert test.startswith(f"5 of 5 test rows have the inputs of train rows ({named}): their ")
    mixed = table_of(tmp_path, x=[float(i // 2) for i in range(31)], y=["a", "b"] * 15 + ["a"])
    (line,) = [line for line in told(mixed, {"x": "number"}, splits) if "another target" in line]
    assert line.startswith("20 of 20 train rows have the inputs of others and another target (rows 0, 1, 2, 3, 4 ..)")


def test_a_fifth_of_the_train_rows_must_differ(tmp_path):
    for values, count in ((4, 2), (3, 0)):
        table = table_of(tmp_path, x=[float(i % values) for i in range(30)], y=["a"] * 15 + ["b"] * 15)
        assert len([line for line in told(table, {"x": "number"}) if "inputs of train" in line]) == count


def test_a_missing_cell_is_like_another_and_unlike_all_else(tmp_path):
    for cells in ([None, None, 0, -1], [None, None, "", "None"], [None, None, [0.0], [1.0]]):
        keys = row_keys(table_of(tmp_path, x=cells, y=[1] * 4), ["x", "y"])
        assert keys.dtype == np.uint64
        assert keys[0] == keys[1]
        assert len(set(keys[1:].tolist())) == 3
    words = pyarrow.array(["a", "b", "a"]).dictionary_encode()
    keys = row_keys(table_of(tmp_path, x=words), ["x"])
    assert keys[0] == keys[2] != keys[1]
    assert row_keys(table_of(tmp_path, x=[1, 2]), []).tolist() == [0, 0]


def test_files_of_one_size_are_compared_by_their_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("perceiver_pytorch.data.duplicates._ENDS", 2)
    for name, content in (("a", b"12345"), ("b", b"12x45"), ("c", b"123x5"), ("d", b"1"), ("e", b"2")):
        (tmp_path / name).write_bytes(content)
    cells = ["a", "b", "c", "d", "e", "gone", "away", None, "", "a"]
    table = table_of(tmp_path, x=cells)
    keys = row_keys(table, ["x"], ["x"]).tolist()
    assert keys[0] == keys[1] == keys[9]
    assert len({keys[0], keys[2], keys[3], keys[4], keys[5], keys[6], keys[7]}) == 7
    assert keys[7] == keys[8]
    assert len(set(row_keys(table, ["x"]).tolist())) == 9  # as words
