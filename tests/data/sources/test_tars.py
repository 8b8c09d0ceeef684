"""Tar files."""

import io
import json
import os
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
from perceiver_pytorch.data.sources import tars


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


def test_a_header_that_claims_to_be_huge_is_not_read(tmp_path):
    info = tarfile.TarInfo("a.cls")
    info.size, info.type = 1 << 40, tarfile.XHDTYPE
    path = tmp_path / "t.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    os.truncate(path, 1 << 41)  # on the disk it takes nothing
    with pytest.raises(DataError, match=r"cannot be read as tar .*a header claims to be 1,099,511,627,776 bytes long"):
        load_table(path)


def test_numbers_of_a_header_that_are_no_sizes_are_damage(tmp_path):
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a.cls")
        info.pax_headers = {"comment": "x" * 30}
        tar.addfile(info, io.BytesIO())
    data = path.read_bytes()
    path.write_bytes(data.replace(b"42 comment", b"9" * 30 + b" c").replace(b"\n", b"", 1))
    with pytest.raises(DataError, match=r"cannot be read as tar \(a header is damaged\)"):
        load_table(path)


def test_a_sparse_member_is_told(tmp_path):
    path = tmp_path / "t.tar"
    info = tarfile.TarInfo("a.cls")
    info.type = tarfile.GNUTYPE_SPARSE
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(DataError, match=r"its member 'a\.cls' is sparse; write it with tar without --sparse"):
        load_table(path)


def test_fields_of_a_row_are_of_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "_MAX_JSON", 15)
    samples = [("a", {"json": b'{"x": 1}', "cls": b"1"}), ("b", {"json": b'{"x": "a long text"}'})]
    write_tar(tmp_path / "t.tar", samples)
    with pytest.raises(DataError, match=r"its sample 1, its \.json member: must have at most 15 bytes, has"):
        load_table(tmp_path / "t.tar").column("x")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes among its files")
@pytest.mark.parametrize("suffix", ["tar", "parquet"])
def test_a_pipe_among_shards_is_refused_at_once(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a.{suffix}")
    with pytest.raises(DataError, match=f"a.{suffix}: must be a regular file, is a pipe; save what it gives to a file"):
        load_table(tmp_path)


def test_members_are_texts_classes_or_bytes_by_their_extensions(tmp_path):
    members = {"txt": b" a ", "CLS": b" 1\n", "label": b" x ", "bin": b" b ", "caption": b"c", "a.b": b"two"}
    write_tar(tmp_path / "t.tar", [("x.y/k", members), ("k2", {"txt": b"\xff"})])
    with tarfile.open(tmp_path / "t.tar", "a") as tar:
        for name in (".hidden.txt", "folder/plain"):
            tar.addfile(tarfile.TarInfo(name))
    table = load_table(tmp_path / "t.tar")
    assert table.row(0) == {
        "txt": " a ", "cls": "1", "label": "x", "bin": b" b ", "caption": "c", "a.b": b"two", "file": None
    }  # fmt: skip
    assert table.row(2)["file"] == b""
    assert (len(table), table.bytes_per_row) == (3, (sum(map(len, members.values())) + 1) / 3)
    with pytest.raises(DataError, match=r"t\.tar, its sample 1, its \.txt member: is not UTF-8 text \("):
        table.row(1)


def test_fields_are_columns_unless_a_member_is_called_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "_LOOKED_AT", 2)
    rows = [b'{"x": 1, "cls": "field"}', b"no", b'{"late": 2}', b"[1]"]
    write_tar(tmp_path / "t.tar", [(str(i), {"cls": b"c", "json": row}) for i, row in enumerate(rows)])
    table = load_table(tmp_path / "t.tar")
    assert table.column_names == ["cls", "x"]
    assert table.row(0) == {"cls": "c", "x": 1}
    assert table.row(2) == {"cls": "c", "x": None}
    assert table.column("cls") == ["c"] * 4  # no other member is read for it
    with pytest.raises(DataError, match=r"its \.json member: must be an object of fields"):
        table.row(3)


def test_a_file_that_is_cut_off_or_gone_after_it_was_opened(tmp_path):
    write_tar(tmp_path / "t.tar", [("a", {"bin": b"x" * 600}), ("b", {"bin": b"y" * 600})])
    table = load_table(tmp_path / "t.tar")
    assert table.row(0)["bin"] == b"x" * 600
    os.truncate(tmp_path / "t.tar", 512 + 599)
    with pytest.raises(DataError, match=r"its sample 0, its \.bin member: the file ends within it"):
        table.row(0)
    (tmp_path / "t.tar").unlink()
    with pytest.raises(DataError, match=r"t\.tar: cannot be read \(No such file"):
        table.row(0)
    (tmp_path / "t.tar").write_bytes(b"x" * 600)
    with pytest.raises(DataError, match=r"cannot be read as tar \([^;]*$"):
        load_table(tmp_path / "t.tar")
