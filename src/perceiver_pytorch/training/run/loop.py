"""The training loop, whatever is trained: stops between two steps without loss, and goes on exactly."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader
from torchmetrics import Metric

from perceiver_pytorch.training.run.callbacks import History, Stopper, TrainingStopped, build_callbacks, quiet_lightning
from perceiver_pytorch.training.run.checkpoints import Checkpoints, Progress, WholeCheckpoints, settle
from perceiver_pytorch.training.run.durations import Every
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.run.interrupts import first_asks, handling
from perceiver_pytorch.training.run.reporter import Reporter

INTERRUPTED = "interrupted"


class Resumable(pl.LightningModule):
    """A module whose run can be stopped after any step and go on as if it had not been.

    Its train loader has a batch sampler with ``set_epoch`` and ``skip``: batches to leave out at the start of the next
    epoch that is read.

    Args:
        seed: fixes the random numbers of every step.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Dropout of a step depends on the step alone, so that a resumed run repeats it.
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["order_epoch"] = int(self.trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        done = int(self.trainer.fit_loop.epoch_loop.batch_progress.current.completed)
        checkpoint["batch_in_epoch"] = done % max(1, int(self.trainer.num_training_batches))

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Lets the sampler go on where the saved epoch stopped."""
        sampler = self._sampler()
        if sampler is not None:  # workers start to read before the epoch does
            sampler.set_epoch(int(checkpoint["order_epoch"]))
            sampler.skip = int(checkpoint["batch_in_epoch"])

    def on_train_epoch_start(self) -> None:
        for metric in self.modules():
            if isinstance(metric, Metric):  # a checkpoint of an epoch's end holds that epoch's sums
                metric.reset()
        sampler = self._sampler()
        if sampler is not None:  # Lightning does so for samplers of rows only, not of batches
            sampler.set_epoch(self.trainer.current_epoch)

    def _sampler(self) -> Any:
        loader = self.trainer.train_dataloader or self.trainer.fit_loop._data_source.instance
        samplers = (getattr(loader, "batch_sampler", None), getattr(loader, "sampler", None))
        return next((sampler for sampler in samplers if hasattr(sampler, "skip")), None)


def run_loop(
    module: Resumable,
    train_loader: DataLoader[Any],
    val_loader: DataLoader[Any],
    run: RunFolder,
    *,
    epochs: int,
    precision: str,
    gradient_clip: float,
    patience: int,
    monitor: str,
    mode: str,
    resume: bool,
    time_limit: float | None,
    reporter: Reporter,
    checkpoint_every: str = "5m",
    callbacks: Sequence[pl.Callback] = (),
) -> str | None:
    """Trains, with a history and checkpoints (last, and best by ``monitor``) in the run folder.

    Args:
        module: what is trained.
        train_loader, val_loader: its batches.
        run: the run folder.
        epochs: passes over ``train_loader``, at most.
        precision: Lightning's.
        gradient_clip: largest norm of the gradient.
        patience: epochs without a better ``monitor`` before training stops.
        monitor: name of the logged value that chooses the best epoch, also in the history.
        mode: ``"max"`` or ``"min"``: whether it should be large or small.
        resume: go on from the last checkpoint, if there is one.
        time_limit: seconds of training, or None.
        reporter: how to tell what happens.
        checkpoint_every: how often to save within an epoch, see `Every`.
        callbacks: more of them, whose state is saved as well.

    Returns:
        Why training stopped before its end, or None.
    """
    quiet_lightning()
    every = Every.of(checkpoint_every)
    progress = settle(run.last, run.best) if resume else None
    if progress is not None and progress.complete:
        reporter.say("training is complete; the model is measured again")
        return None
    stopper = Stopper(run.last, time_limit)
    history = History(run.history_file, None if reporter.bar else reporter.say, measure=monitor)
    checkpoints = Checkpoints(run.last, run.best, every, monitor, mode)
    trainer = pl.Trainer(
        accelerator="auto",
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=epochs,
        gradient_clip_val=gradient_clip,
        callbacks=[*build_callbacks(checkpoints, history, stopper, patience, bar=reporter.bar), *callbacks],
        plugins=[WholeCheckpoints()],
        logger=_logger(run, resume, progress),
        log_every_n_steps=max(1, min(50, len(train_loader))),
        num_sanity_val_steps=0,
        enable_progress_bar=reporter.bar,
        enable_model_summary=False,
    )
    try:
        with handling(first_asks(lambda: stopper.request(INTERRUPTED))) as install:
            stopper.install_handlers = install
            trainer.fit(
                module, train_loader, val_loader, ckpt_path=None if progress is None else run.last, weights_only=True
            )
    except TrainingStopped as stop:
        return str(stop)
    except SystemExit as exit_:  # what Lightning makes of a KeyboardInterrupt
        raise KeyboardInterrupt from exit_
    return None


def _logger(run: RunFolder, resume: bool, progress: Progress | None) -> TensorBoardLogger:
    """TensorBoard hides what a killed run had logged after the step from which it goes on."""
    logger = TensorBoardLogger(run.path, name="tensorboard", version="")
    if resume:
        logger._kwargs["purge_step"] = progress.step if progress is not None else 0
    return logger
