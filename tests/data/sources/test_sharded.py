"""Tables in shards."""

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from perceiver_pytorch.data import (
    DataError,
    InputSpec,
    ReadOptions,
    Table,
    TableDataset,
    load_table,
)
from perceiver_pytorch.data.sources import sharded
from perceiver_pytorch.data.sources.sharded import ShardedTable
from perceiver_pytorch.data.spelling.spellings import Spelling, Spellings

STREAM = ReadOptions(stream=True)


def write_tar(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key, members in samples:
            for extension, data in members.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def test_a_sample_has_every_class_and_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(sharded, "_SAMPLE_ROWS", 20)
    labels = ["common"] * 500
    labels[77], labels[401] = "rare", "rarer"
    pyarrow.parquet.write_table(pyarrow.table({"x": range(500), "y": labels}), tmp_path / "t.parquet")
    table = load_table(tmp_path / "t.parquet", STREAM)
    view, rows = table.sample(np.arange(500), ["y"])
    assert 20 <= len(view) <= 23
    assert set(view.column("y")) == {"common", "rare", "rarer"}
    spec = InputSpec.fit(view, {"x": "number"}, target="y", rows=rows)
    assert spec.targets[0].classes == ("common", "rare", "rarer")


def test_a_damaged_row_of_a_shard_is_one_bad_row(tmp_path):
    fields = [b"{" if i == 3 else b'{"x": 1.5}' for i in range(6)]
    write_tar(tmp_path / "a.tar", [(str(i), {"json": fields[i], "cls": str(i % 2).encode()}) for i in range(6)])
    table = load_table(tmp_path / "a.tar")
    spec = InputSpec.fit(Table("t", tmp_path, pyarrow.table({"x": [1.0, 2.0], "cls": ["0", "1"]})), {"x": "number"},
                         target="cls", rows=np.arange(2))  # fmt: skip
    data = TableDataset(table, np.arange(6), spec, on_error="skip")
    assert [bad.row for bad in data.prepare()] == [3]
    assert "no JSON" in data.bad[3].reason


def test_only_shards_can_be_streamed(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="only Parquet and tar files can be streamed"):
        load_table(tmp_path / "t.csv", STREAM)


@dataclass
class Listed:
    """A shard of rows that are in memory, and what it was asked for."""

    path: Path
    rows: list
    nbytes: int = 8000
    asked: list = field(default_factory=list)

    @property
    def num_rows(self):
        return len(self.rows)

    @property
    def column_names(self):
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    def read(self, rows, columns):
        self.asked.append((rows.tolist(), list(columns)))
        return [{name: self.rows[i].get(name) for name in columns} for i in rows]

    def place(self, row):
        return f"{self.path.name}, row {row}"


def two(names=("train-0.x", "val-0.x"), **more):
    rows = [[{"a": i, "y": f"k{i % 3}"} for i in part] for part in (range(3), range(3, 8))]
    rows[1][0] |= more
    shards = [Listed(Path("/s") / name, part) for name, part in zip(names, rows, strict=True)]
    return ShardedTable("set", Path("/s"), shards, ["a note"], {b"k": b"v"})


def test_rows_of_shards_are_numbered_through():
    table = two(b="x")
    assert (len(table), table.column_names) == (8, ["a", "y", "b", "split"])
    assert (table.source, table.root, table.notes) == ("set", Path("/s"), ("a note",))
    assert table.row(2) == {"a": 2, "y": "k2", "b": None, "split": "train"}
    assert table.row(3) == {"a": 3, "y": "k0", "b": "x", "split": "val"}
    assert table.take("a", np.array([7, 0, 3, 0])) == [7, 0, 3, 0]
    assert table.column("split") == ["train"] * 3 + ["val"] * 5
    assert [table.place(row) for row in (0, 2, 3, 7)] == [
        "train-0.x, row 0", "train-0.x, row 2", "val-0.x, row 0", "val-0.x, row 4"
    ]  # fmt: skip
    assert table.shard_of(np.array([0, 2, 3, 7])).tolist() == [0, 0, 1, 1]
    for row in (-1, 8):
        with pytest.raises(DataError, match=f"set: no row {row}; it has 8 rows, counted from 0") as caught:
            table.row(row)
        assert caught.value.row == row
    with pytest.raises(DataError, match=r"set: no column 'A'; its columns are a, y, b, split") as caught:
        table.require("A")
    assert caught.value.column == "A"
    with pytest.raises(DataError, match="set: the shards have no rows"):
        ShardedTable("set", Path("/s"), [Listed(Path("/s/a"), [])])


def test_a_shard_is_asked_once_a_block_and_for_no_more_than_is_wanted(monkeypatch):
    table = two()
    assert [row for row, _ in table.iterate(np.array([6, 1, 4, 0]), ["y", "split"])] == [6, 1, 4, 0]
    assert [shard.asked for shard in table.shards] == [[([1, 0], ["y"])], [([3, 1], ["y"])]]
    monkeypatch.setattr(sharded, "_BLOCK", 2)
    assert table.column("y") == [f"k{i % 3}" for i in range(8)]
    assert [rows for rows, _ in table.shards[1].asked[1:]] == [[0], [1, 2], [3, 4]]
    first, *_, last = table.take("y", np.array([0, 1, 3, 6]))
    assert first is last


def test_names_of_shards_say_splits_if_all_do_and_no_column_does():
    assert two(("train-0.x", "test_1.x")).column("split")[3] == "test"
    assert "split" not in two(("train-0.x", "other.x")).column_names
    assert two(split="own").column("split") == [None] * 3 + ["own"] + [None] * 4
    alone = ShardedTable("set", Path("/s"), [Listed(Path("/s/train.x"), [{"a": 1}])])
    assert alone.column_names == ["a"]
    for path, root, split in (
        ("/s/train/0.x", "/s", "train"),
        ("/s/Val-1.x", "/s", "val"),
        ("/train/s/0.x", "/train/s", None),
        ("/s/test/0.x", "/other", None),
        ("/s/training.x", "/s", "train" if "training" in sharded.SPLIT_NAMES else None),
        ("/s/0-train.x", "/s", None),
    ):
        assert sharded.split_of(Path(path), Path(root)) == split, path


def test_a_window_is_as_large_as_its_rows_let_it_be():
    table = two()
    assert table.bytes_per_row == 2000.0
    assert table.window == 4096
    for size, window in ((0, 4096), (8 * (128 << 10), 1024), (8 << 30, 256)):
        for shard in table.shards:
            shard.nbytes = size // 2
        assert table.window == window


def test_columns_can_be_added_and_texts_spelled_without_touching_the_table():
    table = two(n="1,5")
    more = table.with_empty(["z"])
    assert more.column_names == [*table.column_names[:-1], "split", "z"]
    assert more.column("z") == [None] * 8
    with pytest.raises(DataError, match="no column 'z'"):
        table.require("z")
    read = table.spelled(Spellings(columns=(Spelling("n", decimal=","), Spelling("a", date_format="%Y"))))
    assert read.column("n") == [None] * 3 + [1.5] + [None] * 4
    assert table.column("n")[3] == "1,5"
    assert read.column("y") == table.column("y")
    years = ShardedTable("set", Path("/s"), [Listed(Path("/s/a"), [{"a": 1999, "b": 1}, {"a": None, "b": "1,5"}])])
    years = years.spelled(Spellings(columns=(Spelling("a", date_format="%Y"), Spelling("b", decimal=","))))
    assert [row["b"] for _, row in years.iterate(np.arange(2), ["b"])] == [1, "1,5"]  # of two types: as they are
    assert years.column("a")[0].year == 1999


def test_a_sample_is_evenly_spread_and_has_the_first_of_each_value(monkeypatch):
    table = two()
    seen, rows = table.sample(np.array([1, 2, 5]), ["y"])
    assert (seen.column("a"), rows.tolist()) == ([1, 2, 5], [0, 1, 2])
    assert (seen.source, seen.root, seen.notes) == ("set", Path("/s"), ("a note",))
    assert seen.rows.schema.metadata == {b"k": b"v"}
    monkeypatch.setattr(sharded, "_SAMPLE_ROWS", 2)
    seen, rows = table.sample(np.arange(8), [])
    assert (seen.column("a"), rows.tolist()) == ([0, 7], [0, 1])
    assert table.sample(np.arange(8), ["y"])[0].column("a") == [0, 1, 2, 7]
    monkeypatch.setattr(sharded, "_MAX_VALUES", 1)
    assert table.sample(np.arange(1, 8), ["y"])[0].column("a") == [1, 7]
    assert table._first_of_each(np.arange(8), "y") == [0]
    listed = ShardedTable("set", Path("/s"), [Listed(Path("/s/a"), [{"y": y} for y in (None, ["p"], [], ["p"])])])
    assert listed._first_of_each(np.arange(4), "y") == [1]
    monkeypatch.setattr(sharded, "_SAMPLE_ROWS", 4096)
    many = ShardedTable(
        "set", Path("/s"), [Listed(Path("/s/a"), [{"a": i} for i in range(200)], nbytes=200 * (4 << 20))]
    )
    assert len(many.sample(np.arange(200), [])[0]) == 64  # of 4 MB each
    many.shards[0].nbytes = 200 * (2 << 20)
    assert len(many.sample(np.arange(200), [])[0]) == 128


def test_cells_of_different_types_are_told():
    table = ShardedTable("set", Path("/s"), [Listed(Path("/s/a"), [{"a": 1}, {"a": "x"}])])
    with pytest.raises(DataError, match="set: a column has cells of different types"):
        table.sample(np.arange(2), [])


def test_a_sample_has_4096_rows_and_a_row_for_each_of_2000_values():
    table = ShardedTable("set", Path("/s"), [Listed(Path("/s/a"), [{"y": i % 2100} for i in range(4200)])])
    assert len(table.sample(np.arange(4200), [])[0]) == 4096
    assert table._first_of_each(np.arange(4200), "y") == list(range(2000))
