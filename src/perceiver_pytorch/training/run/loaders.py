"""What a job trains and validates on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader


@dataclass(frozen=True, kw_only=True)
class Loaders:
    """What is trained and validated on.

    Attributes:
        train, val: batches.
        epochs: passes over ``train``, at most.
        callbacks: more of them, whose state is saved as well.
        measured: batches like those of ``val`` that the result is measured on, and how many of them it takes at least.
        closing: seconds of what else comes after training.
    """

    train: DataLoader[Any]
    val: DataLoader[Any]
    epochs: int
    callbacks: Sequence[pl.Callback] = ()
    measured: tuple[int, int] = (0, 0)
    closing: float = 0.0
