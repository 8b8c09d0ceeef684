"""Processes that decode rows."""

import multiprocessing
import signal
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

import numpy as np
from torch.utils.data import DataLoader, Dataset

from perceiver_pytorch._processes import end_with_parent
from perceiver_pytorch.data.media import decoding

MAX_WORKERS = 8  # where nobody says how many

T = TypeVar("T")


class _Portions(Dataset[Any]):
    def __init__(self, decode: Callable[[np.ndarray], Any], portions: Sequence[np.ndarray]) -> None:
        self.decode = decode
        self.portions = portions

    def __len__(self) -> int:
        return len(self.portions)

    def __getitem__(self, i: int) -> Any:
        return self.decode(self.portions[i])


def in_workers(
    decode: Callable[[np.ndarray], T], portions: Sequence[np.ndarray], workers: int
) -> Generator[T, None, None]:
    """What `decode` makes of each portion of rows, in order; each of the processes is up to two portions ahead."""
    decoding.close()  # each has its own from now on
    yield from DataLoader(
        _Portions(decode, portions),
        batch_size=None,
        num_workers=workers,
        collate_fn=as_it_is,
        worker_init_fn=begin,
    )


def as_it_is(read: Any) -> Any:
    """What a worker read, not made into tensors."""
    return read


def begin(worker: int) -> None:
    """Leaves signals to the whole group to the main process, and ends when that is gone.

    A worker of PyTorch's that holds more than a pipe takes would wait for its killed reader for good.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    main = multiprocessing.parent_process()
    if main is not None and main.pid is not None:
        end_with_parent(main.pid)
