"""``perceiver tune``, as a user has it."""

from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra tune is not installed")

from cli_helpers import SETTINGS, perceiver
from experiment_helpers import write_table

SHORT = ["--target=label", "--steps=4", "--set=training.validate_every=2", "--set=training.head_weight=0", *SETTINGS]


def test_a_search_goes_on_and_leaves_a_run_that_predicts(tmp_path: Path) -> None:
    write_table(tmp_path)
    options = [*SHORT, "--trials=2", "--search=training.lr"]
    done = perceiver("tune", "table.csv", *options, cwd=tmp_path)
    assert "searching training.lr (0.0003 to 0.01, logarithmic)" in done.stdout
    assert "2 trials, kept in searches/table" in done.stdout
    assert "(2 of 2)" in done.stdout
    assert "measured on test rows" in done.stdout
    folder = tmp_path / "searches/table"
    assert len(perceiver("predict", folder / "best", "table.csv", "-o", "p.csv", cwd=tmp_path).stdout) > 0
    done = perceiver("tune", "--resume", folder, "--trials=3", cwd=tmp_path)
    assert "(3 of 3)" in done.stdout
    assert len((folder / "trials.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which table?"),
        (["table.csv", "--target=label", "--search=lr"], "the key of --search must be one of"),
        (["table.csv", "--target=label", "--trial-time=soon"], "--trial-time must be a duration"),
        (["table.csv", "--target=label", "--devices=2", "--accelerator=cpu"], "a trial has one device"),
        (["--resume=.", "--lr=1"], "--resume goes on with the settings"),
        (["--resume=."], "no folder of perceiver tune"),
        (["table.csv", "--target=none", "--trials=1", *SETTINGS], "no column 'none'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arguments: list[str], message: str) -> None:
    write_table(tmp_path)
    done = perceiver("tune", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "searches/table").exists()


def test_a_trial_has_its_share_of_the_time_unless_its_steps_are_given(tmp_path: Path) -> None:
    from dataclasses import replace

    from perceiver_pytorch.cli.tune import _trial_seconds
    from perceiver_pytorch.training.run.durations import Deadline
    from tuning_helpers import plan_of

    plan = plan_of(tmp_path, trials=9)
    free = replace(plan, config=replace(plan.config, training=replace(plan.config.training, steps=None)))
    assert _trial_seconds(free, None, Deadline(100.0), 2) == pytest.approx(20.0)
    assert _trial_seconds(free, "30s", Deadline(100.0), 2) == 30
    assert _trial_seconds(plan, None, Deadline(100.0), 2) is None
    assert _trial_seconds(free, None, None, 1) is None
