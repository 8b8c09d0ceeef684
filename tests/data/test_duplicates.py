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
