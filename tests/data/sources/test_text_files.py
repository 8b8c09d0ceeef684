"""Files of text and their encodings."""

import gzip

import pytest

from perceiver_pytorch.data import DataError, ReadOptions, load_table


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
