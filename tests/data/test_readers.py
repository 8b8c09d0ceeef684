import datetime
import gzip
import json
import re
import subprocess
import sys

import numpy as np
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


def test_other_formats_hold_the_same_rows(tmp_path):
    import pyarrow.parquet

    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    tsv = write_table(tmp_path, "a\tb\n1\tx\n2\t\n", "t.tsv")
    jsonl = write_table(tmp_path, '{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n', "t.jsonl")
    (tmp_path / "year=2020").mkdir()  # a folder name that must not become a column
    pyarrow.parquet.write_table(tsv.rows, tmp_path / "year=2020/t.parquet")
    parquet = load_table(tmp_path / "year=2020/t.parquet")
    for table in (tsv, jsonl, parquet):
        assert [table.row(i) for i in range(2)] == rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"a,b\n1,x\n2,\n"),
        ("t.tsv", b"a\tb\n1\tx\n2\t\n"),
        ("T.CSV", "a;b\n1;x\n2;\n".encode("utf-16")),
        ("t.jsonl", b'{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n'),
        ("t.json", b'[{"a": 1, "b": "x"}, {"a": 2}]'),
        ("t.ndjson", b'{"a": 1, "b": "x"}\nno JSON\n{"a": 2, "b": null}\n'),
    ],
)
def test_text_tables_may_be_packed_by_gzip(tmp_path, name, content):
    options = ReadOptions(skip_bad=True)
    (tmp_path / name).write_bytes(content)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(content))
    plain, table = load_table(tmp_path / name, options), load_table(packed, options)
    assert table.rows == plain.rows
    assert [note.replace(".gz", "") for note in table.notes] == list(plain.notes)
    packed.write_bytes(gzip.compress(content)[:-9])
    with pytest.raises(DataError, match=r"\.gz: cannot be unpacked \(.*ended"):
        load_table(packed)
    packed.write_bytes(content)
    with pytest.raises(DataError, match=r"\.gz: cannot be unpacked \(Not a gzipped file"):
        load_table(packed)


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


def test_lines_of_json_with_columns_of_their_own_or_of_two_types(tmp_path):
    options = ReadOptions(skip_bad=True)
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\nnothing\n{"a": 2, "b": "x"}\n')
    table = load_table(path, options)
    assert [table.row(i) for i in range(2)] == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    path.write_text('{"a": 1, "x": 1.5}\nnothing\n{"a": 2, "x": "2.5"}\n')
    with pytest.raises(DataError, match="column 'x' has values of different types"):
        load_table(path, options)


@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_of_json_objects_is_a_table(tmp_path, name, encoding):
    rows = [{"a": 1, "b": "é"}, {"a": 2, "b": None, "c": [1.5]}]
    path = tmp_path / name
    path.write_bytes((" \n" * (encoding == "utf-8") + json.dumps(rows, indent=1, ensure_ascii=False)).encode(encoding))
    table = load_table(path)
    assert [table.row(i) for i in range(2)] == [{"c": None, **rows[0]}, rows[1]]
    for text, message in (
        ("[1, 2]", "row 0 must be a JSON object, got '1'"),
        ('[{"a": 1}', "is no JSON"),
        ('[{"a": 1}, {"a": "x"}]', "column 'a' has values of different types"),
        ("[]", "no rows"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            load_table(path)


def test_utf_32_is_seen_by_its_byte_order_mark(tmp_path):
    (tmp_path / "t.csv").write_bytes("a,b\n1,é\n".encode("utf-32"))
    assert load_table(tmp_path / "t.csv").row(0) == {"a": 1, "b": "é"}


def test_what_cannot_be_streamed_or_unpacked_says_so(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a\n1\n"))
    with pytest.raises(DataError, match=r"only Parquet and tar files can be streamed; a \.csv file is read whole"):
        load_table(tmp_path / "t.csv.gz", ReadOptions(stream=True))
    (tmp_path / "shards").mkdir()
    for name in ("shards/1.tar.gz", "shards/2.tar.gz"):
        (tmp_path / name).write_bytes(b"\x1f\x8b")
    for source in ("shards", "shards/1.tar.gz", "shards/*.tar.gz", "shards/{1..2}.tar.gz", "shards/3.tgz"):
        with pytest.raises(DataError, match=r"compressed tar files cannot be read by position; unpack them"):
            load_table(str(tmp_path / source))
    (tmp_path / "t.csv.bz2").write_bytes(b"BZh")
    with pytest.raises(DataError, match=r"unknown suffix '\.bz2'; table files end in \.csv, .*; \.gz behind a text"):
        load_table(tmp_path / "t.csv.bz2")


def test_times_in_nanoseconds_and_string_views_become_python_values(tmp_path):
    import pyarrow
    import pyarrow.parquet

    columns = {
        "when": pyarrow.array([1_500, None], pyarrow.timestamp("ns", "UTC")),
        "took": pyarrow.array([2_000, 3_000], pyarrow.duration("ns")),
        "name": pyarrow.array(["x", "y"], pyarrow.string_view()),
        "kind": pyarrow.array(["x", None]).dictionary_encode(),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    table = load_table(tmp_path / "t.parquet")
    utc = datetime.timezone.utc
    assert table.column("when") == [datetime.datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=utc), None]
    assert table.row(1) == {"when": None, "took": datetime.timedelta(microseconds=3), "name": "y", "kind": None}
    assert recognise_columns(table, target=None, split=None)["took"] == "number"


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


@pytest.mark.parametrize("name", ["bad.parquet", "bad.jsonl"])
def test_malformed_files_of_other_formats_are_named(tmp_path, name):
    (tmp_path / name).write_text("this is not a table")
    with pytest.raises(DataError, match=re.escape(name)):
        load_table(tmp_path / name)


def test_a_missing_source_suggests_what_there_is(tmp_path):
    write_table(tmp_path, "a\n1\n", "manifest.csv")
    with pytest.raises(DataError, match=r"did you mean 'digits'.*easy-vqa"):
        load_table("digit")
    with pytest.raises(DataError, match=r"did you mean 'manifest.csv'"):
        load_table(tmp_path / "manifets.csv")
    with pytest.raises(DataError, match=r"is a folder.*holds manifest\.csv"):
        load_table(tmp_path)


def test_an_unknown_suffix_lists_the_known_ones(tmp_path):
    (tmp_path / "t.dat").write_bytes(b"x")
    with pytest.raises(DataError, match=r"'\.dat'.*\.csv.*\.parquet"):
        load_table(tmp_path / "t.dat")
    (tmp_path / "t.XLSX").write_bytes(b"PK")
    with pytest.raises(DataError, match="spreadsheets are not read; save the sheet as a CSV file"):
        load_table(tmp_path / "t.XLSX")


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


def test_importing_the_package_imports_no_optional_library():
    code = (
        "import sys, perceiver_pytorch.data;"
        "print([m for m in ('pyarrow', 'PIL', 'soundfile', 'soxr', 'sklearn', 'easy_vqa') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_a_missing_library_names_the_extra(monkeypatch, tmp_path):
    from perceiver_pytorch.data.errors import need

    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ImportError, match=r'pip install "perceiver-multi-modality-pytorch\[data\]"'):
        need("soxr", "resample sound")


def test_another_encoding_is_read_when_it_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("name,b\ncafé,1\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"line 2 is not UTF-8 .*--encoding cp1252"):
        load_table(path)
    assert load_table(path, ReadOptions(encoding="latin-1")).column("name") == ["café"]
    (tmp_path / "t.jsonl").write_bytes('{"name": "café"}\n'.encode("latin-1"))
    assert load_table(tmp_path / "t.jsonl", ReadOptions(encoding="latin-1")).column("name") == ["café"]
    with pytest.raises(DataError, match="one that Python knows"):
        ReadOptions(encoding="klingon")


def test_utf_16_with_its_mark_is_read(tmp_path):
    (tmp_path / "t.csv").write_bytes("name,b\ncafé,1\n".encode("utf-16"))
    assert load_table(tmp_path / "t.csv").row(0) == {"name": "café", "b": 1}


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
