"""``perceiver plan``: what it foresees is what comes, and what it advises can be typed."""

import json
import shlex

import numpy as np
import pytest

from cli_helpers import SETTINGS, perceiver
from perceiver_pytorch.training.table import forecast


@pytest.fixture(scope="module")
def planned(folder):
    before = {*folder.iterdir()}
    done = perceiver("plan", "mixed.csv", "--target=label", "--epochs=2", "--json", *SETTINGS, cwd=folder)
    return {**json.loads(done.stdout), "left behind": {*folder.iterdir()} - before}


def test_it_foresees_what_a_run_has(planned, run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert planned["model"]["parameters"] == metrics["parameters"]
    assert planned["time"]["steps"] == metrics["trained"]["steps"] == 8
    assert planned["model"]["precision"] == metrics["trained"]["precision"]
    assert planned["rows"] == {"train": 32, "val": 8, "test": 8}
    assert planned["command"].startswith("perceiver fit mixed.csv --target label")
    assert {each["modality"]: each["tokens_at_most"] for each in planned["inputs"]}["numbers"] == 1
    assert planned["tokens_a_row"] == sum(each["tokens_at_most"] for each in planned["inputs"])


def test_a_step_takes_the_memory_and_the_time_that_it_says(planned):
    step = planned["memory"]["measured_step"]
    if step["bytes"] is None:
        pytest.skip("this system does not say")
    assert step["predicted_bytes"] > 0
    assert planned["memory"]["fits"]
    assert planned["time"]["step_seconds"] > 0
    assert planned["time"]["in_all_seconds"] > planned["time"]["training_seconds"] > 0
    assert planned["operations"]["a_step"] == 8 * planned["operations"]["a_row"] > 0


def test_it_leaves_nothing_behind(planned):
    assert planned["left behind"] == set()


def test_what_does_not_fit_is_told_with_what_fits(folder, monkeypatch):
    monkeypatch.setattr(forecast, "free_memory", lambda: 12 << 20)
    config = ["plan", "mixed.csv", "--target=label", "--epochs=2", *SETTINGS, "--batch-size=32", "--time-limit=1s"]
    found = json.loads(perceiver(*config, "--json", cwd=folder).stdout)
    (memory,) = [each for each in found["unwise"] if "does not fit into memory" in each["says"]]
    words = shlex.split(memory["instead"])
    assert int(words[words.index("--batch-size") + 1]) < 32
    assert found["memory"]["measured_step"]["rows"] < 32
    assert found["time_limit"]["steps"] >= 1


def test_people_read_lines(folder):
    done = perceiver("plan", "mixed.csv", "--target=label", "--steps=3", *SETTINGS, cwd=folder)
    assert ", precision 32-true" in done.stdout, done.stdout
    for part in ("tokens_a_row: ", "operations: ", "memory: about ", "time: ", "  in all about "):
        assert part in done.stdout, done.stdout


def test_errors_are_those_of_fit(folder):
    done = perceiver("plan", "mixed.csv", "--target=lable", cwd=folder, check=False)
    assert done.returncode == 2
    assert "did you mean 'label'" in done.stderr
    assert "which table?" in perceiver("plan", cwd=folder, check=False).stderr


def test_cells_that_come_back_are_counted_once():
    rng = np.random.default_rng(0)
    cells = [f"{i}.png" for i in rng.integers(0, 500, 30_000)]
    assert forecast.share_of_different(cells[:2000], 30_000) == pytest.approx(500 / 30_000, rel=0.1)
    assert forecast.share_of_different([str(i) for i in range(2000)], 30_000) > 0.95
