"""Checkpoints: written whole, read without unpickling code, and how far they say a run has come.

``last.ckpt`` is written every so often and after every round. ``best.ckpt`` is a copy of the last.ckpt of the best
round, made after it; `recover` makes it again where a run was killed between the two.
"""

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints
from zipfile import ZipFile, is_zipfile

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from perceiver_pytorch._files import copy_whole, write_whole
from perceiver_pytorch._saved_files import DamagedFileError, MissingFileError, fitting, read_tensors
from perceiver_pytorch._settings import typed
from perceiver_pytorch.training.run.averaging import AVERAGED, load_average
from perceiver_pytorch.training.run.divergence import all_finite, diverged
from perceiver_pytorch.training.run.durations import Every
from perceiver_pytorch.training.run.planning import Plan
from perceiver_pytorch.training.run.ranks import any_rank, is_first, world
from perceiver_pytorch.training.run.shards import SHARDS, filled, joined_shards, remove_unnamed

_KEY = "progress"


@dataclass(frozen=True)
class Progress:
    """What a checkpoint says about its run.

    Attributes:
        epoch: rounds completed, which is the number (from 0) of the next one.
        best_epoch: rounds completed when the best score was reached; 0: none yet.
        best_score: of the monitored metric.
        best_loss: the validation loss then.
        plan: how many steps the time limit leaves; None: there is no limit, or it is not known yet.
        complete: training has come to its end.
        step: steps done.
        seconds: that training took, with its validations, up to this checkpoint; runs of early versions did not count.
        ranks: how many processes trained together when it was written.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = math.nan
    complete: bool = False
    step: int = 0
    best_loss: float = math.nan
    plan: Plan | None = None
    seconds: float = 0.0
    ranks: int = 1

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any]) -> "Progress":
        kept = checkpoint.get(_KEY, {}) | {"step": checkpoint["global_step"]}
        plan = kept.pop("plan", None)
        return cls(**_typed(cls, kept), plan=None if plan is None else Plan(**_typed(Plan, plan)))

    def is_beaten_by(self, score: float, loss: float, sign: float, *, ties_by_loss: bool) -> bool:
        """Whether a validation is better than the best so far.

        Args:
            score: of the monitored metric.
            loss: of the validation.
            sign: 1 where a large score is good, -1 where a small one is.
            ties_by_loss: whether the loss decides where the score is equal.
        """
        if not self.best_epoch or sign * score > sign * self.best_score:
            return True
        return ties_by_loss and score == self.best_score and loss < self.best_loss


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there, and that are read without unpickling code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_whole(Path(path), lambda partial: _save(checkpoint, partial))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(Path(path), map_location)


class Checkpoints(Checkpoint):
    """Writes both files; weights that are not finite are never saved: that raises a `DivergedError`.

    Args:
        last, best: their places.
        every: how often within a round.
        monitor: metric that the best round is chosen by.
        mode: "max" or "min", what is better.
        ties_by_loss: of equal ones the one of the smaller validation loss is the best; else the first.
        choosing: whether a round is chosen by the metric; else the last one counts as the best.
        check_held: called before each file; raises an error if the folder is no longer this run's.
    """

    def __init__(
        self,
        last: Path,
        best: Path,
        every: Every,
        monitor: str,
        mode: str = "max",
        ties_by_loss: bool = True,
        choosing: bool = True,
        check_held: Callable[[], None] = lambda: None,
    ) -> None:
        self.last = last
        self.best = best
        self.every = every
        self.monitor = monitor
        self.sign = 1.0 if mode == "max" else -1.0
        self.ties_by_loss = ties_by_loss
        self.choosing = choosing
        self.check_held = check_held
        self.progress = Progress()
        self._saved_at = (time.monotonic(), 0)
        self._counted_at = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved_at = (time.monotonic(), trainer.global_step)
        self._counted_at = time.monotonic()

    def count(self) -> None:
        """Adds the seconds since the last time."""
        now = time.monotonic()
        self.progress = replace(self.progress, seconds=self.progress.seconds + now - self._counted_at)
        self._counted_at = now

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Here the last step is complete and the next has not begun: the state is that of a whole number of steps.
        seconds, steps = time.monotonic() - self._saved_at[0], trainer.global_step - self._saved_at[1]
        if any_rank(bool(steps) and self.every.due(seconds, steps)):
            self.save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        score = float(trainer.callback_metrics.get(self.monitor, math.nan))
        epoch = trainer.current_epoch + 1
        loss = float(trainer.callback_metrics.get("val_loss", math.nan))
        better = not self.choosing or self.progress.is_beaten_by(score, loss, self.sign, ties_by_loss=self.ties_by_loss)
        complete = trainer.should_stop or epoch >= (trainer.max_epochs or 0)
        self.progress = replace(self.progress, epoch=epoch, complete=complete)
        if better:
            self.progress = replace(self.progress, best_epoch=epoch, best_score=score, best_loss=loss)
            if (early := trainer.early_stopping_callback) is not None:  # it knows the score alone, not the loss
                early.wait_count = 0
        self.save(trainer)
        if better and is_first():
            copy_whole(self.last, self.best)
            remove_unnamed(self.best.parent)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.check_held()
        if not all_finite(pl_module):
            raise diverged(pl_module, "a weight is not finite", trainer.global_step)
        self.count()
        self.progress = replace(self.progress, ranks=world())
        checkpoint[_KEY] = asdict(self.progress)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.progress = Progress.of(checkpoint)

    def save(self, trainer: pl.Trainer) -> None:
        """Writes ``last.ckpt``."""
        trainer.save_checkpoint(self.last)
        self._saved_at = (time.monotonic(), trainer.global_step)


Join = Callable[[Mapping[str, Any], Path], dict[str, Any]]
"""What a checkpoint and its place give, with tensors for those that its shards have."""


def read_checkpoint(path: Path, map_location: Any = "cpu", join: Join = joined_shards) -> dict[str, Any]:
    """A checkpoint's content; nothing of it is run.

    Args:
        path: of the file.
        map_location: the device of its tensors.
        join: reads those that stand in shards.

    Raises:
        DamagedFileError: if it is damaged, or another program's.
    """
    with of_this_run(path):
        checkpoint = read_tensors(path, map_location)
        if is_zipfile(path) and (part := ZipFile(path).testzip()) is not None:
            raise ValueError(f"{part} has another checksum than when it was written")
        if SHARDS in checkpoint:
            checkpoint = join(checkpoint, path)
        Progress.of(checkpoint)
        _whole_number(checkpoint, "order_epoch")
        _whole_number(checkpoint, "batch_in_epoch")
        for weights in ("state_dict", AVERAGED):
            if not all(isinstance(weight, torch.Tensor) for weight in checkpoint.get(weights, {}).values()):
                raise TypeError(f"{weights} must hold tensors")
        return checkpoint


@contextmanager
def of_this_run(path: Path) -> Iterator[None]:
    """Raises a `DamagedFileError` where a checkpoint is not what the block expects of one of its run."""
    try:
        with fitting(path, "a checkpoint of this run"):
            yield
    except MissingFileError:
        raise
    except DamagedFileError as error:
        raise DamagedFileError(
            f"checkpoint {path} is damaged or of another run ({error}); start the run again in another folder"
        ) from error


def _typed(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of fields of ``cls``, each of its type."""
    hints = get_type_hints(cls)
    return {name: typed(name, value, hints[name]) for name, value in values.items()}


def _whole_number(checkpoint: Mapping[str, Any], name: str) -> None:
    if not isinstance(number := checkpoint.get(name, 0), int) or number < 0:
        raise TypeError(f"{name} must be a whole number, got {number!r}")


class _Writer(io.FileIO):
    """A file that remembers why it could not be written, for PyTorch's writer loses that."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        rest, total = memoryview(data).cast("B"), 0
        try:
            while total < len(rest):
                total += super().write(rest[total:])
        except OSError as error:
            self.error = self.error or error
            raise
        return total


def _save(checkpoint: dict[str, Any], path: Path) -> None:
    with _Writer(path, "w") as file:
        try:
            torch.save(checkpoint, file)
        except Exception as error:
            if file.error is not None:
                raise file.error from error
            raise


def recover(last: Path, best: Path) -> Progress | None:
    """How far a stopped run has come, by its last checkpoint; None if it has none. Makes the best one agree with it."""
    if not last.is_file():
        best.unlink(missing_ok=True)
        return None
    checkpoint = read_checkpoint(last, join=_unread)
    progress = Progress.of(checkpoint)
    between = bool(checkpoint.get("batch_in_epoch")) and not progress.complete
    if progress.best_epoch == progress.epoch > 0 and not between:
        copy_whole(last, best)
    return progress


def _unread(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The checkpoint with nothing but the shapes of what its shards have."""
    return filled(checkpoint, lambda number, shape: torch.empty(shape, device="meta"))


def load_state(path: Path, module: Any) -> Progress | None:
    """Loads a checkpoint's weights into the module, averaged ones where it has them, and says how far it had come; None
    if there is no checkpoint.

    Raises:
        ValueError: if the weights are not finite.
    """
    if not path.is_file():
        return None
    checkpoint = read_checkpoint(path)
    with of_this_run(path):
        module.load_state_dict(checkpoint["state_dict"])
        if AVERAGED in checkpoint:
            load_average(module.model, checkpoint[AVERAGED])
    if not all_finite(module):
        raise ValueError(
            f"the weights in {path} are not finite: this run diverged; start a new one with a smaller --lr"
        )
    return Progress.of(checkpoint)
