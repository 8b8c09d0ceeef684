"""What the lines of a CSV file show before and after it is read."""

import re

import pytest

from perceiver_pytorch.data import DataError, ReadOptions, load_table

ROWS = "".join(f"{i},{i % 2},{'ab'[i % 2]}\n" for i in range(60))


def loaded(folder, text, **options):
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return load_table(path, ReadOptions(**options))


def notes(table):
    return [note.partition(": ")[2] for note in table.notes]


TITLES = [
    "Export of 2024-01-01\n\n",
    "Export\n",
    "# made by us\n# second line\n",
    "Export,,\n,,\n",
    "Export of 2024, by us\n",
    '"a title\nin two lines"\n',
]


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("num_rows", [1, 60])
def test_the_remedy_for_a_title_is_right(tmp_path, title, num_rows):
    text = title + "a,b,y\n" + "".join(ROWS.splitlines(keepends=True)[:num_rows])
    with pytest.raises(DataError, match=r"t\.csv: line 1 has \d cells?, the lines below have 3; if") as told:
        loaded(tmp_path, text)
    (skip,) = re.findall(r"--skip-lines (\d+)", str(told.value))
    table = loaded(tmp_path, text, skip_lines=int(skip))
    assert (table.column_names, len(table), notes(table)) == (["a", "b", "y"], num_rows, [])


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_a_title_above_cells_that_another_sign_parts(tmp_path, sign):
    text = ("Export\n\na,b,y\n" + ROWS).replace(",", sign)
    with pytest.raises(DataError, match="--skip-lines 2 begins at line 3"):
        loaded(tmp_path, text)
    assert loaded(tmp_path, text, skip_lines=2).column_names == ["a", "b", "y"]


def test_names_that_are_missing(tmp_path):
    with pytest.raises(DataError, match=r"line 1 has 2 cells, the lines below have 3; .*names of rows"):
        loaded(tmp_path, "a,y\n" + ROWS)
    with pytest.raises(DataError, match="with nothing behind the last ','; put one at the end of line 1"):
        loaded(tmp_path, "a,b,y\n" + ROWS.replace("\n", ",\n"))
    assert loaded(tmp_path, "a,b,y,\n" + ROWS.replace("\n", ",\n")).column_names == ["a", "b", "y", ""]


@pytest.mark.parametrize(
    "text", ["a\n1\n2\n", "a,b\n1,2\n", "a,b\n1,2\n3,4,5\n6,7,8,9\n", 'a,b\n"x,y\nz",1\n', "\na,b\n1,2\n"]
)
def test_nothing_is_taken_for_a_title_where_there_is_none(tmp_path, text):
    assert loaded(tmp_path, text, skip_bad=True).column_names[0] == "a"


def test_a_first_line_that_looks_like_a_row(tmp_path):
    for text in ("5.1,3.5,setosa\n4.9,3.0,setosa\n6,3,virginica\n", "male,yes\nfemale,no\nmale,yes\nfemale,yes\n"):
        table = loaded(tmp_path, text)
        assert [note[-36:] for note in notes(table)] == ["if it names no columns, give --no-header"[-36:]]
        whole = loaded(tmp_path, text, header=False)
        assert len(whole) == len(table) + 1
        assert whole.column_names == [f"x{i}" for i in range(len(table.column_names))]
        assert whole.notes == ()


@pytest.mark.parametrize("header", ["2019,2020,2021", "0,1,2", "id,2019,2020", "a,b,c"])
def test_names_of_columns_are_not_taken_for_a_row(tmp_path, header):
    assert loaded(tmp_path, f"{header}\n1,2,3\n4,5,6\n").notes == ()


def test_codes_of_too_many_digits_are_told(tmp_path):
    text = "code,size,large,y\n" + "".join(f"{10**19 * 2 + i},{i + 0.5},{i}e30,a\n" for i in range(9))
    (note,) = notes(loaded(tmp_path, text))
    assert note.startswith("the numbers of column 'code' have more digits than can be kept")
    assert loaded(tmp_path, text.replace("\n2", "\nc2")).notes == ()


def test_quotes_that_swallow_lines_are_told(tmp_path):
    lines = [f"disk {i},{'ab'[i % 2]}" for i in range(60)]
    lines[20], lines[40] = '"' + lines[20], lines[40].replace(",", '",')
    text = "t,y\n" + "\n".join(lines) + "\n"
    table = loaded(tmp_path, text)
    assert len(table) == 40
    (note,) = notes(table)
    assert note.startswith("20 lines that look like rows stand inside of cells (row 20, column 't': 21 lines): a stray")
    mended = loaded(tmp_path, text, quoting="none")
    assert (len(mended), mended.column("t")[20], mended.notes) == (60, '"disk 20', ())


def test_a_quote_that_is_never_closed_is_told(tmp_path):
    text = "a,b,y\n" + ROWS.replace("30,0,", '30,"0,')
    with pytest.raises(DataError, match="a quote that is not closed\\? --quoting none reads quotes as text"):
        loaded(tmp_path, text)
    assert len(loaded(tmp_path, text, quoting="none")) == 60
    assert notes(loaded(tmp_path, text, skip_bad=True)) == [
        "1 lines are left out: line 32 has 2 cells instead of 3, in 30 lines (a stray quote?)"
    ]
    (note,) = notes(loaded(tmp_path, "a,y\n" + "".join(f"{i},{chr(34) * (i == 5)}x\n" for i in range(9))))
    assert note.startswith("3 lines that look like rows")


def test_texts_of_several_lines_are_not_taken_for_rows(tmp_path):
    poem = '"Roses are red,\nviolets are blue,\n\nsugar"'
    assert loaded(tmp_path, f"n,text,y\n1,{poem},a\n2,{poem},b\n").notes == ()


def test_backslashes_before_quotes(tmp_path):
    text = 'a,b\n"say ""hi, there"" \\ now",1\n"x\\",2\n'
    plain = loaded(tmp_path, text)
    assert (plain.column("a"), plain.notes) == (['say "hi, there" \\ now', "x\\"], ())
    text = 'a,b\n"say \\"hi, there\\" \\n now",1\n"x\\\\",2\n"{\\"k\\": 1}",3\n'
    table = loaded(tmp_path, text)
    assert table.column("a") == ['say "hi, there" \\n now', "x\\", '{"k": 1}']
    assert notes(table) == ["quotes in its cells stand after a backslash, and are read so"]
    asked = loaded(tmp_path, text, quoting="backslash")
    assert (asked.column("a"), asked.notes) == (table.column("a"), ())
    with pytest.raises(DataError, match="cannot be read as csv"):
        loaded(tmp_path, text, quoting="doubled")


def test_a_long_cell_is_no_reason_to_doubt_quotes(tmp_path):
    text = f'a,b\n"{"x" * 200_000} ""\\""""",1\n'
    assert loaded(tmp_path, text).notes == ()


def test_quotes_of_both_kinds_are_told(tmp_path):
    table = loaded(tmp_path, 'a,b\n"say \\"hi\\" now",1\n"say ""hi""",2\n')
    assert table.column("a") == ['say "hi" now', 'say "hi"']
    (note,) = notes(loaded(tmp_path, 'a,b\n"say \\"hi\\" now",1\n"5" disk",2\n'))
    assert note.startswith(r"some cells have \", yet not all rows can be read so; --quoting")
