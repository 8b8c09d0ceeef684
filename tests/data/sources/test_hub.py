"""Data sets of the hub."""

import numpy as np
import pytest

from data_helpers import png
from perceiver_pytorch.data import (
    load_table,
    recognise_columns,
)


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
