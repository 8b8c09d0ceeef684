"""The page of a search."""

import csv
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra tune is not installed")

from perceiver_pytorch.tuning.page import write_page
from perceiver_pytorch.tuning.study import StudyFolder, open_study, optuna
from tuning_helpers import folder_of, plan_of


def filled(tmp_path: Path, trials: int) -> tuple[StudyFolder, str]:
    plan = plan_of(tmp_path)
    folder = folder_of(tmp_path, plan)
    study, library = open_study(folder, plan), optuna()
    distributions = {
        "training.lr": library.distributions.FloatDistribution(1e-3, 1e-1, log=True),
        "model.depth": library.distributions.CategoricalDistribution((1, 2)),
    }
    for number in range(trials):
        params = {"training.lr": 0.002 * (number + 1), "model.depth": 1 + number % 2}
        study.add_trial(
            library.trial.create_trial(
                value=0.5 + number / 100,
                params=params if number else {},
                distributions=distributions if number else {},
                user_attrs={"measure": "val_balanced_accuracy"},
                intermediate_values={1: 0.25},
            )
        )
    study.add_trial(
        library.trial.create_trial(state=library.trial.TrialState.FAIL, user_attrs={"error": "ValueError: <b>bold</b>"})
    )
    write_page(folder, plan, study, "perceiver tune --resume search")
    return folder, (folder.path / "report.html").read_text()


def test_the_page_has_the_best_trial_and_optunas_plots(tmp_path: Path) -> None:
    folder, page = filled(tmp_path, 6)
    assert "Trial 5 is the best: 0.5500, where the settings as they are (trial 0) come to 0.5000" in page.replace(
        "\n", " "
    )
    assert "balanced accuracy on the validation rows" in page
    for title in ("Best score so far", "Which settings matter", "Scores by model.depth, training.lr", "every trial"):
        assert title in page
    assert page.count("<svg") == 6
    assert "could not be drawn" not in page
    assert "<b>bold</b>" not in page
    assert 'src="' not in page
    assert 'href="http' not in page
    with (folder.path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert rows[5]["training.lr"] == "0.012"
    assert rows[6]["error"].startswith("ValueError")


def test_a_page_without_results_says_so(tmp_path: Path) -> None:
    _, page = filled(tmp_path, 0)
    assert "No trial has been trained to its end yet" in page
    assert "<svg" not in page
