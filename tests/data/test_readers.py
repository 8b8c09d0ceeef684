import datetime
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest

from data_helpers import write_table
from perceiver_pytorch.data import DataError, ReadOptions, Table, load_table, recognise_columns
from perceiver_pytorch.data.readers import checked_table


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


def test_importing_the_package_imports_no_optional_library():
    code = (
        "import sys, perceiver_pytorch.data;"
        "print([m for m in ('pyarrow', 'PIL', 'soundfile', 'soxr', 'sklearn', 'easy_vqa') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_a_pipe_is_no_file(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=r"must be a regular file, is a pipe, a device or a socket; write the table to"):
        load_table(tmp_path / name)


def test_values_of_objects_are_columns(tmp_path):
    rows = [
        {"user": {"age": i, "home": {"city": "x"}}, "n": i, "file": {"bytes": None, "path": "a.png"}} for i in range(3)
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"user": None, "n": 9}])))
    table = load_table(tmp_path / "t.jsonl")
    assert table.column_names == ["user.age", "user.home.city", "n", "file"]
    assert table.column("user.age") == [0, 1, 2, None]
    assert table.row(0)["file"]["path"] == "a.png"
    parts = r"no column 'user' \(the values of its objects are columns of their own: user\.age, user\.home\.city\)"
    with pytest.raises(DataError, match=parts):
        recognise_columns(table, target=None, split=None, overrides={"user": "number"})
    with pytest.raises(DataError, match=parts):
        recognise_columns(table, target="user", split=None)


def test_objects_stay_where_their_columns_have_names_of_others(tmp_path):
    (tmp_path / "t.jsonl").write_text("\n".join(['{"a": {"b": 1}, "a.b": 2}'] * 2))
    assert load_table(tmp_path / "t.jsonl").column_names == ["a", "a.b"]


def test_objects_of_very_many_values_or_deep_ones_stay(tmp_path):
    wide = [{"w": {f"v{i}": i for i in range(count)}} for count in (256, 257)]
    for row, columns in zip(wide, (256, 1), strict=True):
        (tmp_path / "t.jsonl").write_text("\n".join([json.dumps(row)] * 2))
        assert len(load_table(tmp_path / "t.jsonl").column_names) == columns
    deep = 1
    for _ in range(10):
        deep = {"a": deep}
    (tmp_path / "t.jsonl").write_text("\n".join([json.dumps(deep)] * 2))
    assert load_table(tmp_path / "t.jsonl").column_names == [".".join("a" * 9)]
    (tmp_path / "t.jsonl").write_text('{"a": {"b": 1}, "c": [1, 2]}')  # of one row: it may hold columns
    assert load_table(tmp_path / "t.jsonl").column_names == ["a", "c"]
    (tmp_path / "t.jsonl").write_text('{"a": {"b": 1}, "c": 1}')
    assert load_table(tmp_path / "t.jsonl").column_names == ["a.b", "c"]


def test_a_table_needs_rows_and_names_that_differ():
    rows = pyarrow.table([[1], [2]], names=["a", "a"])
    with pytest.raises(DataError, match="t: more than one column is called 'a'; every column needs its own name"):
        checked_table(Table("t", Path(), rows))
    with pytest.raises(DataError, match="t: the table has no rows"):
        checked_table(Table("t", Path(), rows.slice(0, 0).select([0])))
    late = pyarrow.array([1 << 60], pyarrow.timestamp("s"))
    with pytest.raises(DataError, match="column 'when' has a date outside the years 1 to 9999") as caught:
        checked_table(Table("t", Path(), pyarrow.table({"when": late})))
    assert caught.value.column == "when"


def test_a_folder_or_pattern_that_nobody_reads_says_why(tmp_path):
    with pytest.raises(
        DataError, match=r"is a folder without files of images, sounds or videos \(class/name\.jpg\), and"
    ):
        load_table(tmp_path)
    for name in "abcdef":
        (tmp_path / f"{name}.csv").touch()
    with pytest.raises(DataError, match=r"it holds a\.csv, b\.csv, c\.csv, d\.csv, e\.csv$"):
        load_table(tmp_path)
    (tmp_path / "b.TSV").touch()
    with pytest.raises(DataError, match=r"shards must be Parquet or tar files, all of one kind, got \.csv, \.tsv"):
        load_table(f"{tmp_path}/b.*")
