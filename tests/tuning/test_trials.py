"""Trials: scored by validation rows, pruned, failed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("optuna", reason="the extra tune is not installed")

from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.table.quiet_task import KeptRows
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.tuning import trials as trials_module
from perceiver_pytorch.tuning.study import finished, open_study, optuna
from perceiver_pytorch.tuning.trials import Pruning, Search
from tuning_helpers import folder_of, plan_of


def test_as_many_trials_as_planned_are_scored_and_the_best_is_kept(tmp_path: Path) -> None:
    plan, told = plan_of(tmp_path), []
    folder = folder_of(tmp_path, plan)
    study = open_study(folder, plan)
    Search(folder, plan, study, told=lambda trial: told.append(trial.number)).run()
    assert told == [0, 1, 2]
    assert study.trials[0].params == {}  # the settings as they are
    assert all(trial.params.keys() == {"training.lr", "model.depth"} for trial in study.trials[1:])
    best = study.best_trial
    assert [path.name for path in (folder.path / "trials").iterdir()] == [f"{best.number:04}"]
    run = TableRun(folder.trial(best.number))
    assert run.metrics()["score"] == best.value
    measured = [row["val_accuracy"] for row in read_history(run.history_file)]
    assert best.value == pytest.approx(max(measured), abs=1e-6)
    assert [*best.intermediate_values] == [*range(1, 11)]
    Search(folder, plan, study).run()  # enough are there
    assert len(study.trials) == 3


def test_rows_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, trials=2)
    folder = folder_of(tmp_path, plan)
    reads: list[Any] = []
    keep = KeptRows.keep
    monkeypatch.setattr(KeptRows, "keep", lambda self, config, data: (reads.append(data), keep(self, config, data)))
    Search(folder, plan, open_study(folder, plan)).run()
    assert len(reads) == 1


def test_trials_that_fail_one_after_another_end_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path)
    folder = folder_of(tmp_path, plan)
    study = open_study(folder, plan)

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("no")

    monkeypatch.setattr(trials_module, "run_job", fail)
    with pytest.raises(ValueError, match=r"^no$"):  # so would all others
        Search(folder, plan, study).run()
    assert study.trials[0].user_attrs["error"] == "ValueError: no"
    assert finished(study) == []
    study.add_trial(optuna().trial.create_trial(value=0.5))
    with pytest.raises(ValueError, match="3 trials failed one after another; the last: ValueError: no"):
        Search(folder, plan, study).run()
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "FAIL", "FAIL", "FAIL"]


def test_no_trial_begins_after_the_deadline(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    folder = folder_of(tmp_path, plan)
    study = open_study(folder, plan)
    Search(folder, plan, study, Deadline(-1.0)).run()
    assert study.trials == []


class Pruned(Exception):  # noqa: N818  (as Optuna's)
    pass


class Reported:
    def __init__(self, prune_at: int) -> None:
        self.scores: dict[int, float] = {}
        self.prune_at = prune_at

    def report(self, score: float, part: int) -> None:
        self.scores[part] = score

    def should_prune(self) -> bool:
        return max(self.scores) >= self.prune_at


def validated(pruning: Pruning, step: int, score: float, last_step: int = 100) -> None:
    trainer: Any = SimpleNamespace(global_step=step, callback_metrics={"val_score": torch.tensor(score)})
    pruning.on_validation_end(trainer, SimpleNamespace(monitor="val_score", last_step=last_step))


def test_every_tenth_has_the_score_of_the_validation_that_reached_it() -> None:
    trial = Reported(prune_at=99)
    pruning = Pruning(trial, Pruned)
    for step, score in ((5, 0.25), (12, 0.5), (15, 0.625), (40, 0.75), (50, float("nan")), (100, 0.875)):
        validated(pruning, step, score)
    assert trial.scores == {1: 0.5, 2: 0.75, 3: 0.75, 4: 0.75, **dict.fromkeys(range(5, 11), 0.875)}


def test_a_trial_ends_where_optuna_says_so_but_not_at_its_end() -> None:
    pruning = Pruning(Reported(prune_at=3), Pruned)
    validated(pruning, 25, 0.5)
    with pytest.raises(Pruned):
        validated(pruning, 30, 0.5)
    validated(Pruning(Reported(prune_at=3), Pruned), 100, 0.5)
