"""Bytes that the rows of a Parquet file take, held against what they take."""

import pyarrow
import pyarrow.parquet
import pytest

from perceiver_pytorch.data import DataError, ReadOptions, load_table
from perceiver_pytorch.data.sources import parquet_size

LONG = "x" * 10_000
TEXTS = {
    "text": [LONG, "b"] * 500,
    "bytes": pyarrow.array([LONG.encode()] * 1000, pyarrow.large_binary()),
    "list": [[LONG, "b"], [], None, [LONG, None]] * 250,
    "fields": [{"a": LONG, "b": {"c": LONG}}, None] * 500,
    "map": pyarrow.array([[("key", LONG)], []] * 500, pyarrow.map_(pyarrow.string(), pyarrow.string())),
    "codes": pyarrow.array([LONG, "b"] * 500).dictionary_encode(),
}
KNOWN = {
    "number": [1.5] * 1000,
    "small": pyarrow.array([1] * 1000, pyarrow.int8()),
    "numbers": [[1.5, 2.5]] * 1000,
    "fixed": pyarrow.array([b"12345"] * 1000, pyarrow.binary(5)),
}


def size_of(path, limit, names=None):
    with pyarrow.parquet.ParquetFile(path) as file:
        size = parquet_size.unpacked_size(file, path, 0, names, limit)
        assert size <= max(limit + (1 << 24), parquet_size.largest_size(file, 0, names))
        return size


def written(path, columns, **options):
    pyarrow.parquet.write_table(pyarrow.table(columns), path, **options)
    return path


@pytest.mark.parametrize("name", [*TEXTS, *KNOWN])
def test_the_size_is_that_in_memory(tmp_path, name):
    path = written(tmp_path / "t.parquet", {name: {**TEXTS, **KNOWN}[name]}, compression="zstd")
    held = pyarrow.parquet.read_table(path).combine_chunks()
    held = held.cast(pyarrow.schema([(name, pyarrow.string())])).nbytes if name == "codes" else held.nbytes
    rows = parquet_size.ROW_BYTES * 1000
    size = size_of(path, limit=20 << 20) - rows
    assert held / 1.3 <= size <= 5 * held + 10_000
    if name in TEXTS:
        assert path.stat().st_size < held / 100
        assert size <= 1.1 * held + 10_000


def test_texts_that_share_their_beginning_are_counted(tmp_path):
    texts = [LONG + str(i) for i in range(1000)]
    options = {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}}
    path = written(tmp_path / "t.parquet", {"a": texts}, **options)
    assert path.stat().st_size < 100_000
    assert size_of(path, limit=20 << 20) > 10_000_000


def test_counting_stops_at_the_limit(tmp_path, monkeypatch):
    path = written(tmp_path / "t.parquet", {"text": TEXTS["text"], "z": TEXTS["text"]})
    counted = []
    length = parquet_size._length
    monkeypatch.setattr(parquet_size, "_length", lambda texts: counted.append(texts) or length(texts))
    assert size_of(path, limit=1 << 20) > 1 << 20
    assert len(counted) == 1
    assert size_of(path, limit=1 << 30) < 12 << 20
    assert len(counted) == 3


def test_columns_that_are_not_asked_for_do_not_count(tmp_path):
    path = written(tmp_path / "t.parquet", {"text": TEXTS["text"], "n": [1] * 1000})
    assert size_of(path, limit=1 << 20, names=("n",)) < 1 << 20


@pytest.mark.parametrize("stream", [False, True])
def test_rows_that_repeat_a_long_text_are_refused_before_they_are_unpacked(tmp_path, monkeypatch, stream):
    path = written(tmp_path / "t.parquet", {"a": ["x" * (1 << 20)] * 100, "y": ["u", "v"] * 50}, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"row group 0: takes at least 100 MB .*smaller row groups"):
        load_table(path, ReadOptions(stream=stream, table_mb=20)).column("a")


def test_files_that_are_too_large_together_are_refused(tmp_path):
    for name in "ab":
        written(tmp_path / f"{name}.parquet", {"a": [LONG] * 1000}, row_group_size=100)
    with pytest.raises(DataError, match=r"b\.parquet: takes at least 1. MB of memory.*leave its rows on the disk"):
        load_table(tmp_path, ReadOptions(table_mb=15, stream=False))
    assert len(load_table(tmp_path, ReadOptions(table_mb=15, stream=True)).column("a")) == 2000


@pytest.mark.parametrize(
    ("cells", "bytes_of_one"),
    [
        (pyarrow.array([True] * 100), 1),
        (pyarrow.array([1] * 100, pyarrow.int8()), 4),
        (pyarrow.array([1] * 100, pyarrow.int64()), 8),
        (pyarrow.array([1.0] * 100, pyarrow.float32()), 4),
        (pyarrow.array([1.0] * 100), 8),
        (pyarrow.array([b"12345"] * 100, pyarrow.binary(5)), 5),
        (pyarrow.array([[1.0, 2.0]] * 100), 16),
    ],
)
def test_values_of_one_width_take_that_and_rows_their_numbers(tmp_path, cells, bytes_of_one):
    path = written(tmp_path / "t.parquet", {"a": cells})
    with pyarrow.parquet.ParquetFile(path) as file:
        assert parquet_size.largest_size(file, 0, None) == 100 * (32 + bytes_of_one)
        assert parquet_size.unpacked_size(file, path, 0, None, 1 << 30) == 100 * (32 + bytes_of_one)
        assert parquet_size.largest_size(file, 0, []) == 100 * 32


def test_texts_take_their_bytes_and_an_end_each(tmp_path):
    texts = ["abc", None, "de", "abc"] * 25
    for dictionary in (True, False):
        path = written(tmp_path / "t.parquet", {"a": texts}, use_dictionary=dictionary)
        with pyarrow.parquet.ParquetFile(path) as file:
            stored = file.metadata.row_group(0).column(0).total_uncompressed_size
            largest = parquet_size.largest_size(file, 0, ["a"])
            size = parquet_size.unpacked_size(file, path, 0, ["a"], 9999)
        assert size == 100 * 36 + (25 * 8 if dictionary else stored)
        assert largest == 100 * 36 + (100 if dictionary else 1) * stored
    path = written(tmp_path / "t.parquet", {"a": [{"x": "abc", "y": "de"}] * 10})
    assert size_of(path, 9999, ["a"]) == 10 * (32 + 4 + 3 + 4 + 2)
    path = written(tmp_path / "t.parquet", {"a": [None] * 10, "b": [["x", "yz"], []] * 5})
    assert size_of(path, 9999, ["b"]) == 10 * 32 + 15 * 4 + 5 * 3
