"""Parquet files."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from perceiver_pytorch.data import (
    ReadOptions,
    ShardedTable,
    Table,
    load_table,
)

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
