"""The decisions of a time limit, one by one; `test_job.py` has whole jobs with one."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from perceiver_pytorch.training.run import time_limit
from perceiver_pytorch.training.run.callbacks import Stopper
from perceiver_pytorch.training.run.checkpoints import Progress
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.loaders import Loaders
from perceiver_pytorch.training.run.planning import Plan
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.run.time_limit import TimeLimit

PLAN = Plan(3, 9, 18, 10.0, 1.0, 0.0, 0.0)


class Clock:
    def __init__(self, monkeypatch):
        self.time = 0.0
        for module in ("durations", "time_limit"):
            monkeypatch.setattr(f"perceiver_pytorch.training.run.{module}.now", lambda: self.time)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


class Limited:
    """A limit with as much of a run as it asks for: epochs of 6 steps, 200 in all."""

    def __init__(self, limit, *, step=0, plan=None, **loaders):
        self.said, self.saved = [], []
        deadline = None if limit is None else Deadline(limit)
        kept = SimpleNamespace(progress=Progress(plan=plan), save=lambda trainer: self.saved.append(trainer))
        loaders = Loaders(train=[], val=[0] * 3, **{"steps": 200} | loaders)
        self.stopper = Stopper(Path("last.ckpt"))
        self.limit = TimeLimit(deadline, loaders, kept, self.stopper, Reporter(self.said.append, self.said.append))
        self.module = SimpleNamespace(plan=plan, fallen=0.25)
        self.trainer = SimpleNamespace(
            global_step=step,
            num_training_batches=6,
            should_stop=False,
            fit_loop=SimpleNamespace(max_epochs=34),
            early_stopping_callback=SimpleNamespace(patience=17),
        )
        self.limit._begun = step

    def before(self, step):
        self.trainer.global_step = step
        self.limit.on_train_batch_start(self.trainer, self.module, None, 0)
        return self.limit.checkpoints.progress.plan


def planned(clock, limited, seconds=1.0, last=20):
    """The first step, of so many seconds, before which there is a plan, and the plan."""
    for step in range(last):
        if (plan := limited.before(step)) is not None:
            return step, plan
        clock.time += seconds
    return None


@pytest.mark.parametrize(
    ("measured", "closing"),
    [((2, 1), 2.0), ((40, 2), 2.5), ((40, 20), 11.0)],  # all of it, 0.15 of the 10 seconds left, the least
)
def test_time_is_kept_for_the_result(clock, monkeypatch, measured, closing):
    monkeypatch.setattr(time_limit, "seconds_of_a_batch", lambda *_: 0.5)
    limited = Limited(10.0, step=4, measured=measured, closing=1.0)
    limited.limit._begun = 0
    limited.limit.on_train_start(limited.trainer, limited.module)
    assert limited.limit.closing == closing
    assert limited.limit.validation == 1.5
    assert limited.limit._begun == 4
    without = Limited(None, plan=PLAN, closing=1.0)
    without.limit.on_train_start(without.trainer, without.module)
    assert (without.limit.closing, without.limit.validation) == (1.0, 0.0)
    assert without.module.plan is PLAN
    assert without.trainer.fit_loop.max_epochs == 2  # nine steps of six


@pytest.mark.parametrize(("limit", "begun", "steps"), [(100.0, 6, 95), (20.0, 3, 19)])
def test_the_plan_is_made_of_a_share_of_the_time_and_three_steps_at_least(clock, limit, begun, steps):
    """Of 100 seconds, 0.05 are watched from the first step on; 0.95 of the 94 that are left are 89 steps."""
    limited = Limited(limit)
    step, plan = planned(clock, limited)
    assert step == begun
    assert plan == Plan(begun, steps, 200, limit, 1.0, 0.0, 0.0)
    assert limited.saved == [limited.trainer]
    assert limited.module.plan is plan
    assert limited.trainer.fit_loop.max_epochs == -(-steps // 6)
    assert limited.said == [str(plan)]
    assert limited.stopper.reason is None


def test_a_plan_leaves_time_for_validations_and_the_result(clock):
    limited = Limited(100.0, closing=30.0)
    limited.limit.validation = 6.0
    step, plan = planned(clock, limited)
    # Before step 5, 4 seconds are watched, of (95 - 30) left: more than 0.05 of them.
    assert (step, plan.steps) == (5, 5 + int((0.95 * 65 - 6) / 2))
    assert (plan.closing_seconds, plan.validation_seconds) == (30.0, 6.0)
    assert Limited(1e6).before(5) is None
    long = Limited(1e4)
    assert planned(clock, long, seconds=20.0, last=200)[1].steps == 200  # all there are


@pytest.mark.parametrize(("most", "steps"), [(None, 200), (300, 300), (10_000, 1000)])
def test_a_limit_may_lead_to_more_steps_and_patience_follows(clock, most, steps):
    """Before step 51, 50 steps are watched: enough, though it is less than 0.05 of the 1000 seconds."""
    limited = Limited(1000.0 + 50, most_steps=most)
    begun, plan = planned(clock, limited, last=200)
    assert (begun, plan.steps, plan.whole, plan.shorter) == (51, steps, 200, False)
    assert limited.trainer.early_stopping_callback.patience == -(-limited.trainer.fit_loop.max_epochs // 2)


def test_a_run_that_goes_on_and_one_with_a_plan_get_none(clock):
    assert planned(clock, Limited(30.0, step=1)) is None
    limited = Limited(300.0)
    limited.module.plan = PLAN
    assert planned(clock, limited) is None


@pytest.mark.parametrize(("limit", "stops"), [(9.4, False), (8.9, True)])
def test_it_stops_before_a_step_that_would_end_too_late(clock, limit, stops):
    """Two seconds went by, one of them watched; the rest takes 3 + 3 seconds, and the next step 1."""
    limited = Limited(limit, step=4, closing=3.0)
    limited.limit.validation = 3.0
    limited.before(4)  # a run makes one step at least
    assert limited.limit._watched is None
    clock.time = 1.0
    limited.before(5)
    clock.time = 2.0
    limited.before(6)
    assert limited.stopper.reason == (f"the time limit of {limit:g} s is reached" if stops else None)


def test_before_its_first_step_it_never_stops(clock):
    limited = Limited(1.0, step=4)
    clock.time = 50.0
    limited.before(4)
    assert limited.stopper.reason is None
    limited.before(5)
    assert limited.stopper.reason == "the time limit of 1 s is reached"


@pytest.mark.parametrize(
    ("plan", "step", "stops"), [(PLAN, 8, False), (PLAN, 9, True), (PLAN, 10, True), (None, 9, False)]
)
def test_training_ends_with_the_last_step_of_the_plan(clock, plan, step, stops):
    limited = Limited(10.0, plan=plan)
    limited.trainer.global_step = step
    limited.limit.on_train_batch_end(limited.trainer, limited.module, None, None, 0)
    assert limited.trainer.should_stop == stops


def test_validations_are_timed_and_not_taken_for_steps(clock):
    limited = Limited(1e6)
    for watched, expected in ((None, None), ((1.0, 2), (6.0, 2))):
        limited.limit._watched = watched
        limited.limit.on_validation_start(limited.trainer, limited.module)
        clock.time += 5.0
        limited.limit.on_validation_end(limited.trainer, limited.module)
        assert limited.limit.validation == 5.0
        assert limited.limit._watched == expected


class Rehearsed(nn.Module):
    device = torch.device("cpu")

    def __init__(self, clock, takes):
        super().__init__()
        self.trained, self.frozen = nn.Linear(1, 1), nn.Linear(1, 1)
        self.frozen.eval()
        self.clock, self.takes, self.modes = clock, iter(takes), []

    def rehearse(self, batch):
        assert batch == "moved batch"
        self.modes.append((self.training, torch.is_grad_enabled()))
        if (takes := next(self.takes)) is None:
            raise NotImplementedError
        self.clock.time += takes


@pytest.mark.parametrize(("takes", "seconds"), [([10.0, 2.0], 5.0), ([None], 3.0)])
def test_a_batch_is_timed_when_it_is_read_and_run_the_second_time(clock, takes, seconds):
    def read():
        clock.time += 3.0
        yield "batch"

    trainer = SimpleNamespace(
        strategy=SimpleNamespace(batch_to_device=lambda batch: f"moved {batch}"),
        precision="32-true",
        precision_plugin=SimpleNamespace(forward_context=nullcontext),
    )
    module = Rehearsed(clock, takes)
    assert time_limit.seconds_of_a_batch(trainer, module, read()) == seconds
    assert module.modes == [(False, False)] * len(takes)
    assert [part.training for part in (module, module.trained, module.frozen)] == [True, True, False]


def round_of(clock, limited, step, seconds):
    """The steps up to ``step``, of so many seconds each, and a validation of a second."""
    clock.time += seconds * (step - limited.trainer.global_step)
    limited.trainer.global_step = step
    limited.limit.on_validation_start(limited.trainer, limited.module)
    clock.time += 1.0
    limited.limit.on_validation_end(limited.trainer, limited.module)
    return limited.module.plan


@pytest.mark.parametrize(
    ("seconds", "fallen", "steps"),
    [
        (1.0, 0.25, 95),  # as fast as it was
        (0.85, 0.25, 95),  # a little faster
        (0.5, 0.25, 176),  # 40 + (0.95 * 76 - 1) / (0.5 + 1 / 50)
        (2.0, 0.25, 51),  # 40 + (0.95 * 25 - 1) / (2 + 1 / 50)
        (2.0, None, 95),  # the rate still rises
        (2.0, 0.95, 95),  # training is nearly over
    ],
)
def test_a_plan_is_made_anew_where_steps_turn_out_faster_or_slower(clock, seconds, fallen, steps):
    limited = Limited(100.0)
    limited.trainer.num_training_batches = 50
    begun, first = planned(clock, limited)
    assert (begun, first.steps, first.fallen) == (6, 95, None)
    limited.module.fallen = fallen
    plan = round_of(clock, limited, 40, seconds)
    assert plan.steps == pytest.approx(steps, abs=1)
    if steps == 95:
        assert plan is first
    else:
        assert (plan.begun, plan.fallen, plan.step_seconds) == (40, fallen, seconds)
        assert limited.limit.checkpoints.progress.plan is plan
        assert len(limited.said) == 2


def test_a_plan_stays_until_enough_steps_were_watched_and_in_runs_that_go_on(clock):
    limited = Limited(1000.0)
    _, first = planned(clock, limited, seconds=10.0)
    assert round_of(clock, limited, limited.trainer.global_step + 4, 0.1) is first
    goes_on = Limited(100.0, step=3, plan=PLAN)
    assert round_of(clock, goes_on, 6, 50.0) is PLAN
