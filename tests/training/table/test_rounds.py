import dataclasses
import math

import pytest

from perceiver_pytorch.training.table.rounds import plan_rounds, settled
from perceiver_pytorch.training.table.settings import TrainingConfig


@pytest.mark.parametrize(("rows", "batch"), [(1, 1), (7, 7), (40, 8), (270, 16), (1023, 63), (1024, 64), (10**6, 64)])
def test_few_rows_have_small_batches(rows, batch):
    assert plan_rounds(TrainingConfig(), rows, 4).batch_size == batch
    assert plan_rounds(TrainingConfig(batch_size=5), rows, 4).batch_size == 5


@pytest.mark.parametrize(
    ("rows", "steps"),
    [(40, 1500), (3200, 1500), (6400, 3000), (64_000, 20_000), (1_280_000, 20_000), (6_400_000, 100_000)],
)
def test_there_are_thirty_passes_within_bounds_and_one_at_least(rows, steps):
    rounds = plan_rounds(TrainingConfig(), rows, 100)
    assert (rounds.steps, rounds.most_steps) == (steps, 4 * steps)
    assert rounds.pass_steps == rows / rounds.batch_size


def test_steps_and_epochs_are_made_as_asked_for():
    assert (
        plan_rounds(TrainingConfig(steps=70), 40, 9).steps
        == plan_rounds(TrainingConfig(steps=70), 40, 9).most_steps
        == 70
    )
    assert plan_rounds(TrainingConfig(epochs=3, batch_size=8), 41, 9).steps == math.ceil(3 * 41 / 8)
    assert plan_rounds(TrainingConfig(epochs=3, batch_size=8, validate_every=0), 41, 9).steps == 3 * 6
    with pytest.raises(ValueError, match="steps and epochs both say how long training is"):
        TrainingConfig(steps=70, epochs=3)


@pytest.mark.parametrize(
    ("train", "val", "length"), [(40, 4, 50), (3200, 320, 50), (64_000, 6400, 800), (100, 6400, 1500)]
)
def test_validation_takes_a_twentieth_of_the_time(train, val, length):
    """A train row costs three times as much as a validation row; steps need no pass."""
    rounds = plan_rounds(TrainingConfig(), train, val)
    assert rounds.length == length
    assert length == rounds.steps or val / (val + 3 * length * rounds.batch_size) < 0.05
    assert plan_rounds(TrainingConfig(validate_every=7), train, val).length == 7
    assert plan_rounds(TrainingConfig(validate_every=0), train, val).length is None


@pytest.mark.parametrize(
    ("given", "train", "val", "validated"),
    [
        ({}, 6400, 640, 640),
        ({"steps": 10}, 6400, 5000, 640),  # 10 steps of 64
        ({"validate_every": 1}, 6400, 5000, 256),
        ({"validate_every": 0}, 1000, 5000, 1000),
        ({"validate_every": 1}, 6400, 100, 100),
        ({"validate_every": 1, "validate_rows": 0}, 6400, 5000, 5000),
        ({"validate_rows": 30}, 6400, 640, 30),
    ],
)
def test_a_validation_reads_no_more_rows_than_training_did_since_the_one_before(given, train, val, validated):
    rounds = plan_rounds(TrainingConfig(**given), train, val)
    assert rounds.validated == validated
    assert plan_rounds(settled(TrainingConfig(**given), rounds), train, val).validated == validated


def test_a_run_of_an_earlier_version_has_passes_as_before():
    before = dataclasses.replace(TrainingConfig(), epochs=30, batch_size=64, validate_every=0, choose_from=0)
    rounds = plan_rounds(before, 130, 4)
    assert (rounds.batch_size, rounds.length, rounds.steps, rounds.most_steps) == (64, None, 90, 90)
    assert (rounds.pass_steps, rounds.choosing) == (3, True)


def test_weights_are_chosen_by_the_rows_that_a_validation_reads():
    assert plan_rounds(TrainingConfig(validate_rows=20), 300, 40).choosing
    assert not plan_rounds(TrainingConfig(validate_rows=19), 300, 40).choosing


@pytest.mark.parametrize("given", [{}, {"epochs": 3}, {"steps": 70, "batch_size": 3}, {"validate_every": 0}])
def test_what_was_chosen_is_settled_for_a_resumed_run(given):
    asked = TrainingConfig(**given)
    rounds = plan_rounds(asked, 300, 40)
    kept = settled(asked, rounds)
    assert None not in (kept.batch_size, kept.validate_every)
    assert dataclasses.replace(plan_rounds(kept, 300, 40), most_steps=0) == dataclasses.replace(rounds, most_steps=0)


@pytest.mark.parametrize(("val", "choosing"), [(19, False), (20, True)])
def test_few_validation_rows_choose_nothing(val, choosing):
    assert plan_rounds(TrainingConfig(), 100, val).choosing == choosing
