"""Files of text and their encodings."""

import codecs
import gzip
import os
from pathlib import Path

import pyarrow
import pytest

from perceiver_pytorch.data import DataError, Place, ReadOptions, load_table
from perceiver_pytorch.data.budget import Budget
from perceiver_pytorch.data.sources import text_files
from perceiver_pytorch.data.sources.text_files import TextFile, encoding_of, in_utf8, left_out, one_block, text_table


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


def test_utf_32_is_seen_by_its_byte_order_mark(tmp_path):
    (tmp_path / "t.csv").write_bytes("a,b\n1,é\n".encode("utf-32"))
    assert load_table(tmp_path / "t.csv").row(0) == {"a": 1, "b": "é"}


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


def test_a_packed_file_is_unpacked_no_further_than_a_table_may_take(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "_PART", 1 << 16)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,y\n") + gzip.compress(b"1,u\n2,v\n" * (1 << 17)) * 200)
    checked = []
    check = Budget.check
    monkeypatch.setattr(Budget, "check", lambda self, path, size: checked.append(size) or check(self, path, size))
    with pytest.raises(DataError, match=r"t\.csv\.gz: takes at least 1\.\d+ MB .*may take 1 MB, as --table-mb"):
        load_table(path, ReadOptions(table_mb=1))
    assert max(checked) < (1 << 20) + (1 << 17)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json"])
def test_a_file_that_is_larger_than_a_table_may_be_is_not_read(tmp_path, name):
    path = tmp_path / name
    path.touch()
    os.truncate(path, 3 << 20)
    with pytest.raises(DataError, match=f"{name}: takes at least 3 MB of memory.*write it as Parquet files"):
        load_table(path, ReadOptions(table_mb=2))


def test_a_text_may_have_more_bytes_as_a_table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n" + "1\n" * 500_000)
    with pytest.raises(DataError, match=r"t\.csv: takes at least 3\.\d+ MB"):
        load_table(path, ReadOptions(table_mb=2))


@pytest.mark.parametrize("form", ["lines", "list"])
def test_rows_with_a_column_each_are_refused_before_they_fill_a_table(tmp_path, form):
    path = tmp_path / "t.json"
    rows = [f'{{"a{i}": "say \\"b{i}\\": 1"}}' for i in range(2000)]
    path.write_text("\n".join(rows) if form == "lines" else f"[{','.join(rows)}]")
    with pytest.raises(DataError, match=r"takes at least 15 MB .*the same few columns"):
        load_table(path, ReadOptions(table_mb=10))


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(b'{"a": 1}\n')
    opened = TextFile.text

    def growing(self, encoding):
        with path.open("ab") as file:
            file.write(b'{"a": 2')
        return opened(self, encoding)

    monkeypatch.setattr(TextFile, "text", growing)
    with pytest.raises(DataError, match=f"{name}: changes while it is read; try again when nothing writes to it"):
        load_table(path)


def file_of(folder, content, name="t.csv"):
    (folder / name).write_bytes(content)
    return TextFile.of(folder / name, ReadOptions().budget)


def test_a_file_is_the_one_that_was_opened(tmp_path):
    file = file_of(tmp_path, b"a\n1\n")
    assert (file.size, file.data, in_utf8(file, "utf-8")) == (4, None, b"a\n1\n")
    file.check_unchanged()
    packed = file_of(tmp_path, gzip.compress(b"a\n1\n"), "t.csv.GZ")
    assert (packed.size, packed.data, packed.open().read()) == (4, b"a\n1\n", b"a\n1\n")
    assert in_utf8(file_of(tmp_path, "é".encode("latin-1")), "latin-1") == "é".encode()
    (tmp_path / "t.csv").write_bytes(b"a\n1\n2\n")
    for read in (file.open, file.check_unchanged):
        with pytest.raises(DataError, match=r"t\.csv: changes while it is read; try again when nothing writes to it"):
            read()


def test_encodings_are_seen(tmp_path):
    def seen(content, **options):
        return encoding_of(file_of(tmp_path, content), ReadOptions(**options))

    text = "a\n1\n"
    for encoding, name in (("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-32", "utf-32")):
        assert seen(text.encode(encoding)) == name
    assert seen(codecs.BOM_UTF16_BE + text.encode("utf-16-be")) == "utf-16"
    assert seen(codecs.BOM_UTF32_BE + text.encode("utf-32-be")) == "utf-32"
    assert seen(b"\xff", encoding="Latin1") == "iso8859-1"
    with pytest.raises(DataError, match=r"t\.csv: the file is empty"):
        seen(b"")
    with pytest.raises(DataError, match=r"holds zero bytes, so it is not UTF-8 text \(UTF-16\?\); name its encoding"):
        seen(b"a\0")
    long = b"a\n" * (1 << 20) + b"\xff"
    for content, line in ((b"\xff", 1), (b"a\n\xff\n", 2), (b"a\nb\n\xc3", 3), (long, 1048577)):
        with pytest.raises(DataError, match=f"line {line} is not UTF-8 text"):
            seen(content)


def test_lines_that_are_left_out_are_named_up_to_a_few():
    assert left_out(Path("t"), []) == []
    assert left_out(Path("t"), ["x"] * 20) == ["t: 20 lines are left out: " + "; ".join(["x"] * 20)]
    assert left_out(Path("t"), ["x"] * 23) == ["t: 23 lines are left out: " + "; ".join(["x"] * 20) + ", and 3 more"]


def test_a_block_holds_all_of_a_file():
    sizes = {0: 1 << 20, (1 << 19) - 1: 1 << 20, 1 << 19: (1 << 20) + 1, 1 << 30: (1 << 31) - 1}
    assert {size: one_block(TextFile(Path("t"), (size, 0))) for size in sizes} == sizes


def test_a_table_of_text_that_cannot_be_read_says_what_helps(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n")
    place = Place(str(path))

    def refusing(message):
        def read(file, options):
            raise pyarrow.ArrowInvalid(message)

        return read

    skip = "; --on-error skip leaves such lines out"
    quote = "; a quote that is not closed? --quoting none reads quotes as text"
    for message, hint in (("bad", ""), ("Expected 3 columns", skip), ("Expected 3 columns\nx", quote + skip)):
        with pytest.raises(DataError) as caught:
            text_table(place, ReadOptions(), refusing(message))
        assert str(caught.value) == f"{path}: cannot be read as csv: {message}{hint}"
    rows = pyarrow.table({"a": [1]})
    table = text_table(place, ReadOptions(), lambda file, options: (rows, ["note"], ",", ("a",)))
    assert (table.rows, table.notes, table.decimal, table.as_written) == (rows, ("note",), ",", ("a",))
    assert (table.source, table.root) == (str(path), tmp_path.resolve())
    with pytest.raises(DataError, match=r"only Parquet and tar files can be streamed; a \.csv file is read whole"):
        text_table(place, ReadOptions(stream=True), refusing(""))
