"""Where a trained model runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from perceiver_pytorch._memory import usable_cores

M = TypeVar("M", bound=nn.Module)


def on_accelerator(model: M) -> M:
    """The model, moved to the accelerator if there is one."""
    return model.to("cuda") if torch.cuda.is_available() else model


class _Reserved:
    """Threads that PyTorch had before `on_own_cores`; 0 outside."""

    threads = 0


@contextmanager
def on_own_cores() -> Iterator[None]:
    """Within the block each of PyTorch's operations stays in one thread; `own_cores` of them may run at once."""
    before, reserved = torch.get_num_threads(), _Reserved.threads
    _Reserved.threads = reserved or before
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _Reserved.threads = reserved


def own_cores() -> int:
    """Threads that PyTorch may have, but no more than there are cores for this process: PyTorch counts those of the
    machine, of which a container may use less, and threads without a core hold up the others."""
    return min(_Reserved.threads or torch.get_num_threads(), usable_cores())
