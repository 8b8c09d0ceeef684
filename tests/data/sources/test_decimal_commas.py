"""Points stay text where they may part thousands, until somebody knows."""

import pytest

from perceiver_pytorch.data import ReadOptions, load_table

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
