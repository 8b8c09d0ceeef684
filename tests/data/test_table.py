"""Tables in memory."""

import numpy as np
import pytest

from data_helpers import write_table
from perceiver_pytorch.data import DataError
from perceiver_pytorch.data.spelling.spellings import Spelling, Spellings
from perceiver_pytorch.data.table import arrow_array


def test_an_unknown_column_suggests_the_nearest(tmp_path):
    table = write_table(tmp_path, "label,image\n1,x\n")
    with pytest.raises(DataError, match=r"'lable' \(did you mean 'label'\?\); its columns are label, image"):
        table.column("lable")
    with pytest.raises(DataError, match="no row 1"):
        table.row(1)


def test_iterate_gives_the_asked_rows_and_columns(tmp_path):
    table = write_table(tmp_path, "a,b\n" + "".join(f"{i},{-i}\n" for i in range(600)))
    rows = np.array([599, 0, *range(1, 400)])
    assert [(row, cells["b"]) for row, cells in table.iterate(rows, ["b"])] == [(r, -r) for r in rows.tolist()]


def test_rows_are_counted_from_zero(tmp_path):
    table = write_table(tmp_path, "a,b\n1,x\n2,\n")
    assert (len(table), table.column_names) == (2, ["a", "b"])
    assert table.row(0) == {"a": 1, "b": "x"}
    assert table.row(1)["a"] == 2
    for i in (-1, 2):
        with pytest.raises(DataError, match=f"no row {i}; it has 2 rows, counted from 0") as caught:
            table.row(i)
        assert caught.value.row == i


def test_cells_are_taken_in_the_order_asked_for(tmp_path):
    table = write_table(tmp_path, "a,b\n1,x\n2,y\n3,z\n")
    assert table.take("b", np.array([2, 0])) == ["z", "x"]
    assert table.column("a") == [1, 2, 3]
    for ask in (lambda: table.take("c", np.array([0])), lambda: list(table.iterate(np.array([0]), ["c"]))):
        with pytest.raises(DataError, match="no column 'c'") as caught:
            ask()
        assert caught.value.column == "c"
    assert list(table.iterate(np.array([1]), [])) == [(1, {})]


def test_a_table_may_have_columns_without_cells(tmp_path):
    table = write_table(tmp_path, "a\n1\n2\n").with_empty(["y", "z"])
    assert table.column_names == ["a", "y", "z"]
    assert table.column("z") == [None, None]
    sample, rows = table.sample(np.array([1]), ["y"])
    assert sample is table
    assert rows.tolist() == [1]
    assert table.place(1) == table.source


def test_numbers_and_texts_go_to_arrow():
    import pyarrow

    assert arrow_array(np.array([3, 1, 2, 0])[::2]).equals(pyarrow.array([3, 2]))
    assert arrow_array(np.array([0.5])).equals(pyarrow.array([0.5]))
    for texts in (["a", "", "äö"], ["a", None, "", "äö", None, *"bcdefg"], [None], []):
        assert arrow_array(texts).equals(pyarrow.array(texts, pyarrow.string()))


def test_texts_are_read_as_they_are_meant_and_a_table_without_any_stays_itself(tmp_path):
    table = write_table(tmp_path, 'a,b\n"1,5",x\n"2,5",y\n')
    read = table.spelled(Spellings(missing=(), columns=(Spelling("a", decimal=","),)))
    assert (read.column("a"), read.column("b"), table.column("a")) == ([1.5, 2.5], ["x", "y"], ["1,5", "2,5"])
    assert (read.source, read.root) == (table.source, table.root)
    assert table.spelled(Spellings(missing=())) is table
    assert table.with_empty([]) is table
