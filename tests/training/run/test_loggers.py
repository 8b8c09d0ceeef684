"""Where a run is logged."""

import csv
import sys
from pathlib import Path
from typing import Any

import pytest

from perceiver_pytorch.training.run.loggers import build_loggers
from perceiver_pytorch.training.run.settings import TrainingSettings
from perceiver_pytorch.training.table.run import TableRun
from training_helpers import fit, tiny_config, write_mixed_table


def run_at(path: Path) -> TableRun:
    return TableRun.create(path / "run")


def test_tensorboard_hides_what_was_logged_after_the_checkpoint(tmp_path: Path) -> None:
    run = run_at(tmp_path)
    for resume, step, purged in ((False, 7, None), (True, 0, 0), (True, 7, 7)):
        (logger,) = build_loggers("tensorboard", run, resume=resume, step=step)
        told: Any = logger
        assert (told.name, told.version, told._kwargs.get("purge_step")) == ("tensorboard", "", purged)
    assert build_loggers("none", run, resume=False, step=0) == []


@pytest.mark.parametrize("text", ["", "tensorbord", "csv,csv", "none,csv"])
def test_what_is_no_logger_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="logger"):
        TrainingSettings(logger=text)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")  # of the service about its own libraries
def test_a_run_logs_to_csv_and_mlflow_and_goes_on_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    run, config = run_at(tmp_path), tiny_config(write_mixed_table(tmp_path), logger="csv,mlflow")
    fit(config, run)
    found = mlflow.tracking.MlflowClient(store).search_runs(["1"])
    assert [each.info.run_name for each in found] == ["run"]
    assert found[0].data.params["training.epochs"] == "2"
    assert 0 < found[0].data.metrics["val_loss"] < 10
    with (run.csv / "part_0/metrics.csv").open() as file:
        assert len([row for row in csv.DictReader(file) if row["val_loss"]]) == 2
    assert not (run.path / "tensorboard").exists()
    again = build_loggers("csv,mlflow", run, resume=True, step=0)
    assert str(again[0].version) == "part_1"
    assert again[1].version == found[0].info.run_id  # type: ignore[attr-defined]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nothing://here")
    with pytest.raises(ValueError, match="mlflow cannot be logged to"):
        build_loggers("mlflow", run, resume=False, step=0)


def test_csv_files_of_a_run_that_goes_on_stand_beside_each_other(tmp_path: Path) -> None:
    run = run_at(tmp_path)
    for resume, name in ((False, "part_0"), (True, "part_1")):
        (logger,) = build_loggers("csv", run, resume=resume, step=0)
        logger.log_metrics({"val_loss": 0.5}, step=10)
        logger.save()
        assert "0.5" in (run.csv / name / "metrics.csv").read_text()


def test_a_service_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_at(tmp_path)
    run.write_config(tiny_config("table.csv"))
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r"pip install .*\[wandb\]"):
        build_loggers("wandb", run, resume=False, step=0)
