"""A text file as bytes: its parts, and the windows that training and measuring read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from perceiver_pytorch._files import FileRefusedError, check_regular
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.models.text.byte_tokenizer import FIRST_BYTE, PAD
from perceiver_pytorch.training.run.sampler import EpochBatches

Bytes = np.ndarray
"""uint8, one entry per byte; of a file, mapped into memory and read where it is looked at."""

SMALLEST_PART = 64


def open_text(path: str | Path, at_least: int = 1) -> Bytes:
    """The bytes of a file.

    Raises:
        DataError: if there is no such file, or it has fewer than ``at_least`` bytes.
    """
    file = Path(path)
    try:
        size = check_regular(file)
    except FileNotFoundError:
        raise DataError(f"there is no file {file}") from None
    except FileRefusedError as error:
        raise DataError(f"{error}; a text file is needed") from None
    if not size:
        raise DataError(f"{file} is empty; a text is needed")
    if size < at_least:
        raise DataError(f"{file} is too short: {size} bytes, at least {at_least} are needed")
    return np.memmap(file, dtype=np.uint8, mode="r")


def split_text(text: Bytes, name: str, val_fraction: float, test_fraction: float, context: int) -> dict[str, Bytes]:
    """Consecutive parts of a text: train, val and test.

    Raises:
        DataError: for a text too short to train on; the message says how long it has to be.
    """
    val, test = int(len(text) * val_fraction), int(len(text) * test_fraction)
    train = len(text) - val - test
    if train < context + 1:
        raise DataError(
            f"{name} is too short: of its {len(text):,} bytes {train:,} are left to train on, which is less than the "
            f"context of {context:,} bytes and the byte that follows; use a longer text, or a smaller --context"
        )
    for part, size, share in (("validate", val, val_fraction), ("test", test, test_fraction)):
        if size < SMALLEST_PART:
            raise DataError(
                f"{name} is too short: of its {len(text):,} bytes {size:,} are left to {part} on, which is less than "
                f"{SMALLEST_PART}; use a text of at least {int(SMALLEST_PART / share) + 1:,} bytes"
            )
    return {"train": text[:train], "val": text[train : train + val], "test": text[train + val :]}


def to_ids(data: Bytes) -> Tensor:
    """Token ids ``(length,)`` int64 of bytes."""
    return torch.from_numpy(data.astype(np.int64)) + FIRST_BYTE


class Windows(Dataset[Tensor]):
    """Pieces of a text by their start: token ids ``(length,)``."""

    def __init__(self, text: Bytes, length: int) -> None:
        self.text = text
        self.length = length

    def __len__(self) -> int:
        return len(self.text) - self.length + 1

    def __getitem__(self, start: int) -> Tensor:
        return to_ids(self.text[start : start + self.length])


class RandomStarts(EpochBatches):
    """Batches of random places in a text; like those of `EpochBatches` they can be taken up anywhere.

    Args:
        size: number of places.
        batch_size: places per batch.
        batches: batches per epoch.
        seed: of the order.
    """

    def __init__(self, size: int, batch_size: int, batches: int, seed: int) -> None:
        super().__init__(size, batch_size, seed)
        self.batches = batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        starts = torch.randint(self.size, (self.batches, self.batch_size), generator=generator)
        first, self.skip = self.skip, 0
        yield from starts[first:].tolist()


class OrNothing(Dataset[tuple[Tensor, Tensor]]):
    """Windows to measure on; in the place of -1 there is one of which nothing counts.

    Args:
        windows: `CausalWindows` or `MaskedWindows`.
    """

    def __init__(self, windows: Dataset[tuple[Tensor, Tensor]]) -> None:
        self.windows: Any = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        ids, counted = self.windows[max(0, index)]
        return ids, counted if index >= 0 else torch.zeros_like(counted)


class CausalWindows(Dataset[tuple[Tensor, Tensor]]):
    """Windows that together predict every byte of a text but the first, each once, from what precedes it.

    An item is token ids ``(context + 1,)``, filled up on the left, and how many of the last are new in this window.

    Args:
        text: the bytes.
        context: bytes read at a time.
        stride: new bytes per window.
    """

    def __init__(self, text: Bytes, context: int, stride: int) -> None:
        self.text = text
        self.context = context
        self.stride = stride

    def __len__(self) -> int:
        return -(-(len(self.text) - 1) // self.stride)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        first = 1 + index * self.stride
        end = min(len(self.text), first + self.stride)
        ids = torch.full((self.context + 1,), PAD)
        seen = to_ids(self.text[max(0, end - self.context - 1) : end])
        ids[-len(seen) :] = seen
        return ids, torch.tensor(end - first)


class MaskedWindows(Dataset[tuple[Tensor, Tensor]]):
    """Windows that together hide every byte of a text, each once, a share of each window at a time.

    An item is token ids ``(context,)``, filled up on the right, and bool ``(context,)``: which of them are hidden.

    Args:
        text: the bytes.
        context: bytes read at a time.
        mask_fraction: share of the bytes that is hidden at a time.
    """

    def __init__(self, text: Bytes, context: int, mask_fraction: float) -> None:
        self.text = text
        self.context = context
        self.groups = max(1, round(1 / mask_fraction))

    def __len__(self) -> int:
        return -(-len(self.text) // self.context) * self.groups

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        window, group = divmod(index, self.groups)
        end = min(len(self.text), (window + 1) * self.context)
        start = max(0, end - self.context)  # the last window overlaps the one before, and hides what is new in it
        seen = to_ids(self.text[start:end])
        ids = torch.full((self.context,), PAD)
        ids[: len(seen)] = seen
        place = torch.from_numpy(np.random.default_rng(window).permutation(self.context))
        hidden = place % self.groups == group
        hidden[: window * self.context - start] = False
        hidden[len(seen) :] = False
        return ids, hidden
