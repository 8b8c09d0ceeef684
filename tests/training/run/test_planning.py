import pytest

from perceiver_pytorch.training.run.planning import (
    FOR_RESULT,
    SHARE,
    Costs,
    Plan,
    affordable_steps,
    closing_seconds,
)


def test_steps_and_validations_fit_into_the_time():
    steps = affordable_steps(1000.0, step=0.5, validation=10.0, steps_per_round=50)
    assert steps * 0.5 + steps / 50 * 10 + 10 <= SHARE * 1000
    assert (steps + 2) * 0.5 + (steps + 2) / 50 * 10 + 10 > SHARE * 1000
    assert affordable_steps(-5.0, step=0.5, validation=10.0, steps_per_round=50) == 1


def test_a_plan_in_words():
    plan = Plan(3, 1200, 5000, 60.0, 0.01, 0.5, 4.2)
    assert str(plan) == "the time limit of 60 s leaves time for 1,200 of 5,000 steps, and 4 s for the result"
    assert "time for 1,200 steps, and" in str(Plan(3, 1200, 1200, 60.0, 0.01, 0.5, 4.2))
    assert Plan(3, 1199, 1200, 60.0, 0.01, 0.5, 4.2).shorter
    assert not Plan(3, 1200, 1200, 60.0, 0.01, 0.5, 4.2).shorter


def test_steps_are_counted_exactly():
    assert affordable_steps(100.0, step=1.0, validation=0.0, steps_per_round=10) == 95
    assert affordable_steps(100.0, step=1.0, validation=20.0, steps_per_round=10) == 25  # (95 - 20) / 3


def test_a_plan_leaves_time_for_what_comes_after_training():
    costs = Costs(step=0.1, validation=1.0, closing=10.0)
    plan = costs.planned(111.0, limit=120.0, whole=5000, most=20_000, steps_per_round=50)
    assert plan.steps == affordable_steps(101.0, 0.1, 1.0, 50)
    assert (plan.limit, plan.whole, plan.shorter) == (120.0, 5000, True)
    assert costs.planned(1e6, limit=1e6, whole=50, most=None, steps_per_round=50).steps == 50
    assert costs.planned(1e6, limit=1e6, whole=50, most=200, steps_per_round=50).steps == 200


def test_what_training_takes_are_its_steps_its_validations_and_its_end():
    assert Costs(0.1, 1.0, 10.0).seconds(steps=120, steps_per_round=50) == pytest.approx(12 + 3 + 10)


def test_measuring_takes_a_share_of_the_time_left_where_it_can_do_with_less():
    assert closing_seconds(4.0, (100, 10), 0.5) == 54.0
    assert closing_seconds(4.0, (100, 10), 0.5, left=100.0) == 4.0 + FOR_RESULT * 100
    assert closing_seconds(4.0, (100, 10), 0.5, left=1.0) == 4.0 + 5.0
