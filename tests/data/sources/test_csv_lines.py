"""What the lines of a CSV file show before and after it is read."""

import re

import pytest

from perceiver_pytorch.data import DataError, ReadOptions, load_table
from perceiver_pytorch.data.sources import csv_lines
from perceiver_pytorch.data.sources.csv_lines import check_header
from perceiver_pytorch.data.sources.text_files import TextFile

ROWS = "".join(f"{i},{i % 2},{'ab'[i % 2]}\n" for i in range(60))


def write(folder, text):
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def loaded(folder, text, **options):
    return load_table(write(folder, text), ReadOptions(**options))


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


def test_four_of_five_lines_show_how_many_cells_a_row_has(tmp_path):
    def told(text):
        try:
            check_header(TextFile.of(write(tmp_path, text), ReadOptions().budget), "utf-8", ",", 0)
        except DataError as error:
            return str(error).partition(": ")[2]
        return ""

    rows = "a,b,y\n" + "1,2,3\n" * 7
    title = "line 1 has 1 cell, the lines below have 3; if it is a title, --skip-lines 1 begins at line 2"
    assert told(f"Export\n{rows}1,2\n1,2\n") == title
    assert told(f"Export\n{rows}1,2\n1,2\n1,2\n") == ""
    assert told("Export\n" * 10 + rows + "1,2,3\n" * 3).endswith("--skip-lines 10 begins at line 11")
    assert told("Export\n" * 50 + rows) == ""  # all that is looked at is titles
    assert told(f"a,b\n{rows[6:]}").endswith(
        "if it has the names, there must be one for each column, also for names of rows"
    )
    assert told(f"a\n{rows[6:]}").endswith("begins at line 2")
    assert told(f"a,\n{rows}").startswith("line 1 has 2 cells, ")
    assert told(f"a,,\n{rows}").startswith("line 1 has 1 cell, ")
    assert told(f"a,b,\n{rows[6:]}") == ""  # a name is missing


def test_names_that_look_like_cells(tmp_path):
    def told(text):
        return notes(loaded(tmp_path, text))

    assert told("1.5,7,2\n1,2,3\n") == [
        "the first line (1.5, 7, 2) looks like a row; if it names no columns, give --no-header"
    ]
    assert told("5,3,8,1,9\n1,2,3,4,5\n")[0].startswith("the first line (5, 3, 8, 1 .. and 1 more) looks")
    for header in ("1,3,5", "-1,0,1", "2020,2021,2022", "7,a,9", "7"):
        assert told(f"{header}\n" + ",".join(["1"] * (header.count(",") + 1)) + "\n") == [], header
    assert told("a,b\na,x\ny,b\n") != []
    assert told("a,b\na,x\ny,z\n") == []
    assert told("a\na\nb\n") == []


def test_numbers_that_lose_digits_are_between_two_bounds(tmp_path):
    def told(*cells):
        return len(notes(loaded(tmp_path, "x,w\n" + "".join(f"{cell},a\n" for cell in cells))))

    assert told(2**63, 2**64) == 1
    assert told(2**63 - 1, 5) == 0
    assert told(2**63, 5.5) == 0
    assert told("9e39", "-1e30") == 1
    assert told("1e40", "1e30") == 0
    assert told(2**63, "") == 1


def test_pieces_of_rows_have_as_many_signs_as_rows():
    look = csv_lines._look_like_rows
    assert look(["a", "b,1", "c,2"], ",", 1, 2)
    assert look(["a,1", "b,2", "c"], ",", 0, 2)
    assert look(["a,1", "b"], ",", 0, 2)
    assert not look(["a,1"], ",", 0, 2)
    assert not look(["a", "b"], ",", 0, 2)
    assert not look(["a,1", "x", "y", "z", "c"], ",", 0, 2)
    assert look(["a,1", "x", *["b,2"] * 3], ",", 0, 2)
    assert not look(["a,1", "x", *["b,2"] * 2], ",", 0, 2)


def test_whole_numbers_at_several_steps_look_like_a_row(tmp_path):
    assert notes(loaded(tmp_path, "1,2,4\n1,2,3\n"))[0].startswith("the first line (1, 2, 4) looks like a row")
    assert notes(loaded(tmp_path, "1,2\n1,2\n")) == []


def test_five_cells_that_swallow_lines_are_named(tmp_path):
    def told(count):
        rows = [f'"x{i},{i}\ny{i},1\nz{i}",{i}' if i < count else f"d,{i}" for i in range(9)]
        return notes(loaded(tmp_path, "t,n\n" + "\n".join(rows) + "\n"))

    cells = "; ".join(f"row {i}, column 't': 3 lines" for i in range(5))
    for count, more in ((5, ""), (6, " .. and 1 more")):
        (note,) = told(count)
        assert note.startswith(f"{2 * count} lines that look like rows stand inside of cells ({cells}{more}): a stray")
    assert told(0) == []


def test_a_title_above_two_columns_is_told_and_one_column_has_none(tmp_path):
    with pytest.raises(DataError, match="line 1 has 1 cell, the lines below have 2; if it is a title, --skip-lines 1"):
        loaded(tmp_path, "My table\na,y\n" + "".join(f"{i},u\n" for i in range(9)))
    assert loaded(tmp_path, "a\n" + "".join(f"{i}\n" for i in range(9))).column_names == ["a"]
