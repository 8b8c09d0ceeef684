"""What a column says of its cells, one thing at a time."""

import base64
import datetime

import numpy as np
import pytest

from data_helpers import png, table_of
from perceiver_pytorch.data.column import Column

KNOWN = ("media", "arrays", "booleans", "numbers", "dates", "words")
CELLS = {
    "media": [png(np.full((2, 2), shade, np.uint8)) for shade in range(4)],
    "arrays": [[1.0, 2.0], [3.0], [4.0, 5.0], [6.0]],
    "booleans": [True, False, None, True],
    "numbers": ["1", "2.5", "", "n/a"],
    "dates": [datetime.date(2020, 1, day) for day in range(1, 5)],
    "words": ["a word", "another", None, "1 and more"],
}


@pytest.mark.parametrize("what", CELLS)
def test_it_says_one_thing_only(tmp_path, what):
    column = Column(table_of(tmp_path, x=CELLS[what]), "x")
    assert [name for name in KNOWN if getattr(column, name)] == [what]


@pytest.mark.parametrize(
    ("name", "cells"),
    [("x", [None, None]), ("x", ["same", "same"]), ("row_id", ["a", "b"]), ("id", [1, 2]), ("x", [float("nan")] * 2)],
)
def test_what_tells_nothing_is_nothing(tmp_path, name, cells):
    column = Column(table_of(tmp_path, **{name: cells}), name)
    assert not any(getattr(column, known) for known in KNOWN)


def test_counts_leave_missing_cells_out(tmp_path):
    column = Column(table_of(tmp_path, x=["a", "b", "b", None]), "x")
    assert (column.num_present, column.num_distinct, column.constant) == (3, 2, False)
    assert column.sample == ["a", "b", "b"]


@pytest.mark.parametrize("write", ["{}", "data:image/png;base64,{}"])
def test_pictures_in_texts_are_pictures(tmp_path, write):
    cells = [write.format(base64.b64encode(cell).decode()) for cell in CELLS["media"]]
    column = Column(table_of(tmp_path, x=cells), "x")
    assert column.media == "image"
    assert not column.words


def test_addresses_of_pictures_are_pictures(tmp_path):
    column = Column(table_of(tmp_path, x=[f"https://example.org/{i}.jpg?w=200&h=100" for i in range(9)]), "x")
    assert column.media == "image"


def test_lists_of_words_are_sets(tmp_path):
    def column(cells):
        return Column(table_of(tmp_path, x=cells), "x")

    for cells in ([["a"], ["b", "a"], [], None], ['["a"]', '["b", "a"]'] * 3, ["['a']", "[]"]):
        assert column(cells).sets
        assert not column(cells).words
    for cells in ([[1.0], [2.0]], [[], []], ["a", "b"], ['["a"]', "b"], ["[1]", "[2]"], ['["a"]', '["a"]']):
        assert not column(cells).sets


def test_one_odd_cell_of_twenty_does_not_matter(tmp_path):
    def media(cells):
        return Column(table_of(tmp_path, x=cells), "x").media

    names = [f"{i}.png" for i in range(19)]
    assert media([*names, "odd"]) == "image"
    assert media([*names[:18], "odd", "other"]) is None
    assert media([*names, "a.wav"]) == "image"
    assert media([b"\x89PNG\r\n\x1a\n" + bytes([i]) for i in range(3)] + [b""]) == "image"
    assert media([{"bytes": None, "path": "a.wav"}, {"bytes": None, "path": "b.wav"}]) == "audio"
    assert media([{"bytes": None, "path": None}] * 2) is None
    assert media([{"other": 1}, {"other": 2}]) is None
    assert media([1, 2]) is None


def test_arrays_have_one_or_two_axes(tmp_path):
    def arrays(cells):
        return [array.shape for array in Column(table_of(tmp_path, x=cells), "x").arrays]

    assert arrays([[1.0, 2.0], [3.0]]) == [(2,), (1,)]
    assert arrays([[[1.0, 2.0]], [[3.0, 4.0]]]) == [(1, 2), (1, 2)]
    assert arrays([[[[1.0]]], [[[2.0]]]]) == []
    assert arrays(["[1, 2]", "[3]"] * 2) == [(2,), (1,)] * 2
    assert arrays([["a"], ["b"]]) == arrays([1.0, 2.0]) == arrays([[], []]) == []
    assert len(arrays([[float(i)] for i in range(40)])) == 32
    assert len(arrays([f"[{i}]" for i in range(40)])) == 32


def test_identifiers_have_a_name_and_no_value_twice(tmp_path):
    def identifier(name, cells):
        return Column(table_of(tmp_path, **{name: cells}), name).identifier

    assert [identifier(name, [1, 2]) for name in (" ID ", "user_id", "Unnamed: 0", "", "idea", "x")] == [
        True, True, True, True, False, False
    ]  # fmt: skip
    assert not identifier("id", [1, 1])
    assert not identifier("id", [1, None])
    assert not identifier("id", [1])


def test_a_sample_is_spread_over_the_cells_that_are_there(tmp_path):
    column = Column(table_of(tmp_path, x=[None] * 500 + list(range(1000))), "x")
    assert (len(column.sample), column.sample[0], column.sample[-1]) == (300, 0, 999)
    assert Column(table_of(tmp_path, x=[None, None]), "x").sample == []


@pytest.mark.parametrize(
    ("cells", "numbers", "dates"),
    [
        (["2020-01-05", "2020-02"], False, True),
        (["2020-01-05", "5"], False, False),
        (["2020-01-05", "2020-13-05"], False, False),
        (["2020-01", "2020-017"], False, False),
        (["1", "x"], False, False),
        (["1", "nan"], True, False),
        ([datetime.time(1), datetime.time(2)], True, False),
        ([datetime.timedelta(1), datetime.timedelta(2)], True, False),
        ([1.0, float("nan")], True, False),
        ([datetime.date(2020, 1, 1)] * 2, False, False),
        ([1, 1], False, False),
    ],
)
def test_numbers_and_dates(tmp_path, cells, numbers, dates):
    column = Column(table_of(tmp_path, x=cells), "x")
    assert (column.numbers, column.dates) == (numbers, dates)


def test_a_number_is_looked_for_in_every_cell(tmp_path):
    assert not Column(table_of(tmp_path, x=[str(i) for i in range(999)] + ["x"]), "x").numbers
    cells = [str(i) for i in range(2000)]
    cells[1001] = "word"
    assert not Column(table_of(tmp_path, x=cells), "x").numbers
