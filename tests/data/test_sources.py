"""Folders, shards and data sets of the hub as tables."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from data_helpers import png, wav
from perceiver_pytorch.data import (
    DataError,
    InputSpec,
    ReadOptions,
    ShardedTable,
    Table,
    TableDataset,
    load_table,
    recognise_columns,
    split_rows,
)

STREAM = ReadOptions(stream=True)


def picture(value):
    return png(np.full((4, 4), value, np.uint8))


def write_files(root: Path, names, content=b""):
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content or picture(i))


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


def test_a_folder_of_classes_is_a_table(tmp_path):
    write_files(tmp_path, ["cat/1.png", "cat/deep/2.png", "dog/1.png", "dog/.hidden.png", "dog/notes.docx"])
    table = load_table(tmp_path)
    assert [table.row(i) for i in range(len(table))] == [
        {"image": "cat/1.png", "label": "cat"},
        {"image": "cat/deep/2.png", "label": "cat"},
        {"image": "dog/1.png", "label": "dog"},
    ]
    assert "1 of .docx" in table.notes[0]
    assert recognise_columns(table, target="label", split=None) == {"image": "image"}


def test_a_folders_train_and_test_are_its_split(tmp_path):
    write_files(tmp_path, ["train/cat/1.png", "train/dog/1.png", "validation/cat/1.png", "Test/dog/1.png"])
    table = load_table(str(tmp_path))
    assert sorted(zip(table.column("split"), table.column("label"), strict=True)) == [
        ("test", "dog"), ("train", "cat"), ("train", "dog"), ("val", "cat")]  # fmt: skip
    splits = split_rows(table, target="label", split=None, val_fraction=0.1, seed=0)
    assert [len(rows) for rows in (splits.train, splits.val, splits.test)] == [2, 1, 1]


def test_files_of_one_name_and_different_kinds_share_a_row(tmp_path):
    write_files(tmp_path, ["a/1.png", "a/2.png", "a/2.jpg"])
    write_files(tmp_path, ["a/1.wav"], wav(np.zeros(10)))
    table = load_table(tmp_path)
    assert {"image": "a/1.png", "audio": "a/1.wav", "label": "a"} in [table.row(i) for i in range(len(table))]
    assert len(table) == 3


def test_files_without_folders_have_no_label(tmp_path):
    write_files(tmp_path, ["1.png", "2.png"])
    assert load_table(tmp_path).column_names == ["image"]


def test_an_empty_folder_says_what_is_expected(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match=r"class/name\.jpg"):
        load_table(tmp_path)


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


@pytest.fixture
def saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "text": datasets.Value("string"),
        }
    )

    def part(count, start=0):
        rows = [{"image": {"bytes": picture(i), "path": None}, "label": i % 2, "text": f"number {i}"} for i in
                range(start, start + count)]  # fmt: skip
        return datasets.Dataset.from_list(rows, features=features)

    parts = datasets.DatasetDict({"train": part(6), "validation": part(2, 6), "extra": part(1)})
    parts["train"] = parts["train"].select([5, 4, 3, 2, 1, 0])
    parts.save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_saved_data_set_is_a_table_with_class_names_and_splits(saved):
    table = load_table(saved)
    assert table.column("label") == ["dog", "cat", "dog", "cat", "dog", "cat", "cat", "dog"]
    assert table.column("split") == ["train"] * 6 + ["val"] * 2
    assert table.row(0)["image"]["bytes"] == picture(5)
    assert any("'extra' is left out" in note for note in table.notes)
    assert recognise_columns(table, target="label", split="split")["image"] == "image"


def test_the_hub_without_a_network_says_so(tmp_path):
    import os
    import subprocess
    import sys

    code = (
        "from perceiver_pytorch.data import load_table, DataError\n"
        "try: load_table('hf:nobody/nothing')\n"
        "except DataError as error: print(error)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert "hf:nobody/nothing: cannot be loaded" in done.stdout, done.stderr
    assert "is there a network" in done.stdout


def test_the_hub_is_asked_for_the_name_and_the_configuration(saved, monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = []
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *args: asked.append(args) or datasets.load_from_disk(str(saved))
    )
    assert len(load_table("hf:user/name:small")) == 8
    assert asked == [("user/name", "small")]
