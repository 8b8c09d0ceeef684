"""A few steps of training by the loop that trains, measured: how long they take, and how much memory."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import lightning.pytorch as pl
import torch

from perceiver_pytorch._waiting import waiting
from perceiver_pytorch.training.run.callbacks import TrainingStopped
from perceiver_pytorch.training.run.durations import now
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.run.loaders import Loaders
from perceiver_pytorch.training.run.loop import Resumable, run_loop
from perceiver_pytorch.training.run.peak_memory import PeakMemory
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.run.settings import TrainingSettings
from perceiver_pytorch.training.run.time_limit import seconds_of_a_batch

WARMING, FEWEST, MOST, SECONDS = 2, 3, 20, 6.0
"""Steps that are not measured, since something is compiled in them. One is then measured for its memory; the next ones,
at least and at most so many and for so long, for their time."""

Look = Callable[[Resumable], None]


@dataclass(frozen=True)
class Measured:
    """What a rehearsal found.

    Attributes:
        steps: that were measured.
        step_seconds: of one, with reading its rows; the median.
        batch_seconds: of a validation batch.
        step_bytes: by which a step raised the memory in use for a time, at most; None where that cannot be asked.
        grown_bytes: by which the rehearsal raised it for good: optimiser, averages, what was loaded and compiled.
    """

    steps: int
    step_seconds: float
    batch_seconds: float
    step_bytes: int | None
    grown_bytes: int | None


class _Clock(pl.Callback):
    """Measures steps, and ends training after the last of them."""

    def __init__(self, loaders: Loaders, look: Look) -> None:
        self.loaders = loaders
        self.look = look
        self.memory = PeakMemory()
        self.batch = 0.0
        self.step_bytes: int | None = None
        self.measuring = False
        self.seconds: list[float] = []
        self.began = self.since = now()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.look(pl_module)
        self.batch = seconds_of_a_batch(trainer, pl_module, self.loaders.val)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._note(trainer.global_step)
        enough = now() - self.began >= SECONDS and len(self.seconds) >= FEWEST
        if enough or len(self.seconds) >= MOST:
            raise TrainingStopped("measured")
        self.measuring = trainer.global_step == WARMING
        if self.measuring:  # which takes time itself
            self.memory.restart()
        self.since = now()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step >= self.loaders.steps:
            self._note(trainer.global_step)

    def _note(self, done: int) -> None:
        """Takes down the step that has ended, once the first ones are over; reading its batch is part of a step."""
        if self.measuring:
            self.step_bytes = self.memory.raised()
        if done <= WARMING + 1:
            self.began = now()
        else:
            self.seconds.append(now() - self.since)


def rehearse(
    module: Resumable, loaders: Loaders, run: RunFolder, settings: TrainingSettings, look: Look = lambda module: None
) -> Measured:
    """Trains for a few steps.

    Args:
        module: what would be trained; it is used up.
        loaders: its batches.
        run: a folder that nobody needs.
        settings: how it would be trained.
        look: called with the module before the first step, when it has its trainer.

    Raises:
        MemoryError, RuntimeError: if there is too little memory for a step.
    """
    clock = _Clock(loaders, look)
    before = clock.memory.used()
    quiet = Reporter(lambda text: None, lambda text: None)
    some = replace(loaders, callbacks=[*loaders.callbacks, clock])
    with run.writing(), waiting():  # as training does, for loops to be compiled
        run_loop(module, some, run, settings, resume=False, deadline=None, reporter=quiet)
    after = clock.memory.used()
    if not clock.seconds:  # a run of one or two steps
        clock.seconds.append(now() - clock.since)
    return Measured(
        steps=len(clock.seconds),
        step_seconds=statistics.median(clock.seconds),
        batch_seconds=clock.batch,
        step_bytes=clock.step_bytes,
        grown_bytes=None if before is None or after is None else max(0, after - before),
    )


def saved_bytes(compute: Callable[[], Any], known: set[int]) -> int:
    """Bytes that autograd keeps of a computation for its backward pass, each storage once; this thread's alone.

    Args:
        compute: is called once; gives what the backward pass starts from.
        known: addresses of storages that are there anyway, such as weights.
    """
    sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = compute()
    del kept
    return sum(sizes.values())
