"""What kinds of columns are shown of the train rows."""

import errno
from pathlib import Path

import numpy as np
import pytest

from data_helpers import png, table_of
from perceiver_pytorch.data import DataError, SpecOptions
from perceiver_pytorch.data.cell_memory import CELL_BYTES
from perceiver_pytorch.data.train_rows import TrainRows, spread, too_large


def rows_of(folder, rows=None, **columns):
    table = table_of(folder, **columns)
    options = SpecOptions(image_size=4, column_options={"x": {"image_size": 8}})
    chosen = np.arange(len(table)) if rows is None else np.array(rows)
    return TrainRows(table, chosen, options, allow_outside=False, taken=["b"])


def test_other_rows_are_not_shown(tmp_path):
    train = rows_of(tmp_path, [3, 1], x=["0", "1", "2", "q"])
    assert train.cells("x") == ["q", "1"]
    assert train.values(["x"], int) == {"x": [None, 1]}
    assert list(train.look("x", lambda cell, where: (cell, where.row))) == [("q", 3), ("1", 1)]
    assert (train.options("x").image_size, train.options("y").image_size) == (8, 4)
    where = train.where(5)
    assert (where.source, where.root, where.row) == (train.table.source, train.table.root, 5)
    assert (where.allow_outside, where.cell_bytes) == (False, CELL_BYTES)


def test_values_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("perceiver_pytorch.data.train_rows._PART", 2)
    assert rows_of(tmp_path, x=["5", "6", "7", "8", "9"]).values(["x"], int) == {"x": [5, 6, 7, 8, 9]}


def test_a_name_is_free_once(tmp_path):
    train = rows_of(tmp_path, x=[1])
    assert [train.free_name(name) for name in ("a", "a", "b", "b")] == [
        "a",
        "a_columns",
        "b_columns",
        "b_columns_columns",
    ]


def test_a_cell_is_looked_at_once_and_bad_ones_are_left_out(tmp_path):
    seen = []

    def look(cell, where):
        seen.append(cell)
        if cell == "bad":
            raise ValueError("no good")
        if cell == "worse":
            raise where.error("x", "worse")
        return None if cell == "none" else cell.upper()

    train = rows_of(tmp_path, x=["bad", "worse", "none", "a", "b", "a"])
    assert list(train.look("x", look)) == ["A", "B"]
    assert seen == ["bad", "worse", "none", "a", "b"]
    seen.clear()
    assert list(train.look("x", look, most=2)) == ["A"]
    assert seen == ["bad", "a"]


def test_the_first_error_is_told_where_nothing_can_be_read(tmp_path):
    def refuse(cell, where):
        raise ValueError(f"{cell} is no good")

    def refuse_placed(cell, where):
        raise where.error("x", f"{cell} is placed")

    train = rows_of(tmp_path, [1, 0], x=["a", "b"], y=["c", "d"])
    with pytest.raises(DataError, match=r"row 1, column 'x': b is no good, file 'b'$"):
        list(train.look("x", refuse))
    with pytest.raises(DataError, match=r"row 1, column 'x': b is placed$"):
        list(train.look("x", refuse_placed))
    with pytest.raises(DataError, match=r"row 1, column 'y': .*, file 'd'$"):
        list(train.look_at(["y", "x"], train.rows, lambda cells, where: refuse(cells["x"], where), "thing"))
    message = r"column 'x' has no film in the train rows looked at; --column x=text goes on without$"
    with pytest.raises(DataError, match=message) as caught:
        list(train.look("x", lambda cell, where: None, what="film", without="text"))
    assert caught.value.column == "x"
    with pytest.raises(DataError, match=r"has no file in .*--column x=ignore goes on"):
        list(train.look("x", lambda cell, where: None))
    train = rows_of(tmp_path, x=["a", "b"])

    def tired(cell, where):
        raise OSError(errno.EMFILE if cell == "b" else errno.ENOENT, "too many open files")

    with pytest.raises(OSError, match="too many open") as raised:
        list(train.look("x", tired))
    assert not isinstance(raised.value, DataError)


def test_files_are_those_that_can_be_found(tmp_path):
    (tmp_path / "a.png").write_bytes(png(np.zeros((2, 2), np.uint8)))
    train = rows_of(tmp_path, x=["gone.png", "a.png", None, "../out.png", "a.png"])
    assert list(train.files("x", 9)) == [Path(tmp_path / "a.png")] * 2
    assert list(train.files("x", 3)) == [Path(tmp_path / "a.png")]
    assert list(rows_of(tmp_path, x=[b"1", b"", b"2"]).files("x", 3)) == [b"1", b"2"]


def test_rows_are_spread_from_the_first_to_the_last():
    rows = np.arange(10, 20)
    assert spread(rows, 10) is rows
    assert spread(rows, 4).tolist() == [10, 13, 16, 19]
    assert spread(rows, 1).tolist() == [10]


def test_sums_that_overflow_name_the_column():
    error = too_large("x")
    assert (str(error), error.column) == (f"column 'x': {error.reason}", "x")
    assert error.reason == "its numbers are too large to average; --column x=ignore leaves it out"
