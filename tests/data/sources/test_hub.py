"""Data sets of the hub."""

import numpy as np
import pytest

from data_helpers import png
from perceiver_pytorch.data import DataError, load_table, recognise_columns
from perceiver_pytorch.data.sources.hub import dataset_table, is_saved_dataset


def picture(value):
    return png(np.full((4, 4), value, np.uint8))


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


def test_a_data_set_needs_a_name_and_a_reason_is_one_line(monkeypatch):
    datasets = pytest.importorskip("datasets")

    reasons = ["no such name\nat line 3", " "]

    def refuse(*_):
        raise OSError(reasons.pop(0))

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataError, match="hf: must be followed by a data set's name, as in hf:mnist or hf:USER/"):
        load_table("hf:")
    for told in ("no such name", "OSError"):
        with pytest.raises(DataError, match=rf"^hf:x: cannot be loaded \({told}\)\. Is the name right"):
            load_table("hf:x")


def test_parts_are_named_by_their_splits_alone(tmp_path):
    datasets = pytest.importorskip("datasets")

    def table(**parts):
        made = {name: datasets.Dataset.from_dict(part) for name, part in parts.items()}
        return dataset_table("set", tmp_path, datasets.DatasetDict(made))

    one = table(train={"x": [1, 2]})
    assert (one.column("split"), one.notes) == (["train", "train"], ())
    assert table(all={"x": [1]}).column_names == ["x"]
    assert table(Train={"x": [1], "split": ["own"]}).column("split") == ["own"]
    assert table(train={"x": [1]}, test={"x": [2], "y": ["a"]}).column("y") == [None, "a"]
    with pytest.raises(DataError, match="set: its parts one, two are neither train, validation nor test"):
        table(one={"x": [1]}, two={"x": [2]})
    with pytest.raises(DataError, match="set: its parts have different columns"):
        table(train={"x": [1]}, test={"x": ["a"]})
    plain = dataset_table("set", tmp_path, datasets.Dataset.from_dict({"x": [3, 1, 2]}).select([2, 0]))
    assert (plain.column("x"), plain.source, plain.root) == ([2, 3], "set", tmp_path)
    labels = datasets.Features({"y": datasets.ClassLabel(names=["a", "b"])})
    named = dataset_table("set", tmp_path, datasets.Dataset.from_dict({"y": [1, -1, 0]}, labels))
    assert named.column("y") == ["b", None, "a"]


def test_a_damaged_folder_of_a_data_set_is_named(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read as a saved data set"):
        load_table(tmp_path)
    assert is_saved_dataset(tmp_path)
    assert not is_saved_dataset(tmp_path.parent)
