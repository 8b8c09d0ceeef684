"""Processes that decode rows."""

import multiprocessing
import signal
from collections.abc import Callable, Generator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from perceiver_pytorch._memory import usable_cores
from perceiver_pytorch._processes import end_with_parent
from perceiver_pytorch.data.media import decoder

if TYPE_CHECKING:
    from torch.utils.data import Dataset

MAX_WORKERS = 8  # where nobody says how many


def usual_workers() -> int:
    """Processes that decode where nobody says how many: one a core; none without PyTorch, whose they are."""
    return 0 if find_spec("torch") is None else min(MAX_WORKERS, usable_cores())


T = TypeVar("T")


class _Portions:
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
    from torch.utils.data import DataLoader  # rows are decoded without PyTorch, too, in one process

    decoder.close()  # each has its own from now on
    yield from DataLoader(
        cast("Dataset[Any]", _Portions(decode, portions)),  # it has what PyTorch asks of one
        batch_size=None,
        num_workers=workers,
        collate_fn=as_it_is,
        worker_init_fn=begin,
    )


def as_it_is(read: Any) -> Any:
    """What a worker read, not made into tensors."""
    return read


def begin(worker: int) -> None:
    """Leaves signals to the whole group to the main process, and ends when that is gone or says so.

    A worker of PyTorch's that holds more than a pipe takes would wait for its killed reader for good.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main = multiprocessing.parent_process()
    if main is not None and main.pid is not None:
        end_with_parent(main.pid, or_when_told=True)
