"""The training loop, whatever is trained: stops between two steps without loss, and goes on exactly."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from perceiver_pytorch.training.callbacks import (
    History,
    Stopper,
    TrainingStopped,
    WholeCheckpoints,
    build_callbacks,
    quiet_lightning,
)
from perceiver_pytorch.training.reporter import Reporter
from perceiver_pytorch.training.run_folder import RunFolder

INTERRUPTED = "interrupted"


class Resumable(pl.LightningModule):
    """A module whose run can be stopped after any step and go on as if it had not been.

    Its train loader has a batch sampler with ``skip``: batches to leave out at the start of the next epoch.

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
        done = int(self.trainer.fit_loop.epoch_loop.batch_progress.current.completed)
        checkpoint["batch_in_epoch"] = done % max(1, int(self.trainer.num_training_batches))

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Lets the sampler go on where the saved epoch stopped."""
        loader = self.trainer.train_dataloader or self.trainer.fit_loop._data_source.instance
        sampler = getattr(loader, "batch_sampler", None)
        if sampler is not None and hasattr(sampler, "skip"):
            sampler.skip = int(checkpoint["batch_in_epoch"])


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

    Returns:
        Why training stopped before its end, or None.
    """
    quiet_lightning()
    stopper = Stopper(run.last, time_limit)
    history = History(run.history_file, None if reporter.bar else reporter.say, measure=monitor)
    trainer = pl.Trainer(
        accelerator="auto",
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=epochs,
        gradient_clip_val=gradient_clip,
        callbacks=build_callbacks(
            run.checkpoints, history, stopper, patience, bar=reporter.bar, monitor=monitor, mode=mode
        ),
        plugins=[WholeCheckpoints()],
        logger=TensorBoardLogger(run.path, name="tensorboard", version=""),
        log_every_n_steps=max(1, min(50, len(train_loader))),
        num_sanity_val_steps=0,
        enable_progress_bar=reporter.bar,
        enable_model_summary=False,
    )
    checkpoint = run.last if resume and run.last.is_file() else None
    try:
        with _interrupts(lambda: stopper.request(INTERRUPTED)):
            trainer.fit(module, train_loader, val_loader, ckpt_path=checkpoint, weights_only=True)
    except TrainingStopped as stop:
        return str(stop)
    return None


@contextmanager
def _interrupts(request: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C asks to stop after the current step; a second one interrupts at once."""

    def handle(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        request()

    try:
        before = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not in the main thread, where signals do not arrive
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
