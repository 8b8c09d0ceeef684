"""The training loop, whatever is trained: it stops between two steps without loss, and resumes exactly."""

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.trainer.states import TrainerFn
from torch.optim import Optimizer
from torchmetrics import MeanMetric, Metric

from perceiver_pytorch.training.run.allocation import keep_freed_memory
from perceiver_pytorch.training.run.averaging import AveragedWeights
from perceiver_pytorch.training.run.callbacks import (
    History,
    Stopper,
    TrainingStopped,
    build_callbacks,
    half_of,
    quiet_lightning,
)
from perceiver_pytorch.training.run.checkpoints import Checkpoints, Progress, WholeCheckpoints, of_this_run, recover
from perceiver_pytorch.training.run.divergence import DivergedError, Divergence, diverged, gradients_finite
from perceiver_pytorch.training.run.durations import Deadline, Every
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.run.interrupts import ask_once, handling
from perceiver_pytorch.training.run.loaders import Loaders
from perceiver_pytorch.training.run.loggers import build_loggers
from perceiver_pytorch.training.run.optimizers import build_schedule, fallen
from perceiver_pytorch.training.run.planning import Plan
from perceiver_pytorch.training.run.precision import FULL, precision_of
from perceiver_pytorch.training.run.ranks import from_first, is_first, rank, world
from perceiver_pytorch.training.run.ranks_trainer import trainer_options
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.run.settings import AUTO, TrainingSettings
from perceiver_pytorch.training.run.sharding import Sharded, gathered
from perceiver_pytorch.training.run.time_limit import TimeLimit

INTERRUPTED = "interrupted"
_LOGGED = 10
"""Steps of which one is logged."""
_APART = 7_919_000_003
"""Between the seeds of two ranks whose random numbers are their own."""


class Resumable(pl.LightningModule):
    """A module whose run can be stopped after any step, and resumed as if it had not been.

    Its train loader has a batch sampler with ``set_epoch``, the number of the round, and ``skip``: batches to leave out
    at the start of the next round that is read. ``forward(batch)`` runs the model once, to find out where a run
    diverged; it may be missing.

    Args:
        seed: fixes the random numbers of every step.

    Attributes:
        model: what is trained of it, and saved.
        config: how.
        monitor: name of the logged value that chooses the best round.
        mode: ``"max"`` or ``"min"``: whether it should be large or small.
        ties_by_loss: of equal rounds the one of the smaller validation loss is the best; else the first.
        gains_by_bfloat16: whether it trains faster in bfloat16 than in float32, on this processor.
        precision: that it trains in, as Lightning calls it; `run_loop` decides.
        num_steps: how many are made, at most, unless there is a plan.
        plan: how many steps its time limit leaves, once that is known.
    """

    model: Any
    config: Any
    mode = "max"
    ties_by_loss = True
    gains_by_bfloat16 = False
    precision = FULL
    num_steps: int
    plan: Plan | None = None

    @property
    def monitor(self) -> str:
        raise NotImplementedError

    @property
    def last_step(self) -> int:
        """The step that training ends with, as far as that is known."""
        return self.num_steps if self.plan is None else self.plan.steps

    @property
    def fallen(self) -> float | None:
        """The share of the fall of the learning rate that lies behind; None while it rises."""
        return fallen(self.config, self.num_steps, self.plan, self.global_step)

    def final_model(self) -> Any:
        """The model as it is saved, once training is over."""
        return self.model

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.train_loss = MeanMetric()
        self.train_loss.persistent(True)  # a run that is stopped within a round goes on with that round's mean
        self._batch: Any = None
        self._step_loss = torch.zeros(())
        self._sharded: Sharded | None = None

    def configure_model(self) -> None:
        """Spreads the weights over ranks, where the strategy has a mesh for that; Lightning calls it."""
        if self.device_mesh is not None and self._sharded is None:
            self._sharded = Sharded(self.model, self.device_mesh["data_parallel"])

    def bring_together(self) -> None:
        """Gives the first rank an ordinary model with all weights, where ranks share them. All of them call it."""
        if self._sharded is not None:
            self.model = self._sharded.whole()
            self._sharded = self._device_mesh = None

    def scheduled(self, optimizer: Optimizer) -> dict[str, Any]:
        """The optimiser with the schedule of its learning rate, as Lightning takes them."""
        schedule = build_schedule(optimizer, self.config, self.num_steps, lambda: self.plan)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def rehearse(self, batch: Any) -> Any:
        """What a validation does with a batch, for its time."""
        return self(batch)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Dropout of a step depends on the step alone, so that a resumed run repeats it.
        seed = self.seed * 1_000_003 + self.global_step
        if self.device.type == "cpu":
            torch.default_generator.manual_seed(seed)
        else:  # this takes milliseconds where an accelerator is not in use: it is remembered for then, with a traceback
            torch.manual_seed(seed + _APART * rank())
        self._batch = batch

    def learned(self, loss: torch.Tensor, rows: int = 1) -> None:
        """Takes note of a step's loss, the mean over so many rows; not every one is logged, for that takes time."""
        self.train_loss.update(loss.detach(), rows)
        if (self.global_step + 1) % _LOGGED == 0:
            self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=False)

    def on_validation_epoch_start(self) -> None:
        if self.trainer.state.fn == TrainerFn.FITTING and self.train_loss.update_called:
            self.log("train_loss_epoch", self.train_loss.compute())

    def on_before_backward(self, loss: torch.Tensor) -> None:
        self._step_loss = loss.detach()

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clips the gradient, and looks at its norm, which is there anyway.

        Raises:
            DivergedError: the loss or the gradient is not finite; no weight has changed since the last step.
        """
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if gradient_clip_val:
            norm = torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val)
        else:
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        norm = gathered(norm)
        batch, self._batch = self._batch, None
        if not math.isfinite(loss := float(self._step_loss)):
            raise diverged(self, f"the loss is {loss}", self.global_step + 1, batch)
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        # In 16-mixed a scaled gradient that overflows is usual: its step is left out, and the scale becomes smaller.
        if (scaler is None or scaler.get_scale() < 1) and not gradients_finite(norm, parameters):
            raise diverged(self, "the gradient is not finite", self.global_step + 1, batch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["order_epoch"] = int(self.trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        done = int(self.trainer.fit_loop.epoch_loop.batch_progress.current.completed)
        checkpoint["batch_in_epoch"] = done % max(1, int(self.trainer.num_training_batches))

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Lets the sampler go on where the saved round stopped."""
        sampler = self._sampler()
        if sampler is not None:  # workers start to read before the round does
            sampler.set_epoch(int(checkpoint["order_epoch"]))
            sampler.skip = int(checkpoint["batch_in_epoch"])

    def on_train_epoch_start(self) -> None:
        for metric in self.modules():
            if isinstance(metric, Metric):  # a checkpoint of a round's end holds that round's sums
                metric.reset()
        sampler = self._sampler()
        if sampler is not None:  # Lightning does so for samplers of rows only, not of batches
            sampler.set_epoch(self.trainer.current_epoch)

    def _sampler(self) -> Any:
        loader = self.trainer.train_dataloader or self.trainer.fit_loop._data_source.instance
        samplers = (getattr(loader, "batch_sampler", None), getattr(loader, "sampler", None))
        return next((sampler for sampler in samplers if hasattr(sampler, "skip")), None)


@dataclass(frozen=True)
class Ended:
    """How training ended.

    Attributes:
        stopped: why before its end, or None.
        progress: how far it had come.
        diverged: where, if that was why.
    """

    stopped: str | None
    progress: Progress
    diverged: Divergence | None = None


def run_loop(
    module: Resumable,
    loaders: Loaders,
    run: RunFolder,
    settings: TrainingSettings,
    *,
    resume: bool,
    deadline: Deadline | None,
    reporter: Reporter,
) -> Ended:
    """Trains, with a history and checkpoints (last, and best by the module's ``monitor``) in the run folder; leaves the
    averaged weights in the module.

    Args:
        module: what is trained.
        loaders: its batches.
        run: the run folder.
        settings: how it is trained.
        resume: go on from the last checkpoint, if there is one.
        deadline: the end of the job, result and all; None: there is time enough.
        reporter: how to tell what happens.

    Raises:
        DivergedError: training diverged, now or before it is resumed; the run folder says so.
    """
    quiet_lightning()
    module.precision = precision_of(settings, gains=module.gains_by_bfloat16)
    progress = from_first(lambda: recover(run.last, run.best)) if resume else None
    if resume and (divergence := from_first(run.divergence)) is not None:
        raise DivergedError(divergence)
    if progress is not None and progress.ranks != world():
        reporter.say(
            f"saved by {_ranks(progress.ranks)}, going on with {_ranks(world())}: every step has the rows that it "
            "would have had; sums are rounded otherwise, and random numbers may be others, so "
            "the weights will differ a little"
        )
    if progress is not None and progress.complete:
        reporter.say("training is complete; the model is measured again")
        return Ended(None, progress)
    if is_first():
        run.checkpoints.mkdir(exist_ok=True)
    if settings.precision == AUTO and module.precision != FULL:
        reporter.say(f"precision: {module.precision}, which this processor multiplies faster than float32")
    module.num_steps = loaders.steps
    stopper, checkpoints = Stopper(run.last), _checkpoints(module, run, settings, loaders)
    limit = TimeLimit(deadline, loaders, checkpoints, stopper, reporter, settings.patience)
    plain = None if reporter.bar else reporter.say
    history = History(run.history_file, plain, measure=module.monitor, pass_steps=loaders.pass_steps)
    patience = half_of(loaders.rounds) if settings.patience is None else settings.patience
    callbacks = [limit, *build_callbacks(checkpoints, history, stopper, patience, bar=reporter.bar), *loaders.callbacks]
    averaging = [AveragedWeights(settings.average)] if settings.average else []
    step = progress.step if progress is not None else 0
    loggers = build_loggers(settings.logger, run, resume=resume, step=step) if is_first() else []
    trainer = _trainer(loaders, settings, module.precision, [*callbacks, *averaging], loggers, bar=reporter.bar)
    keep_freed_memory()
    last = None if progress is None else run.last
    try:
        with _told_once(), handling(ask_once(lambda: stopper.request(INTERRUPTED))) as install:
            stopper.install_handlers = install
            trainer.fit(module, loaders.train, loaders.val, ckpt_path=last, weights_only=True)
    except TrainingStopped as stop:
        for averaged in averaging:
            averaged.swap()
        module.bring_together()
        return Ended(str(stop), replace(checkpoints.progress, step=trainer.global_step))
    except DivergedError as error:
        module.bring_together()
        if is_first():
            run.write_divergence(error.divergence)
        raise
    except SystemExit as exit_:  # what Lightning makes of a KeyboardInterrupt
        raise KeyboardInterrupt from exit_
    except Exception:
        if last is None or stopper.begun:
            raise
        with of_this_run(last):
            raise
    finally:
        loaders.end()
    module.bring_together()
    return Ended(None, replace(checkpoints.progress, step=trainer.global_step))


def _ranks(count: int) -> str:
    return f"{count} rank{'s' * (count != 1)}"


def validate(module: Resumable, loaders: Loaders, settings: TrainingSettings) -> tuple[float, float]:
    """The score that chooses the best round, and the loss, of the module as it is; in the precision that it was trained
    in."""
    trainer = pl.Trainer(
        **trainer_options(settings, module.precision),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    try:
        (found,) = trainer.validate(module, loaders.val, verbose=False)
    except SystemExit as exit_:
        raise KeyboardInterrupt from exit_
    finally:
        loaders.end()
    return found.get(module.monitor, math.nan), found.get("val_loss", math.nan)


@contextmanager
def _told_once() -> Iterator[None]:
    """TensorBoard's thread hands on its errors of writing; their tracebacks are not printed besides."""
    before = threading.excepthook
    threading.excepthook = lambda told: None if isinstance(told.exc_value, OSError) else before(told)
    try:
        yield
    finally:
        threading.excepthook = before


def _checkpoints(module: Resumable, run: RunFolder, settings: TrainingSettings, loaders: Loaders) -> Checkpoints:
    return Checkpoints(
        run.last,
        run.best,
        Every.of(settings.checkpoint_every),
        module.monitor,
        mode=module.mode,
        ties_by_loss=module.ties_by_loss,
        choosing=loaders.choosing,
        check_held=run.check_held if is_first() else lambda: None,
    )


def _trainer(
    loaders: Loaders,
    settings: TrainingSettings,
    precision: str,
    callbacks: list[pl.Callback],
    loggers: list[Logger],
    *,
    bar: bool,
) -> pl.Trainer:
    return pl.Trainer(
        **trainer_options(settings, precision, [WholeCheckpoints()]),
        max_epochs=loaders.rounds,
        gradient_clip_val=settings.gradient_clip,
        callbacks=callbacks,
        logger=loggers,
        log_every_n_steps=_LOGGED,
        num_sanity_val_steps=0,
        enable_progress_bar=bar,
        enable_model_summary=False,
    )
