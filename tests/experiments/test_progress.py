"""How an experiment stands."""

import pytest

from experiment_helpers import experiment, record
from perceiver_pytorch.experiments.progress import Standing, title
from perceiver_pytorch.experiments.store import FAILED, RUNNING, WAITING


def test_rows_tell_states_and_means_of_a_level() -> None:
    records = [
        record("words", "whole", 0, 0.4, took=10.0),
        record("words", "whole", 1, 0.6, took=20.0),
        record("words", "split", 0, 0.0, state=RUNNING, result=None, took=None),
        record("words", "split", 1, 0.0, state=WAITING, result=None, took=None),
        record("words", "split", 2, 0.0, state=FAILED, result=None, error="ValueError: no"),
    ]
    standing = Standing.of(experiment(), records, processes=1)
    whole, split = standing.rows
    assert (whole.level, whole.mean, whole.states["done"]) == ("whole", pytest.approx(0.5), 2)
    assert (split.mean, split.states["running"], split.states["waiting"], split.states["failed"]) == (None, 1, 1, 1)
    assert (standing.done, standing.total) == (3, 5)
    assert standing.errors == {"words, split, 1, seed 2": "ValueError: no"}
    assert standing.seconds_left == pytest.approx(15 + 7.5)
    assert Standing.of(experiment(), records, processes=2).seconds_left == pytest.approx(22.5 / 2)


def test_before_the_first_cell_nobody_knows_how_long_it_takes() -> None:
    waiting = record("words", "whole", 0, 0.0, state=WAITING, result=None, took=None)
    assert Standing.of(experiment(), [waiting], 2).seconds_left is None
    assert title(waiting) == "words, whole, 1, seed 0"
