"""Folders of media files."""

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
