"""Folders of media files."""

import os
from pathlib import Path

import numpy as np
import pytest

from data_helpers import png, wav
from perceiver_pytorch.data import (
    DataError,
    load_table,
    recognise_columns,
    split_rows,
)
from perceiver_pytorch.data.sources import folders


def picture(value):
    return png(np.full((4, 4), value, np.uint8))


def write_files(root: Path, names, content=b""):
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content or picture(i))


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


def test_a_folder_with_a_table_in_it_is_that_table(tmp_path):
    write_files(tmp_path, ["a/1.png", "b/2.png"])
    (tmp_path / "t.csv").write_text("x\n1\n")
    with pytest.raises(DataError, match=r"give the table in it: it holds t\.csv"):
        load_table(tmp_path)


def test_some_folders_and_files_are_left_out_and_told(tmp_path):
    write_files(tmp_path, ["a/1.png", "b/2.png", "c.png", ".x/3.png"])
    for name in ("r.one", "r.two", "r.two2", "r", "r.a", "r.b", "s.A", "s.b"):
        (tmp_path / "a" / name).write_bytes(b"x")
    table = load_table(tmp_path)
    assert sorted(table.column("image")) == ["a/1.png", "b/2.png", "c.png"]
    assert dict(zip(table.column("image"), table.column("label"), strict=True))["c.png"] is None
    (note,) = table.notes
    assert note.startswith(f"{tmp_path}: files that are no image, sound, video or array are left out (")
    assert "2 of .a, 2 of .b" in note
    assert note.count(" of ") == 5
    write_files(tmp_path, ["train/a/1.png"])
    assert "split" not in load_table(tmp_path).column_names  # not all lie in one


def test_what_lies_in_splits_alone_has_no_label(tmp_path):
    write_files(tmp_path, ["train/1.png", "dev/2.png"])
    table = load_table(tmp_path)
    assert table.column_names == ["image", "split"]
    assert table.column("split") == ["val", "train"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX")
def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    write_files(tmp_path, ["a/1.png"])
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"a: cannot be read \(Permission denied\)"):
        list(folders._files(tmp_path))


def test_a_name_is_no_address_and_may_have_no_suffix(tmp_path):
    write_files(tmp_path, ["a/1.png", "a/2.png#top", "b/plain"])
    table = load_table(tmp_path)
    assert table.column("image") == ["a/1.png"]
    assert "(1 of .png#top, 1 of no suffix)" in table.notes[0]
    (tmp_path / "a/1.png").unlink()
    with pytest.raises(DataError, match="is a folder without files of images"):
        load_table(tmp_path)
