"""Language runs that an earlier version left behind are evaluated, generated from and resumed as by that version."""

from pathlib import Path

import pytest

from cli_helpers import perceiver
from old_runs import Comparison, copied
from perceiver_pytorch.training.language.run import LanguageRun
from perceiver_pytorch.training.run.history import read_history

OLD = Path(__file__).parent / "runs_of_102f612"
OBJECTIVES = ["causal", "masked"]


@pytest.fixture
def folder(tmp_path):
    return copied(OLD, tmp_path / "old")


@pytest.fixture(scope="module")
def same():
    return Comparison(OLD.parents[1] / "table/runs_of_102f612")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_is_evaluated_as_before(folder, same, objective):
    perceiver("evaluate", f"{objective}/finished", "text.txt", "-o", "new.json", cwd=folder)
    same.files(folder / "new.json", OLD / objective / "evaluate.json")


def test_it_writes_as_before(folder):
    said = perceiver("generate", "causal/finished", "the cat", "--max-bytes=20", "--temperature=0", cwd=folder).stdout
    assert said == (OLD / "causal/greedy.txt").read_text()
    said = perceiver("fill", "masked/finished", "the [MASK]at sa[MASK] on", cwd=folder).stdout
    assert said == (OLD / "masked/filled.txt").read_text()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_is_resumed_to_the_same_model(folder, same, objective):
    perceiver("language", "--resume", f"{objective}/stopped", cwd=folder)
    new, old = LanguageRun.open(folder / objective / "stopped"), LanguageRun.open(OLD / objective / "finished")
    tied = objective == "causal"
    same.weights(new.path / "model.safetensors", old.path / "model.safetensors", tied=tied)
    same.values(new.metrics(), old.metrics(), tolerance=0.05)
    same.values(read_history(new.history_file), read_history(old.history_file), tolerance=0.05)
    for file in ("config.yaml", "config.json", "text.json"):
        assert (new.path / file).read_bytes() == (old.path / file).read_bytes()
