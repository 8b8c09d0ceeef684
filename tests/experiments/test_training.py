"""What a trained cell tells."""

from pathlib import Path

import pytest

from experiment_helpers import experiment, write_table
from perceiver_pytorch.experiments.cells import all_cells
from perceiver_pytorch.experiments.training import metric_of, peak_memory_mb, train_cell


def test_a_cell_tells_metrics_costs_and_history_and_leaves_no_folder(tmp_path: Path) -> None:
    write_table(tmp_path)
    cell = all_cells(experiment(), data=tmp_path)[0]
    left = tmp_path / "run"
    left.mkdir()
    (left / "config.yaml").write_text("of a process that was killed")
    told = train_cell(cell, left, ("score", "loss", "rmse"))  # a class has no rmse
    assert told["metrics"].keys() == {"score", "loss"}
    assert (told["split"], told["steps"]) == ("test", 2)
    assert min(told[name] for name in ("parameters", "operations", "seconds", "cpu_seconds", "memory_mb")) > 0
    assert told["history"][-1]["val_loss"] > 0
    assert not left.exists()
    again = train_cell(cell, left, ("score", "loss"), keep=True)
    assert again["metrics"] == told["metrics"]
    assert (left / "model.safetensors").is_file()
    with pytest.raises(ValueError, match="no metric 'rmse'"):
        train_cell(cell, left, ("rmse", "score"))


def test_metrics_are_found_by_their_names() -> None:
    metrics = {"score": 1, "inner": {"f1": 0.5}, "rows": 4, "split": "test", "yes": True}
    assert metric_of(metrics, "inner.f1") == 0.5
    for name in ("f1", "inner", "split", "yes"):
        with pytest.raises(ValueError, match=rf"no metric '{name}' of this target; there are score, rows"):
            metric_of(metrics, name)


def test_memory_is_in_megabytes() -> None:
    assert 50 < (peak_memory_mb() or 100) < 100_000
