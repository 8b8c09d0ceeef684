"""The run of the best trial."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra tune is not installed")

from perceiver_pytorch import tables
from perceiver_pytorch.tuning.best import finish_best
from perceiver_pytorch.tuning.study import best_of, open_study
from perceiver_pytorch.tuning.trials import SILENT, Search
from tuning_helpers import folder_of, plan_of


def test_the_best_trial_becomes_a_run_like_any_other(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, trials=2)
    folder = folder_of(tmp_path, plan)
    study = open_study(folder, plan)
    Search(folder, plan, study).run()
    best = best_of(study.trials)
    run = finish_best(folder, plan, best, SILENT)
    assert run is not None
    assert run.path == folder.best
    assert run.report_file.is_file()
    assert run.metrics()["split"] == "test"
    assert len(tables.Run(run).predict(tmp_path / "table.csv")) == 40
    model = run.model_files[1].stat()
    again = finish_best(folder, plan, best, SILENT)
    assert again is not None
    assert run.model_files[1].stat() == model  # it is finished already
    (folder.best / "trial.txt").write_text("99\n")  # another trial was the best before
    shutil.rmtree(folder.trial(best.number))
    assert finish_best(folder, plan, best, SILENT) is None  # it was trained elsewhere
    assert (folder.path / "best.yaml").is_file()
