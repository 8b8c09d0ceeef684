"""Parquet files."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from perceiver_pytorch.data import (
    DataError,
    ReadOptions,
    ShardedTable,
    Table,
    load_table,
)
from perceiver_pytorch.data.predicate import Predicate
from perceiver_pytorch.data.sources import parquet

STREAM = ReadOptions(stream=True)


def parquet_shards(folder, shards=3, rows=10, group=4):
    folder.mkdir(exist_ok=True)
    for shard in range(shards):
        numbers = range(shard * rows, (shard + 1) * rows)
        table = pyarrow.table({"x": [float(i) for i in numbers], "label": ["ab"[i % 2] for i in numbers]})
        pyarrow.parquet.write_table(table, folder / f"train-{shard:05}-of-{shards:05}.parquet", row_group_size=group)


@pytest.mark.parametrize("options", [ReadOptions(), STREAM])
def test_parquet_shards_are_one_table(tmp_path, options):
    parquet_shards(tmp_path / "data")
    for source in (tmp_path, str(tmp_path / "data/*.parquet")):
        table = load_table(source, options)
        assert isinstance(table, ShardedTable if options.stream else Table)
        assert table.column("x") == [float(i) for i in range(30)]
        assert set(table.column("split")) == {"train"}
        rows = np.array([29, 3, 4, 11])
        assert [cells["x"] for _, cells in table.iterate(rows, ["x"])] == [29.0, 3.0, 4.0, 11.0]


def test_what_is_kept_of_row_groups_is_bounded(tmp_path):
    from perceiver_pytorch.data.sources.parquet import ParquetShard, RowGroups

    parquet_shards(tmp_path, shards=1, rows=1000, group=100)
    kept = RowGroups(limit=3000)
    shard = ParquetShard(next(tmp_path.glob("*.parquet")), kept)
    for row in np.random.default_rng(0).permutation(1000):
        assert shard.read(np.array([row]), ["x"]) == [{"x": float(row)}]
        assert kept._size <= 3000


def test_large_files_stay_on_the_disk(tmp_path, monkeypatch):
    parquet_shards(tmp_path)
    paths = sorted(tmp_path.glob("*.parquet"))
    size = sum(
        metadata.row_group(i).total_byte_size
        for metadata in map(pyarrow.parquet.read_metadata, paths)
        for i in range(metadata.num_row_groups)
    )
    for limit, table in ((size, Table), (size - 1, ShardedTable)):
        monkeypatch.setattr(parquet, "_IN_MEMORY", limit)
        assert type(load_table(tmp_path)) is table
        assert type(load_table(tmp_path, ReadOptions(stream=False))) is Table
    paths[0].write_bytes(b"PAR1")
    for stream in (None, True, False):
        with pytest.raises(DataError, match=rf"{paths[0].name}: cannot be read as parquet"):
            load_table(tmp_path, ReadOptions(stream=stream))


def test_row_groups_are_forgotten_in_the_order_in_which_they_were_asked_for(tmp_path):
    parquet_shards(tmp_path, shards=1, rows=40, group=10)
    kept = parquet.RowGroups()
    shard = parquet.ParquetShard(next(tmp_path.glob("*.parquet")), kept)
    assert kept.limit == 256 << 20
    kept.limit = 2 * shard.unpack(0, ("x",)).nbytes
    assert (shard.num_rows, shard.column_names) == (40, ("x", "label"))
    assert shard.place(3) == "train-00000-of-00001.parquet, its row 3"
    asked = []
    unpack = shard.unpack
    shard.unpack = lambda group, columns: asked.append(group) or unpack(group, columns)
    for row in (0, 10, 1, 20, 2, 11):
        shard.read(np.array([row]), ["x"])
    assert asked == [0, 1, 2, 1]
    assert kept._size == kept.limit
    small = parquet.RowGroups(limit=1)
    shard = parquet.ParquetShard(shard.path, small)
    assert shard.read(np.array([39, 0, 9]), ["x", "gone"]) == [{"x": x, "gone": None} for x in (39.0, 0.0, 9.0)]
    assert len(small._kept) == 1
    assert shard.read(np.array([5]), ["gone"]) == [{"gone": None}]


def test_files_of_different_columns(tmp_path):
    for name, columns in (("train", {"x": [1]}), ("test", {"x": [1.5], "y": ["a"]})):
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / f"{name}.parquet")
    table = load_table(tmp_path)
    assert [table.row(i) for i in range(2)] == [
        {"x": 1.5, "y": "a", "split": "test"},
        {"x": 1.0, "y": None, "split": "train"},
    ]
    assert "split" not in load_table(tmp_path / "train.parquet").column_names
    pyarrow.parquet.write_table(pyarrow.table({"x": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="the files have different columns"):
        load_table(tmp_path)
    (tmp_path / "other.parquet").unlink()
    pyarrow.parquet.write_table(pyarrow.table({"x": [2], "split": ["own"]}), tmp_path / "val.parquet")
    assert load_table(tmp_path).column("split") == ["test", "train", "own"]


def test_row_numbers_alone_may_be_too_many(tmp_path):
    for rows, fits in ((1 << 15, True), ((1 << 15) + 1, False)):  # 32 bytes each
        pyarrow.parquet.write_table(pyarrow.table({"x": [0] * rows}), tmp_path / "t.parquet")
        options = ReadOptions(stream=True, table_mb=1)
        if fits:
            assert len(load_table(tmp_path / "t.parquet", options)) == rows
        else:
            with pytest.raises(DataError, match=r"takes at least 1.* MB .*divide it into several tables"):
                load_table(tmp_path / "t.parquet", options)


def test_texts_that_are_none_are_found_when_the_file_is_read(tmp_path):
    buffers = [None, pyarrow.py_buffer(np.array([0, 2, 3], dtype=np.int32)), pyarrow.py_buffer(b"\xff\xfea")]
    texts = pyarrow.StringArray.from_buffers(2, buffers[1], buffers[2])
    pyarrow.parquet.write_table(pyarrow.table({"t": texts, "y": [1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet: cannot be read as parquet: .*UTF8"):
        load_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("stream", [False, True])
def test_row_groups_without_rows_that_are_wanted_are_not_read(tmp_path, monkeypatch, stream):
    rows = pyarrow.table({"number": range(100), "word": ["a", "b"] * 50})
    pyarrow.parquet.write_table(rows, tmp_path / "t.parquet", row_group_size=10)
    read = []
    for name in ("read_row_group", "read_row_groups"):
        true = getattr(pyarrow.parquet.ParquetFile, name)

        def noted(file, groups, *given, _true=true, **options):
            read.append(groups)
            return _true(file, groups, *given, **options)

        monkeypatch.setattr(pyarrow.parquet.ParquetFile, name, noted)
    where = Predicate.of("number >= 75 and number < 88 and word = 'b'")
    table = load_table(tmp_path / "t.parquet", ReadOptions(stream=stream, where=where))
    assert table.column("number") == [75, 77, 79, 81, 83, 85, 87]
    assert {group for each in read for group in ([each] if isinstance(each, int) else each)} == {7, 8}
    with pytest.raises(DataError, match="has no row for which --where 'number > 99' holds"):
        load_table(tmp_path / "t.parquet", ReadOptions(stream=stream, where=Predicate.of("number > 99")))
