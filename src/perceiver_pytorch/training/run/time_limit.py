"""A time limit on the whole of a job: training ends in time for the result, and the learning rate with it."""

from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from perceiver_pytorch.training.run.callbacks import Stopper, half_of
from perceiver_pytorch.training.run.checkpoints import Checkpoints
from perceiver_pytorch.training.run.durations import Deadline, now
from perceiver_pytorch.training.run.loaders import Loaders
from perceiver_pytorch.training.run.planning import FASTER, SLOWER, Costs, Plan, closing_seconds
from perceiver_pytorch.training.run.ranks import any_rank, from_first, is_first
from perceiver_pytorch.training.run.reporter import Reporter

_WATCHED = 0.05  # share of the time whose steps are measured before the plan is made
_FEWEST, _ENOUGH = 3, 50  # steps to know their speed by; the first may take long
_REVISED = 0.15  # share of the limit whose steps are measured before a plan is made anew
_SETTLED = 0.9  # share of the fall of the learning rate after which a plan stays


class TimeLimit(pl.Callback):
    """Plans the steps of a new run once their speed is known, and anew where that changes; ends training at the last,
    and stops it in any case when the time is up. A run that goes on keeps its plan, or its having none. Of several
    ranks the first one measures, and all of them follow its plan.

    Args:
        deadline: the end of the job; None: a planned run is resumed without a limit.
        loaders: what the job trains and validates on.
        checkpoints: keep the plan.
        stopper: is asked to stop.
        reporter: how to tell the plan.
        patience: rounds without a better score after which training stops; None: half of those there are.
    """

    def __init__(
        self,
        deadline: Deadline | None,
        loaders: Loaders,
        checkpoints: Checkpoints,
        stopper: Stopper,
        reporter: Reporter,
        patience: int | None = None,
    ) -> None:
        self.patience = patience
        self.deadline = deadline
        self.loaders = loaders
        self.closing = loaders.closing
        self.checkpoints = checkpoints
        self.stopper = stopper
        self.reporter = reporter
        self.validation = 0.0
        self._begun = 0
        self._watched: tuple[float, int] | None = None
        self._validating = 0.0
        self._recent = (0.0, 0)
        self._since: tuple[float, int] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._begun = trainer.global_step
        self._follow(trainer, pl_module)
        if self.deadline is not None:
            batch = seconds_of_a_batch(trainer, pl_module, self.loaders.val)
            self.validation = batch * len(self.loaders.val)
            self.closing = closing_seconds(self.loaders.closing, self.loaders.measured, batch, self.deadline.left())

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        done = trainer.global_step - self._begun
        if self.deadline is None or not done:  # at least one step is made, so that repeated limits come to an end
            return
        since, first = self._watched = self._watched or (now(), trainer.global_step)
        steps = trainer.global_step - first
        step = (now() - since) / max(1, steps)
        is_new = not self._begun and pl_module.plan is None
        watched = now() - since >= _WATCHED * (self.deadline.left() - self.closing) or steps >= _ENOUGH
        if is_new and steps >= _FEWEST - 1 and any_rank(watched and is_first()):
            self._plan(trainer, pl_module, step)
        if is_first() and self.deadline.left() < self.closing + self.validation + step:
            self.stopper.request(f"the time limit of {self.deadline.limit:g} s is reached")

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        last = self.loaders.steps if pl_module.plan is None else pl_module.plan.steps
        if trainer.global_step >= last:
            trainer.should_stop = True  # Lightning then validates, and the round ends here

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validating = now()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validation = now() - self._validating
        if self._watched is not None:  # steps alone are watched
            self._watched = (self._watched[0] + self.validation, self._watched[1])
        if self._since is not None:
            seconds, steps = self._recent
            since, first = self._since
            self._recent = (seconds + self._validating - since, steps + trainer.global_step - first)
            self._since = (now(), trainer.global_step)
            found = from_first(lambda: self._revised(trainer, pl_module))
            if found is not None:
                self._adopt(trainer, pl_module, found)

    def _plan(self, trainer: pl.Trainer, module: Any, step: float) -> None:
        """Makes the plan, of steps that take so many seconds, and saves it."""
        self._adopt(trainer, module, from_first(lambda: self._planned(trainer, step)))
        self.checkpoints.save(trainer)
        self._since = (now(), trainer.global_step)

    def _revised(self, trainer: pl.Trainer, module: Any) -> Plan | None:
        """A new plan, once enough steps have been watched and there is time for clearly more or fewer of them; the next
        checkpoint has it."""
        assert self.deadline is not None
        plan, fallen, (seconds, steps) = module.plan, module.fallen, self._recent
        if seconds < _REVISED * self.deadline.limit or not steps:
            return None
        self._recent = (0.0, 0)
        left = plan.steps - trainer.global_step
        if fallen is None or fallen > _SETTLED or left < 1:
            return None
        found = replace(self._planned(trainer, seconds / steps), fallen=fallen)
        return None if SLOWER <= (found.steps - trainer.global_step) / left <= FASTER else found

    def _planned(self, trainer: pl.Trainer, step: float) -> Plan:
        """The plan from here on, if a step takes so many seconds."""
        assert self.deadline is not None
        costs = Costs(step, self.validation, self.closing)
        return costs.planned(
            self.deadline.left(),
            limit=self.deadline.limit,
            begun=trainer.global_step,
            whole=self.loaders.steps,
            most=self.loaders.most_steps,
            steps_per_round=int(trainer.num_training_batches),
        )

    def _adopt(self, trainer: pl.Trainer, module: Any, plan: Plan) -> None:
        self.checkpoints.progress = replace(self.checkpoints.progress, plan=plan)
        self._follow(trainer, module)
        self.reporter.say(str(plan))

    def _follow(self, trainer: pl.Trainer, module: Any) -> None:
        """Lets schedule and progress end with the plan."""
        module.plan = plan = self.checkpoints.progress.plan
        if plan is not None:
            trainer.fit_loop.max_epochs = rounds = -(-plan.steps // int(trainer.num_training_batches))
            if self.patience is None and (early := trainer.early_stopping_callback) is not None:
                early.patience = half_of(rounds)


def seconds_of_a_batch(trainer: pl.Trainer, module: Any, val: DataLoader[Any]) -> float:
    """Of a validation batch: read, and put through the model for the second time; the first may compile something.

    Where training casts, this does not: neither does what measures the model.
    """
    began = now()
    batch = next(iter(val))
    taken = now() - began
    batch = trainer.strategy.batch_to_device(batch)
    in_training = [part for part in module.modules() if part.training]
    module.eval()
    casts = trainer.precision.endswith("-mixed")
    context = nullcontext() if casts else trainer.precision_plugin.forward_context()
    with torch.no_grad(), context, suppress(NotImplementedError):
        for _ in range(2):
            began = now()
            module.rehearse(batch)
            if module.device.type == "cuda":
                torch.cuda.synchronize()
        taken += now() - began
    for part in in_training:  # frozen ones may not be
        part.training = True
    return taken
