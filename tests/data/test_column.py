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
