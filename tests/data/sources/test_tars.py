"""Tar files."""

import io
import json
import pickle
import tarfile

import numpy as np
import pytest

from data_helpers import png
from perceiver_pytorch.data import (
    DataError,
    ShardedTable,
    load_table,
)


def picture(value):
    return png(np.full((4, 4), value, np.uint8))


def write_tar(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key, members in samples:
            for extension, data in members.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def write_tars(folder, shards=3, rows=5):
    """Row i (over all shards) has a picture of brightness i, a class, a text, and fields."""
    for shard in range(shards):
        samples = []
        for i in range(shard * rows, (shard + 1) * rows):
            fields = json.dumps({"size": i / 2, "place": {"a": 1}}).encode()
            members = {"png": picture(i), "cls": str(i % 2).encode(), "txt": f"text {i}".encode(), "json": fields}
            samples.append((f"x/{i:03}", members))
        write_tar(folder / f"shard-{shard:03}.tar", samples)


@pytest.mark.parametrize("pattern", ["", "shard-{000..002}.tar", "shard-*.tar", "shard-{000,001,002}.tar"])
def test_tar_shards_are_one_table(tmp_path, pattern):
    write_tars(tmp_path)
    table = load_table(str(tmp_path / pattern) if pattern else tmp_path)
    assert isinstance(table, ShardedTable)
    assert len(table) == 15
    assert set(table.column_names) == {"png", "cls", "txt", "size", "place"}
    assert table.row(7) == {"png": picture(7), "cls": "1", "txt": "text 7", "size": 3.5, "place": {"a": 1}}
    rows = np.array([14, 0, 7, 7])
    assert [(r, c["txt"]) for r, c in table.iterate(rows, ["txt"])] == [(int(r), f"text {r}") for r in rows]
    assert "shard-001.tar, its sample 2" in table.place(7)


def test_tar_shards_name_what_is_wrong(tmp_path):
    write_tars(tmp_path, shards=1)
    path = tmp_path / "shard-000.tar"
    with pytest.raises(DataError, match=r"no file .*shard-001\.tar"):
        load_table(str(tmp_path / "shard-{000..001}.tar"))
    whole = path.read_bytes()
    path.write_bytes(whole[: 512 + 20])
    with pytest.raises(DataError, match="cut off within its member"):
        load_table(path)
    path.write_bytes(b"\x1f\x8b" + whole)
    with pytest.raises(DataError, match="gunzip"):
        load_table(path)
    write_tar(path, [("1", {"json": b"{"}), ("2", {"json": b'{"x": 1}'})])
    with pytest.raises(DataError, match=r"sample 0, its \.json member: is no JSON"):
        load_table(path).row(0)


def test_pickled_members_are_never_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    write_tar(tmp_path / "a.tar", [("1", {"cls": b"1", "pyd": pickle.dumps(Trap())})])
    table = load_table(tmp_path / "a.tar")
    assert table.column_names == ["cls"]
    assert "never read" in table.notes[0]
    assert table.row(0) == {"cls": "1"}
