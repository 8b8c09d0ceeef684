"""What a job trains and validates on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from perceiver_pytorch._processes import end_kept


@dataclass(frozen=True, kw_only=True)
class Loaders:
    """What is trained and validated on.

    Attributes:
        train, val: batches.
        steps: how many are made, at most. An iteration over ``train`` is a round, after which the model is validated.
        most_steps: how many are made where a time limit leaves time for more than ``steps``; None: no more.
        pass_steps: how many of them read all train rows once; None: what is read has no end.
        choosing: whether there are enough validation rows to choose the best round by; else the last weights are kept.
        callbacks: more of them, whose state is saved as well.
        measured: batches like those of ``val`` that the result is measured on, and how many of them it takes at least.
        closing: seconds of what else comes after training.
    """

    train: DataLoader[Any]
    val: DataLoader[Any]
    steps: int
    most_steps: int | None = None
    pass_steps: float | None = None
    choosing: bool = True
    callbacks: Sequence[pl.Callback] = ()
    measured: tuple[int, int] = (0, 0)
    closing: float = 0.0

    @property
    def rounds(self) -> int:
        """How many there are, at most."""
        return math.ceil(self.steps / max(1, len(self.train)))

    def end(self) -> None:
        """Ends the processes that read; the next iteration starts others."""
        for loader in (self.train, self.val):
            end_kept(loader)
