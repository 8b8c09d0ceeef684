"""Points stay text where they may part thousands, until somebody knows."""

import pyarrow
import pytest

from perceiver_pytorch.data import ReadOptions, load_table
from perceiver_pytorch.data.sources.decimal_commas import with_parted, with_points

TOLD = ReadOptions(as_written=())  # whoever reads the table finds out how it is written


@pytest.mark.parametrize("sign", [";", "\t", ","])
def test_points_stay_as_they_are_written_where_other_columns_have_commas(tmp_path, sign):
    rows = ['850|"0,25"|1.5|x', '1.234|"1,25"|2.5|y', '12.500|"2,5"|3|z']
    (tmp_path / "t.csv").write_text("\n".join(["rev|b|c|w", *rows]).replace("|", sign) + "\n")
    table = load_table(tmp_path / "t.csv", TOLD)
    assert table.column("rev") == ["850", "1.234", "12.500"]
    assert table.column("b") == ["0,25", "1,25", "2,5"]
    assert table.column("c") == [1.5, 2.5, 3.0]
    assert (table.as_written, table.decimal) == (("rev",), "," if sign == ";" else None)


def test_points_are_decimal_where_no_column_has_commas(tmp_path):
    (tmp_path / "t.csv").write_text("rev,w\n850,a\n1.234,b\n")
    table = load_table(tmp_path / "t.csv", TOLD)
    assert (table.column("rev"), table.as_written) == ([850, 1.234], ())
    table = load_table(tmp_path / "t.csv", ReadOptions(as_written=(), decimal=","))
    assert (table.column("rev"), table.as_written) == (["850", "1.234"], ("rev",))
    table = load_table(tmp_path / "t.csv", ReadOptions(as_written=("rev", "other")))
    assert (table.column("rev"), table.as_written) == (["850", "1.234"], ("rev",))


def test_lines_that_are_left_out_are_told_once_where_a_file_is_read_twice(tmp_path):
    (tmp_path / "t.csv").write_text('rev,b\n1.234,"0,5"\n1\n2.345,"1,5"\n')
    table = load_table(tmp_path / "t.csv", ReadOptions(as_written=(), skip_bad=True))
    assert table.column("rev") == ["1.234", "2.345"]
    assert "1 lines are left out" in table.notes[0]


def test_columns_without_a_header_are_known_by_their_numbers(tmp_path):
    (tmp_path / "t.csv").write_text('1.234,"0,5"\n2.345,"1,5"\n')
    table = load_table(tmp_path / "t.csv", ReadOptions(as_written=("x0",), header=False))
    assert (table.column("x0"), table.as_written) == (["1.234", "2.345"], ("x0",))


def test_points_stand_for_commas_in_columns_of_such_numbers():
    rows = pyarrow.table(
        {
            "x": ["1,5", "-2,25e3", None],
            "gap": ["1,5", "N/A", "2"],
            "word": ["1,5", "b", "2"],
            "two": ["1,5", "1,2,3", "2"],
            "none": ["a", "b", "c"],
            "n": [1, 2, 3],
        }
    )
    read, names = with_points(rows)
    assert names == ["x", "gap"]
    assert read.column_names == rows.column_names
    assert read.column("x").to_pylist() == [1.5, -2250.0, None]
    assert read.column("gap").to_pylist() == ["1.5", "N/A", "2"]
    assert [read.column(name) for name in ("word", "two", "none", "n")] == [
        rows.column(name) for name in ("word", "two", "none", "n")
    ]


def test_a_table_is_read_again_where_most_cells_of_a_column_have_commas():
    rows = pyarrow.table({"p": [1.234, 2.345], "q": [1.5, 2.5], "n": [1, 2], "c": ["1,5", "x"]})
    asked = []

    def again(names):
        asked.append(names)
        texts = {name: [str(cell) for cell in rows.column(name).to_pylist()] for name in names}
        return pyarrow.table({name: texts.get(name, rows.column(name)) for name in rows.column_names})

    assert with_parted(rows, again, commas=False) == (rows, [])
    read, kept = with_parted(rows, again, commas=True)
    assert (asked, kept) == ([["p", "q"]], ["p"])
    assert read.column("p").to_pylist() == ["1.234", "2.345"]
    assert read.column("q") == rows.column("q")
    most = rows.set_column(3, "c", pyarrow.array(["1,5", "$ 2,5"]))
    assert with_parted(most, again, commas=False)[1] == ["p"]
    none = pyarrow.table({"n": [1], "c": ["1,5"]})
    assert with_parted(none, again, commas=False) == (none, [])
    empty = pyarrow.table({"p": [1.234], "c": pyarrow.array([None], "string")})
    assert with_parted(empty, again, commas=False) == (empty, [])
    late = pyarrow.table({"p": [1.234] * 1001, "c": [*["x"] * 1000, "1,5"]})
    assert with_parted(late, again, commas=False) == (late, [])
