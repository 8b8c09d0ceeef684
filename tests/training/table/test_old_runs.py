"""A run that an earlier version left behind is evaluated, predicted from and resumed as by that version."""

import json
from pathlib import Path

import pytest

from cli_helpers import perceiver
from old_runs import Comparison, copied
from perceiver_pytorch.ops import latents
from perceiver_pytorch.training.run.checkpoints import read_checkpoint
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.table.run import TableRun

OLD = Path(__file__).parent / "runs_of_102f612"


@pytest.fixture
def folder(tmp_path):
    return copied(OLD, tmp_path / "old")


@pytest.fixture(scope="module")
def same():
    return Comparison(OLD)


def test_it_is_evaluated_as_before(folder, same):
    perceiver("evaluate", "finished", "table/mixed.csv", "-o", "new.json", cwd=folder)
    same.values(*(json.loads(path.read_text()) for path in (folder / "new.json", OLD / "evaluate.json")))


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_it_predicts_as_before(folder, same, monkeypatch, in_a_loop):
    """PyTorch computed the latents then. In a compiled loop they are equal but for rounding."""
    if not in_a_loop:
        monkeypatch.setattr(latents, "may_take", lambda x: False)
    perceiver("predict", "finished", "table/mixed.csv", "-o", "new.csv", cwd=folder)
    same.files(folder / "new.csv", OLD / "predict.csv", 1e-5, rounded=in_a_loop)


@pytest.mark.parametrize("name", ["stopped", "finished"])
def test_it_is_resumed_to_the_same_model(folder, same, name):
    perceiver("fit", "--resume", name, cwd=folder)
    new, old = TableRun.open(folder / name), TableRun.open(OLD / "finished")
    same.weights(new.path / "model.safetensors", old.path / "model.safetensors")
    same.values(new.metrics(), old.metrics(), tolerance=0.05)
    same.values(read_history(new.history_file), read_history(old.history_file), tolerance=0.05)
    for file in ("config.yaml", "input_spec.json", "table.json"):
        assert (new.path / file).read_bytes() == (old.path / file).read_bytes()
    model, before = (json.loads((run.path / "config.json").read_text()) for run in (new, old))
    width = {"widening_factor": 4}  # which all models had when it was no option
    assert model == before | width | {"style": before["style"] | width}
    assert new.report_file.is_file()
    checkpoints = [read_checkpoint(run.last) for run in (new, old)]
    assert checkpoints[0].keys() == checkpoints[1].keys()
    assert checkpoints[0]["callbacks"].keys() == checkpoints[1]["callbacks"].keys()
