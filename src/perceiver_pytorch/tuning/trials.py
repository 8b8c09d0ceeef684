"""Trials: runs that are scored by their validation rows, and given up where others were better by then."""

import math
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import lightning.pytorch as pl

from perceiver_pytorch.training.run.divergence import DivergedError
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.job import INTERRUPTED, Trained, run_job
from perceiver_pytorch.training.run.loaders import Loaders
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.quiet_task import KeptRows, QuietTask
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.tuning.space import configured
from perceiver_pytorch.tuning.study import Plan, StudyFolder, best_of, finished, optuna

PARTS = 10
"""A trial reports its score after so many parts of its steps, so that trials of different lengths can be compared."""
_FAILURES = 3
"""Trials that fail one after another before the search ends."""
SILENT = Reporter(say=lambda text: None, warn=lambda text: None)


class TrialTask(QuietTask):
    """A table's task up to the trained weights: its result is the score of the validation rows.

    Args:
        config, kept, deadline: as of `QuietTask`.
        pruning: told of every validation.
    """

    def __init__(self, config: FitConfig, kept: KeptRows, *, deadline: Deadline | None, pruning: "Pruning") -> None:
        super().__init__(config, kept, deadline=deadline)
        self.pruning = pruning

    def loaders(self) -> Loaders:
        loaders = super().loaders()
        return replace(loaders, callbacks=[*loaders.callbacks, self.pruning])

    def complete(self, trained: Trained, reporter: Reporter) -> None:
        """Nothing: the best trial is completed when all are done."""

    def measure(self, trained: Trained, reporter: Reporter) -> dict[str, Any]:
        """The validation score of the weights that are kept; test rows are left for the best trial."""
        scores = [row[trained.module.monitor] for row in trained.history]
        scores = [score for score in scores if math.isfinite(score)]
        if not scores:
            raise ValueError("training ended before any validation: give trials more time (--trial-time)")
        return {"score": scores[-1] if trained.best_epoch is None else max(scores), "measure": trained.module.monitor}


class Pruning(pl.Callback):
    """Reports scores to Optuna, and ends a trial that is worse than the others were by then.

    Args:
        trial: of Optuna.
        pruned: what to raise.
    """

    def __init__(self, trial: Any, pruned: type[Exception]) -> None:
        self.trial, self.pruned, self.parts = trial, pruned, 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        score = float(trainer.callback_metrics.get(pl_module.monitor, math.nan))
        done = int(PARTS * trainer.global_step / max(1, pl_module.last_step))
        if not math.isfinite(score) or done <= self.parts:
            return
        for part in range(self.parts + 1, min(done, PARTS) + 1):
            self.trial.report(score, part)
        self.parts = done
        if done < PARTS and self.trial.should_prune():
            raise self.pruned


@dataclass
class Search:
    """Trials of one process, until there are enough of them.

    Args:
        folder: of the search.
        plan: what is tried.
        study: of Optuna.
        deadline: no trial goes on beyond it.
        told: called with every trial that has ended.
    """

    folder: StudyFolder
    plan: Plan
    study: Any
    deadline: Deadline | None = None
    told: Callable[[Any], None] = lambda trial: None
    kept: KeptRows = field(default_factory=KeptRows)

    def run(self) -> None:
        """Runs trials, those of other processes counted, until there are as many as planned, or no time is left.

        Raises:
            Exception: that of a trial which fails before any has come to a result: the next would fail as well.
            ValueError: if one trial after another fails; the message has the reason of the last.
            KeyboardInterrupt: for Ctrl-C; the trial is given up, finished ones are kept.
        """
        failures = 0
        while len(finished(self.study)) < self.plan.trials and (self.deadline is None or self.deadline.left() > 0):
            error = self._next()
            failures = 0 if error is None else failures + 1
            if error is not None and not finished(self.study):
                raise error
            if failures == _FAILURES:
                raise ValueError(f"{_FAILURES} trials failed one after another; the last: {_told(error)}") from error

    def _next(self) -> Exception | None:
        """One trial; what it failed by, if it did."""
        library, errors = optuna(), []

        def objective(trial: Any) -> float:
            try:
                return self._score(trial)
            except library.TrialPruned:
                raise
            except Exception as error:
                errors.append(error)
                trial.set_user_attr("error", _told(error)[:2000])
                raise

        self.study.optimize(
            objective, n_trials=1, catch=(Exception,), callbacks=[lambda study, trial: self._ended(trial)]
        )
        return errors[0] if errors else None

    def _score(self, trial: Any) -> float:
        path = self.folder.trial(trial.number)
        shutil.rmtree(path, ignore_errors=True)
        values = {} if trial.number == 0 else {one.path: one.suggested(trial) for one in self.plan.space}
        trial.set_user_attr("machine", socket.gethostname())
        config = configured(self.plan.config, values)
        run = TableRun.create(path)
        deadline, began = self._trial_deadline(), time.monotonic()
        pruning = Pruning(trial, optuna().TrialPruned)
        try:
            task = TrialTask(config, self.kept, deadline=deadline, pruning=pruning)
            outcome = run_job(task, run, deadline=deadline, reporter=SILENT)
        except DivergedError as error:
            trial.set_user_attr("error", str(error)[:2000])
            raise optuna().TrialPruned from error
        if outcome.stopped == INTERRUPTED:
            raise KeyboardInterrupt
        trial.set_user_attr("measure", outcome.metrics["measure"])
        trial.set_user_attr("seconds", round(time.monotonic() - began, 1))
        return float(outcome.metrics["score"])

    def _trial_deadline(self) -> Deadline | None:
        seconds = self.plan.trial_seconds
        if self.deadline is None:
            return None if seconds is None else Deadline(seconds)
        left = self.deadline.left()
        return Deadline(left if seconds is None else min(seconds, left))

    def _ended(self, trial: Any) -> None:
        """Only the folder of the best trial is kept, besides those that run."""
        best = best_of(self.study.trials)
        for other in self.study.trials:
            if other.state.is_finished() and (best is None or other.number != best.number):
                shutil.rmtree(self.folder.trial(other.number), ignore_errors=True)
        self.told(trial)


def _told(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}"
