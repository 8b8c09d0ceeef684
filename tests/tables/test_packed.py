"""A run without its folder."""

import pickle
import pickletools
from pathlib import Path

import torch

from perceiver_pytorch import tables
from perceiver_pytorch.tables.packed import PackedRun

ROWS = {"size": [0.5, 1.0], "place": ["here", "there"], "picture": None, "sound": None, "note": None}
ROWS = {name: cells or [None, None] for name, cells in ROWS.items()}


def test_it_predicts_as_the_folder_does(run: tables.Run) -> None:
    assert PackedRun(run.folder).run.predict(ROWS) == run.predict(ROWS)


def test_its_pickle_holds_bytes_alone(run: tables.Run) -> None:
    packed = PackedRun(run.folder)
    _ = packed.run
    data = pickle.dumps(packed)
    names = {argument for code, argument, _ in pickletools.genops(data) if code.name == "GLOBAL"}
    strings = [argument for code, argument, _ in pickletools.genops(data) if "UNICODE" in code.name]
    assert names <= {"perceiver_pytorch.tables.packed PackedRun"}
    assert not any("torch" in text.replace("perceiver_pytorch", "") for text in strings)
    again = pickle.loads(data)
    for ours, theirs in zip(again.run.model.parameters(), run.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_it_can_be_written_as_a_folder_again(run: tables.Run, tmp_path: Path) -> None:
    PackedRun(run.folder).write(tmp_path / "again")
    assert tables.Run.open(tmp_path / "again").predict(ROWS) == run.predict(ROWS)
