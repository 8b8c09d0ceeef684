"""Tables of a real S3 server: the same as the same files here; of Parquet files only what is needed travels."""

import gzip
import io
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_helpers import png
from perceiver_pytorch.data import DataError, ReadOptions, ShardedTable, Table, load_table
from perceiver_pytorch.data.predicate import Predicate
from perceiver_pytorch.data.remote.stores import ArrowStore
from perceiver_pytorch.data.sources import remote

CSV = b"number;day;word\n1,5;2024-01-02;a\n2,5;2024-01-03;b\n"
ROWS = pa.table(
    {
        "number": np.arange(4000.0),
        "heavy": [f"{i:0200}" for i in range(4000)],
        "word": [("u", "v")[i % 2] for i in range(4000)],
    }
)


def parquet(table, rows=500):
    data = io.BytesIO()
    pq.write_table(table, data, row_group_size=rows, compression="none", use_dictionary=["word"])
    return data.getvalue()


@pytest.fixture
def shards(s3, monkeypatch):
    """Four files of 1,000 rows, 230 kB each, of which only what is needed travels."""
    monkeypatch.setattr(remote, "_FETCHED_WHOLE", 1 << 10)
    for part in range(4):
        s3.put(f"shards/part-{part}.parquet", parquet(ROWS.slice(1000 * part, 1000)))
    return s3


@pytest.fixture
def travelled(monkeypatch):
    """Bytes that were read from the store."""
    sizes, open_file = [], ArrowStore.open

    class Counted(io.RawIOBase):
        def __init__(self, file):
            self.file = file

        def read(self, size=-1):
            data = self.file.read(None if size < 0 else size)
            sizes.append(len(data))
            return data

        def __getattr__(self, name):
            return getattr(self.file, name)

        def seek(self, *given):
            return self.file.seek(*given)

        def tell(self):
            return self.file.tell()

        def seekable(self):
            return True

        def readable(self):
            return True

    monkeypatch.setattr(ArrowStore, "open", lambda self, path: Counted(open_file(self, path)))
    return sizes


FILES = {
    "table.csv": CSV,
    "table.csv.gz": gzip.compress(CSV),
    "table.tsv": b"a\tb\n1\tx\n",
    "table.jsonl": b'{"a": 1}\n{"a": 2}\n',
    "table.json": b'[{"a": 1, "b": {"c": 2}}]',
    "table.parquet": parquet(ROWS.slice(0, 10)),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_the_same_file_here(s3, tmp_path, name):
    data = FILES[name]
    (tmp_path / name).write_bytes(data)
    here, there = load_table(tmp_path / name), load_table(s3.put(f"same/{name}", data))
    assert isinstance(there, Table)
    assert there.rows.equals(here.rows)
    assert (there.source, str(there.root)) == (f"s3://bucket/same/{name}", "s3://bucket/same")
    assert there.decimal == here.decimal
    assert [note.replace("s3://bucket/same", str(tmp_path)) for note in there.notes] == list(here.notes)


@pytest.mark.parametrize("name", ["shards/", "shards", "shards/*.parquet", "shards/part-{0..3}.parquet"])
@pytest.mark.parametrize("stream", [False, True])
def test_shards_are_read_as_one_table(shards, name, stream):
    table = load_table(f"s3://bucket/{name}", ReadOptions(stream=stream))
    assert isinstance(table, ShardedTable if stream else Table)
    assert table.column("number") == ROWS.column("number").to_pylist()
    assert table.row(1500) == ROWS.slice(1500, 1).to_pylist()[0]


@pytest.mark.parametrize("stream", [False, True])
def test_row_groups_and_columns_that_are_not_needed_do_not_travel(shards, travelled, stream):
    options = ReadOptions(
        stream=stream, where=Predicate.of("number >= 2900 and word = 'u'"), unread=frozenset({"heavy"})
    )
    table = load_table("s3://bucket/shards/", options)
    rows = [row for _, row in table.iterate(np.arange(len(table)), ["number", "word", "heavy"])]
    assert [row["number"] for row in rows] == list(range(2900, 4000, 2))
    assert {row["heavy"] for row in rows} == {None}
    assert table.column_names == ["number", "heavy", "word"]
    assert sum(travelled) < 150_000  # of 920,000, of which 100,000 are ends of files


@pytest.mark.parametrize("stream", [False, True])
def test_a_condition_may_speak_of_a_column_that_is_ignored(shards, stream):
    options = ReadOptions(stream=stream, where=Predicate.of("number >= 3998"), unread=frozenset({"number"}))
    assert load_table("s3://bucket/shards/", options).column("word") == ["u", "v"]


@pytest.mark.parametrize("stream", [False, True])
def test_texts_that_repeat_are_counted_of_columns_that_are_needed(s3, travelled, monkeypatch, stream):
    monkeypatch.setattr(remote, "_FETCHED_WHOLE", 0)
    rows = pa.table({"n": [1, 2, 3], "w": ["u" * 100, "v", "v"], "heavy": [f"{i:0200000}" for i in range(3)]})
    data = io.BytesIO()
    pq.write_table(rows, data, compression="none")
    address, lost, read = s3.put("repeats/t.parquet", data.getvalue()), [], pq.ParquetFile.iter_batches

    def loses(file, rows, **options):
        if rows == 1:  # the file's metadata are checked, and nothing is read
            return read(file, rows, **options)
        lost.append(options["columns"])
        if len(lost) == 1:
            raise OSError("AWS Error NETWORK_CONNECTION")
        return read(file, rows, **options)

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", loses)
    monkeypatch.setattr("perceiver_pytorch.data.sources.parquet.largest_size", lambda *given: 1 << 60)
    table = load_table(address, ReadOptions(stream=stream, unread=frozenset({"heavy"})))
    assert [row["w"][0] for _, row in table.iterate(np.arange(3), ["w"])] == ["u", "v", "v"]
    assert lost[:2] == [["w"], ["w"]]
    assert ["heavy"] not in lost


def test_what_was_read_stays_here(shards, travelled):
    table = load_table("s3://bucket/shards/", ReadOptions(stream=True))
    table.column("heavy")
    before = sum(travelled)
    again = load_table("s3://bucket/shards/", ReadOptions(stream=True))
    assert again.column("heavy") == ROWS.column("heavy").to_pylist()
    assert sum(travelled) - before < 400_000  # the ends of the files once more, and no column


def test_an_error_names_the_address_and_not_the_cache(s3, tmp_path):
    with pytest.raises(DataError) as raised:
        load_table(s3.put("bad/table.csv", b"a,b\n1,2\n3\n"))
    assert "s3://bucket/bad/table.csv" in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.csv", "there is no such file, or no bucket 'bucket'"),
        ("odd/", r"is a folder; give the table in it: it holds a\.csv"),
        ("odd/a.xyz", "unknown suffix '.xyz'; table files end in .csv"),
        ("odd/a.tar.gz", "unpack them"),
        ("odd/{a.csv,b.csv}", "shards must be Parquet or tar files, all of one kind, got .csv"),
        ("odd/*.nothing", "there is no such file"),
        ("texts/", "a folder elsewhere is to hold Parquet or tar files"),
    ],
)
def test_what_is_no_table_is_told(s3, name, words):
    for file in ("odd/a.csv", "odd/b.csv", "odd/a.xyz", "odd/a.tar.gz", "texts/readme.txt"):
        s3.put(file, b"a\n1\n")
    with pytest.raises(DataError, match=words):
        load_table(f"s3://bucket/{name}")


def test_a_table_is_not_fetched_that_takes_too_much_memory(s3, tmp_path):
    address = s3.put("large/table.csv", b"a\n" + b"1\n" * (1 << 20))
    with pytest.raises(DataError, match=r"s3://bucket/large/table\.csv: takes at least 2 MB .*--table-mb"):
        load_table(address, ReadOptions(table_mb=1))
    assert not (tmp_path / "cache").exists()


def test_a_folder_of_pictures_is_a_table(s3):
    for number in range(4):
        s3.put(f"pictures/train/{'ab'[number % 2]}/{number}.png", png(np.zeros((2, 2), np.uint8)))
    table = load_table("s3://bucket/pictures")
    assert table.column("image") == ["train/a/0.png", "train/a/2.png", "train/b/1.png", "train/b/3.png"]
    assert table.column("label") == ["a", "a", "b", "b"]
    assert table.column("split") == ["train"] * 4


def test_tar_files_are_shards(s3):
    for part in range(2):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for row in range(3):
                member = tarfile.TarInfo(f"{row}.txt")
                member.size = 2
                tar.addfile(member, io.BytesIO(f"{part}{row}".encode()))
        s3.put(f"tars/shard-{part}.tar", data.getvalue())
    assert load_table("s3://bucket/tars/shard-{0..1}.tar").column("txt") == ["00", "01", "02", "10", "11", "12"]
