"""Tables in shards."""

import io
import tarfile

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
    from perceiver_pytorch.data.sources import sharded

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
