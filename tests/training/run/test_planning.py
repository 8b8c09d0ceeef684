from perceiver_pytorch.training.run.planning import SHARE, Plan, affordable_steps


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
