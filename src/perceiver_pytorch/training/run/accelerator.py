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


@contextmanager
def on_own_cores() -> Iterator[None]:
    """Within the block PyTorch has no more threads than there are cores for this process. PyTorch counts those of the
    machine, of which a container may use less, and threads without a core hold up the others."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, usable_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
