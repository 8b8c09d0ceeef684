"""CSV and TSV files."""

import pytest

from data_helpers import write_table
from perceiver_pytorch.data import DataError, ReadOptions, load_table, recognise_columns


def test_csv_gives_typed_columns_and_empty_cells_are_missing(tmp_path):
    table = write_table(tmp_path, 'a,b,c\n1,"x, y",\n2,,None\n')
    assert len(table) == 2
    assert table.column_names == ["a", "b", "c"]
    assert table.column("b") == ["x, y", None]
    assert table.row(1) == {"a": 2, "b": None, "c": "None"}
    assert table.root == tmp_path.resolve()


def test_a_column_is_typed_by_the_whole_file(tmp_path):
    values = ["1"] * 300_000 + ["2.5"]  # the first megabyte holds integers only
    table = write_table(tmp_path, "a,b\n" + "".join(f"{v},x\n" for v in values))
    assert table.column("a")[-1] == 2.5


def test_quoted_line_breaks_and_byte_order_mark(tmp_path):
    table = write_table(tmp_path, '\ufeffa,b\n1,"two\nlines"\n')
    assert table.row(0) == {"a": 1, "b": "two\nlines"}


def test_decimal_commas_are_read_where_semicolons_part_the_cells(tmp_path):
    text = "x;y;word;price;gap;count\n1,5;2,25;a,b;1,000;NA;3\n-2,5e3;3;4,5;2,000;1,5;4\n;4,125;c;3,5;2;5\n"
    table = write_table(tmp_path, text)
    assert table.column("x") == [1.5, -2500.0, None]
    assert table.column("y") == [2.25, 3.0, 4.125]
    assert table.column("word") == ["a,b", "4,5", "c"]
    assert table.column("gap") == ["NA", "1.5", "2"]
    assert table.column("count") == [3, 4, 5]
    assert recognise_columns(table, target=None, split=None)["gap"] == "number"
    assert "numbers with a decimal comma are read in x, y, price, gap" in table.notes[1]
    commas = write_table(tmp_path, 'x,y\n"1,5",a\n"2,5",b\n')  # it may part thousands here
    assert commas.column("x") == ["1,5", "2,5"]
    assert not commas.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"a,b,a\n1,2,3\n", "'a'"),
        (b"a,b\n1,2\n1,2,3\n", "(?s)cannot be read as csv.*3"),
        (b"a,b\n1,2\n3,caf\xe9\n", "line 3 is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16"),
        (b"a,b\n1,caf\xc3", "line 2 is not UTF-8"),
    ],
)
def test_malformed_csv_is_named(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_seen_in_the_header_and_told(tmp_path, delimiter):
    (tmp_path / "t.csv").write_text("a,b,c\n1,2,3\n".replace(",", delimiter))
    table = load_table(tmp_path / "t.csv")
    assert table.row(0) == {"a": 1, "b": 2, "c": 3}
    assert repr(delimiter) in table.notes[0]
    (tmp_path / "t.csv").write_text("a:b\n1:2\n")
    assert load_table(tmp_path / "t.csv").column_names == ["a:b"]
    assert load_table(tmp_path / "t.csv", ReadOptions(delimiter=":")).column_names == ["a", "b"]


def test_lines_that_do_not_fit_stop_or_are_left_out_and_told(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4,5\n6\n7,8\n")
    with pytest.raises(DataError, match=r"(?s)Row #3: Expected 2 columns, got 3.*--on-error skip"):
        load_table(tmp_path / "t.csv")
    table = load_table(tmp_path / "t.csv", ReadOptions(skip_bad=True))
    assert table.column("a") == [1, 7]
    assert "2 lines are left out: line 3 has 3 cells instead of 2; line 4" in table.notes[0]
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n{"a": \n[2]\n{"a": 3}\n')
    table = load_table(tmp_path / "t.jsonl", ReadOptions(skip_bad=True))
    assert table.column("a") == [1, 3]
    assert "line 2 is no JSON" in table.notes[0]
    assert "line 3 is no JSON object" in table.notes[0]


@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\r\n', "\ufeffSEP=;\n"])
def test_a_first_line_that_tells_the_delimiter_is_obeyed(tmp_path, first):
    path = tmp_path / "t.csv"
    path.write_text(f"{first}a,b;c\n1;2\n3;4\n", encoding="utf-8", newline="")
    table = load_table(path)
    assert {name: table.column(name) for name in table.column_names} == {"a,b": [1, 3], "c": [2, 4]}
    assert "separated by ';'; its first line, which says so, is left out" in table.notes[0]


def test_a_column_may_be_called_sep(tmp_path):
    (tmp_path / "t.csv").write_text("sep,a\n1,2\n")
    assert load_table(tmp_path / "t.csv").column_names == ["sep", "a"]


def test_the_usual_delimiter_stays_where_several_others_part_the_lines_alike(tmp_path):
    def names(text, name="t.csv", **options):
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return load_table(tmp_path / name, ReadOptions(**options)).column_names

    assert names("a;b|c\n1;2|3\n") == ["a;b|c"]
    assert names("a;b\n1;2\n1;2;3\n", skip_bad=True) == ["a", "b"]
    assert names("a;b,c\n1;2,3\n") == ["a;b", "c"]
    assert names("t\na;b\n1;2\n", skip_lines=1) == ["a", "b"]
    assert names("a,b\n1,2\n", "t.tsv") == ["a", "b"]
    assert names("sep=;\na;b\n1;2\n", skip_lines=1) == ["a", "b"]
    assert names("sep=;\na;b,c\n1;2,3\n", delimiter=",", skip_bad=True) == ["a;b", "c"]
    assert names("a;é\n1;2\n".encode("latin-1"), encoding="latin-1") == ["a", "é"]
    with pytest.raises(DataError):
        names("a;é\n1;2\n".encode("latin-1"), encoding="ascii")


def test_lines_left_out_say_how_many_lines_of_text_they_have(tmp_path):
    (tmp_path / "t.csv").write_text('a,b\n1,2\n"x\ny",2,3\n4,5\n')
    table = load_table(tmp_path / "t.csv", ReadOptions(skip_bad=True))
    assert table.column("a") == [1, 4]
    assert table.notes[-1].endswith("line 3 has 3 cells instead of 2, in 2 lines (a stray quote?)")


def test_columns_named_as_text_stay_text_without_a_header(tmp_path):
    (tmp_path / "t.csv").write_text("1,2\n3,4\n")
    table = load_table(tmp_path / "t.csv", ReadOptions(header=False, as_written=("x1",)))
    assert {name: table.column(name) for name in table.column_names} == {"x0": [1, 3], "x1": ["2", "4"]}
    assert load_table(tmp_path / "t.csv", ReadOptions(as_written=("2",))).column("2") == ["4"]
