"""Trials in several processes."""

from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra tune is not installed")

from perceiver_pytorch.tuning.processes import run_trials
from perceiver_pytorch.tuning.study import finished, open_study
from tuning_helpers import folder_of, plan_of


@pytest.mark.nightly
def test_two_processes_share_the_trials(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, trials=12)
    folder = folder_of(tmp_path, plan)
    study, own = open_study(folder, plan), []
    run_trials(folder, plan, study, deadline=None, processes=2, told=own.append)
    assert 12 <= len(finished(study)) <= 13  # two may begin the last one at once
    assert 0 < len(own) < len(finished(study))
