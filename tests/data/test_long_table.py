"""Series in long format: who has which steps, in which order."""

import os

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from perceiver_pytorch.data import DataError
from perceiver_pytorch.data.long_table import load_long_table


def loaded(folder, text, key="who", time="", values=(), name="t.csv"):
    (folder / name).write_text(text)
    return load_long_table(folder / name, key, time, values)


def test_steps_are_sorted_by_time_and_stay_in_order_where_it_is_the_same(tmp_path):
    table = loaded(tmp_path, "who,t,x,y\nb,2,1,10\na,5,2,20\nb,1,3,30\n,9,0,0\nb,2,4,\n", time="t")
    assert table.values == ("x", "y")
    assert list(table.series) == ["b", "a"]
    times, numbers = table.series["b"]
    assert times.tolist() == [1, 2, 2]
    assert numbers.tolist()[:2] == [[3, 30], [1, 10]]
    assert numbers[2, 0] == 4
    assert np.isnan(numbers[2, 1])


def test_without_times_steps_are_in_the_files_order(tmp_path):
    table = loaded(tmp_path, "who,x,note\n1,5,a\n2,6,b\n1.0,4,c\n")
    assert table.values == ("x",)
    assert {name: (times, numbers.tolist()) for name, (times, numbers) in table.series.items()} == {
        "1": (None, [[5], [4]]),
        "2": (None, [[6]]),
    }
    assert loaded(tmp_path, "who,x,y\n1,5,7\n", values=("y", "x")).series["1"][1].tolist() == [[7, 5]]


def test_a_file_is_read_once_until_it_changes(tmp_path):
    first = loaded(tmp_path, "who,x\n1,5\n")
    assert load_long_table(tmp_path / "t.csv", "who", "", ()) is first
    os.utime(tmp_path / "t.csv", ns=(1, 1))
    assert load_long_table(tmp_path / "t.csv", "who", "", ()) is not first


def test_what_is_not_as_expected_is_named(tmp_path):
    for columns, message in (
        ({"key": "no"}, "no column 'no'"),
        ({"time": "no"}, "no column 'no'"),
        ({"values": ("x", "no")}, "no column 'no'"),
        ({"values": ("x", "word")}, r"t\.csv: row 1, column 'word': .*'b'"),
        ({"time": "word"}, r"t\.csv: row 0, column 'word': "),
    ):
        with pytest.raises(DataError, match=message):
            loaded(
                tmp_path, "who,x,word\n1,5,2\n2,6,b\n".replace("5,2", "5,a" if "time" in columns else "5,2"), **columns
            )
    with pytest.raises(DataError, match=r"t\.csv: no column of numbers besides 'who'; name some with series_values"):
        loaded(tmp_path, "who,word\n1,b\n")
    (tmp_path / "s").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"who": ["a"], "x": [1.5]}), tmp_path / "s" / "t.parquet")
    assert load_long_table(tmp_path / "s" / "t.parquet", "who", "", ()).series["a"][1].tolist() == [[1.5]]
