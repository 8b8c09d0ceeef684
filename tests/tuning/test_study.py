"""The folder of a search and its database."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra tune is not installed")

from perceiver_pytorch._saved_files import DamagedFileError, MissingFileError
from perceiver_pytorch.tuning.study import StudyFolder, best_of, finished, open_study, optuna, without_password
from tuning_helpers import folder_of, plan_of


def test_a_folder_tells_what_it_was_made_for(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, trials=7, trial_seconds=2.5)
    folder = folder_of(tmp_path, plan)
    assert folder.plan() == plan
    with pytest.raises(ValueError, match="is not empty"):
        folder.create(plan)
    with pytest.raises(MissingFileError, match="no folder of perceiver tune"):
        StudyFolder(tmp_path).plan()
    folder.search_file.write_text('{"space": 3}')
    with pytest.raises(DamagedFileError, match=r"search\.json"):
        folder.plan()


def test_two_that_open_a_study_share_its_trials(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    folder = folder_of(tmp_path, plan)
    first, second = open_study(folder, plan), open_study(folder, replace(plan, trials=9))
    first.add_trial(optuna().trial.create_trial(value=0.5))
    second.add_trial(optuna().trial.create_trial(state=optuna().trial.TrialState.PRUNED))
    second.add_trial(optuna().trial.create_trial(state=optuna().trial.TrialState.FAIL))
    assert [trial.number for trial in finished(first)] == [0, 1]
    assert best_of(second.trials).number == 0
    assert best_of([]) is None
    with pytest.raises(ValueError, match="with other settings"):
        open_study(folder, replace(plan, space=plan.space[:1]))


def test_of_equal_trials_the_first_is_the_best(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    study = open_study(folder_of(tmp_path, plan), plan)
    for value in (0.5, 0.7, 0.7, 0.1):
        study.add_trial(optuna().trial.create_trial(value=value))
    assert best_of(study.trials).number == 1


def test_a_database_that_cannot_be_had_is_told_without_its_password(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, storage="postgresql+nothing://me:secret@host/name")
    folder = folder_of(tmp_path, plan)
    assert "secret" not in folder.search_file.read_text()
    with pytest.raises(ValueError, match=r"cannot be kept in postgresql\+nothing://me:\*\*\*@host/name") as error:
        open_study(folder, plan)
    assert "secret" not in str(error.value)
    assert without_password("what") == "what"
