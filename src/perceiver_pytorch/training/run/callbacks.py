"""Around the training loop: stopping without loss, the history, and progress where there is no terminal."""

import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from perceiver_pytorch.training.run.checkpoints import Checkpoints
from perceiver_pytorch.training.run.divergence import all_finite, diverged
from perceiver_pytorch.training.run.history import read_history, round_of, write_history
from perceiver_pytorch.training.run.ranks import any_rank, is_first, of_all

_DRAWN = 5
"""Steps after which the progress bar is drawn, which takes milliseconds."""


class TrainingStopped(Exception):  # noqa: N818  (no error: training ends as asked)
    """Training was asked to stop and has saved its state."""


class Stopper(pl.Callback):
    """Saves between two steps and raises `TrainingStopped`, once `request` was called.

    Args:
        last: file of the checkpoint to resume from.
        install_handlers: called when training starts, after Lightning has put a SIGTERM handler of its own in front.

    Attributes:
        begun: whether training has started: a checkpoint, if any, was read before.
    """

    def __init__(self, last: Path, install_handlers: Callable[[], None] = lambda: None) -> None:
        self.last = last
        self.install_handlers = install_handlers
        self.reason: str | None = None
        self.begun = False

    def request(self, reason: str) -> None:
        """Stops before the next step."""
        self.reason = self.reason or reason

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begun = True
        self.install_handlers()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Here the last step is complete and the next has not begun: the state is that of a whole number of steps.
        if any_rank(self.reason is not None):
            if trainer.global_step > 0:
                trainer.save_checkpoint(self.last)
            raise TrainingStopped(next(reason for reason in of_all(self.reason) if reason is not None))


class FiniteScores(pl.Callback):
    """Raises a `DivergedError` for a validation whose result is not finite, before anything is chosen by it.

    Args:
        monitor: name of the logged value that chooses the best round.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        score, loss = values.get(self.monitor, 0.0), values.get("val_loss", 0.0)
        if not math.isfinite(score):
            raise diverged(pl_module, f"the {self.monitor} is {score}", trainer.global_step)
        # An extreme value in a validation row makes the loss infinite, whatever the model.
        if math.isnan(loss) or (math.isinf(loss) and not all_finite(pl_module)):
            raise diverged(pl_module, f"the validation loss is {loss}", trainer.global_step)


class History(pl.Callback):
    """One row per round in a CSV file: losses, a measure of quality, learning rate, seconds.

    Where a round is no pass over the train rows, ``epoch`` counts the passes and ``round`` the rounds.

    Args:
        path: of the file; rows of earlier rounds, from before a resume, are kept.
        plain: called with a line per round, or None.
        measure: name of the logged value besides the losses.
        pass_steps: steps of a pass over the train rows; None: there are no passes, ``epoch`` counts the rounds.
    """

    def __init__(
        self,
        path: Path,
        plain: Any = None,
        measure: str = "val_accuracy",
        pass_steps: float | None = None,
    ) -> None:
        self.path = path
        self.plain = plain
        self.measure = measure
        self.pass_steps = pass_steps
        self._start = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forgets rounds that a killed run had measured and not saved."""
        if not is_first():
            return
        rows = read_history(self.path)
        done = [row for row in rows if round_of(row) <= trainer.current_epoch]
        if len(done) < len(rows):
            write_history(self.path, done)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not is_first():
            return
        seconds = time.monotonic() - self._start
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {
            **self._place(trainer),
            "step": trainer.global_step,
            "train_loss": metrics.get("train_loss_epoch", float("nan")),
            "val_loss": metrics.get("val_loss", float("nan")),
            self.measure: metrics.get(self.measure, float("nan")),
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": seconds,
        }
        rows = [old for old in read_history(self.path) if round_of(old) < round_of(row)]
        write_history(self.path, [*rows, row])
        if self.plain is not None:
            self.plain(
                f"{self._told(trainer, pl_module, row)}  loss {row['train_loss']:.3f}  val loss "
                f"{row['val_loss']:.3f}  {self.measure.replace('_', ' ')} {row[self.measure]:.3f}  {seconds:.1f} s"
            )

    def _place(self, trainer: pl.Trainer) -> dict[str, float]:
        """Number of the round, and of passes where that is something else."""
        number = trainer.current_epoch + 1
        if self.pass_steps in (None, trainer.num_training_batches):
            return {"epoch": number}
        return {"round": number, "epoch": trainer.global_step / self.pass_steps}

    def _told(self, trainer: pl.Trainer, module: Any, row: dict[str, float]) -> str:
        """How far training has come, in words."""
        if self.pass_steps == trainer.num_training_batches:
            return f"epoch {row['epoch']:.0f}/{trainer.max_epochs}"
        passes = f" (epoch {row['epoch']:.1f})" if "round" in row else ""
        return f"step {row['step']:,}/{module.last_step:,}{passes}"


def build_callbacks(
    checkpoints: Checkpoints, history: History, stopper: Stopper, patience: int, *, bar: bool
) -> list[pl.Callback]:
    """Early stopping and checkpoints by the same metric, history, stopper, progress bar.

    Where the checkpoints choose no round, no round can be better than another, and training is not stopped early.
    """
    from lightning.pytorch.callbacks import EarlyStopping

    mode = "max" if checkpoints.sign > 0 else "min"
    early = [EarlyStopping(checkpoints.monitor, mode=mode, patience=patience)] if checkpoints.choosing else []
    callbacks: list[pl.Callback] = [stopper, FiniteScores(checkpoints.monitor), *early, history, checkpoints]
    return [*callbacks, _progress_bar(history)] if bar else callbacks


def half_of(rounds: int) -> int:
    """Rounds without a better score after which training stops, where nothing else is asked for: half of all. The score
    often rises only at the end, where the learning rate is small."""
    return max(1, -(-rounds // 2))


def _progress_bar(history: History) -> pl.Callback:
    """Of Lightning's, one that calls a round by its name."""
    from lightning.pytorch.callbacks import RichProgressBar

    class Bar(RichProgressBar):
        def _get_train_description(self, current_epoch: int) -> str:
            name = "Epoch" if history.pass_steps == self.trainer.num_training_batches else "Round"
            return f"{name} {current_epoch + 1}/{self.trainer.max_epochs}".ljust(len(self.validation_description))

    return Bar(refresh_rate=_DRAWN, leave=False)


def quiet_lightning() -> None:
    """Silences hints that do not concern a user of the command."""
    import logging

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        r".*does not have many workers.*",
        r".*The number of training batches.*",
        r".*dataloader is not resumable.*",
        r".*Checkpoint directory .* exists and is not empty.*",
        r".*The dirpath has changed.*",
        r".*isinstance.treespec, LeafSpec.*",
        r"Grad strides do not match bucket view strides.*",
        r".*recommended to use `self.log.*sync_dist=True.*",  # what is logged is of all ranks
        r"Encountered `nan` values in tensor.*",  # the run ends with an error that says more
    ):
        warnings.filterwarnings("ignore", message=message)
