"""Rows unlike the train rows, as a run learns and tells them."""

import csv
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training_helpers import fit, tiny_config

from perceiver_pytorch.data.unusual import unusual_of
from perceiver_pytorch.tables import Run
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.table import evaluation
from perceiver_pytorch.training.table.calibrating import learn_calibration
from perceiver_pytorch.training.table.learn_unusual import unusual_batches
from perceiver_pytorch.training.table.partial_inputs import LATENTS
from perceiver_pytorch.training.table.pooled import pooled
from perceiver_pytorch.training.table.run import TableRun

ROWS = 300


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("unusual")
    rng = np.random.default_rng(0)
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "color", "note", "label", "split"])
        for i in range(ROWS):
            age, color = rng.uniform(18, 90), ["red", "green", "blue"][i % 3]
            note = f"this one is {'old' if age > 50 else 'young'} and of number {int(rng.integers(9))}"
            split = ["train", "train", "val", "test"][i % 4]
            writer.writerow([f"{age:.1f}", color, note, "old" if age > 50 else "young", split])
    folder = TableRun.create(folder / "run")
    fit(tiny_config(folder.path.parent / "t.csv", epochs=2), folder)
    return Run(folder)


ROW = {"age": "40", "color": "red", "note": "this one is young and of number 3"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"age": "900"}, "age is 900, above the train rows' 18"),
        ({"color": "zebra"}, "color is 'zebra', which no train row has"),
        ({"note": "quantum flux capacitor overdrive"}, "note has 100% words"),
    ],
)
def test_a_row_unlike_the_train_rows_is_told_with_the_reason(run: Run, change: dict[str, str], reason: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cells lose is told, too
        usual, odd = run.predict([ROW, ROW | change])
    assert usual["unusual"] is None
    assert odd["unusual"].startswith(reason)


def test_usual_rows_are_called_unusual_as_seldom_as_stated(run: Run) -> None:
    told = run.metrics["unusual"]
    assert told["limit_rate"] == 0.01
    assert told["validation_rows"] == ROWS / 4
    assert told["validation"] <= 0.03
    assert told["measured"] <= 0.1


def test_a_lacking_modality_is_no_reason(run: Run) -> None:
    lines = (run.path.parent / "t.csv").read_text().splitlines()
    table = [dict(row) for row in csv.DictReader(lines) if row["split"] == "test"]
    found = run.predict([{**row, "note": ""} for row in table])
    assert sum(row["unusual"] is not None for row in found) <= 0.1 * len(found)


def test_a_file_of_predictions_has_the_reasons(run: Run, tmp_path: Path) -> None:
    run.predict(run.path.parent / "t.csv", split="test", output=tmp_path / "p.csv", coverage=0.9)
    header = (tmp_path / "p.csv").read_text().splitlines()[0]
    assert header == '"row","prediction","set","set_size","p_old","p_young","unusual"'


def test_a_run_without_calibration_predicts_as_before(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "old")
    (tmp_path / "old" / "calibration.json").unlink()
    old = Run.open(tmp_path / "old")
    (found,) = old.predict([ROW])
    assert [*found] == ["row", "prediction", "p_old", "p_young"]
    assert old.calibration is None
    with pytest.raises(ValueError, match=r"has no calibration\.json"):
        old.predict([ROW], coverage=0.9)
    assert "unusual" not in old.evaluate(run.path.parent / "t.csv")


def test_a_damaged_file_is_named(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "bad")
    file = tmp_path / "bad" / "calibration.json"
    kept = json.loads(file.read_text())
    for change in ({"version": 9}, {"unusual": {**kept["unusual"], "rows": "many"}}):
        file.write_text(json.dumps(kept | change))
        with pytest.raises(ValueError, match=r"calibration\.json"):
            _ = Run.open(tmp_path / "bad").model


def test_latents_are_what_the_head_reads(run: Run) -> None:
    model = run.model
    _, dataset = _dataset(run)
    (found,) = evaluation.predict_without(model, dataset, [()], raw=True)
    trunk = model.trunk  # type: ignore[union-attr]
    assert found.latents is not None
    assert found.latents.shape == (len(found.rows), trunk.latents.shape[1])
    assert LATENTS not in found.outputs
    with pooled(torch.nn.Linear(1, 1)) as nothing:
        assert nothing is None
    assert not trunk.to_logits._forward_pre_hooks


def test_without_time_no_latents_are_compared(run: Run) -> None:
    _, dataset = _dataset(run)
    before = run.model.calibration
    learn_calibration(run.model, dataset, train=dataset, deadline=_Soon(0.0))
    found = unusual_of(run.model)
    run.model.calibration = before
    assert found is not None
    assert found.centres == ()


class _Soon(Deadline):
    """Time is up once the validation rows are answered."""

    asked = 0

    def left(self) -> float:
        self.asked += 1
        return 1.0 if self.asked <= 2 else 0.0


def _dataset(run: Run) -> Any:
    from perceiver_pytorch.tables.predictor import QUIET
    from perceiver_pytorch.tables.rows import Reading

    return run._rows(run.path.parent / "t.csv", "val", "val", Reading(), None, None, QUIET, require_target=True)


def test_batches_are_counted() -> None:
    assert unusual_batches(1, 10_000, 250) == 2
    assert unusual_batches(2, 10_000, 250) == 4
