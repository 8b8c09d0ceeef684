"""Compiled loops on several cores.

Threads of our own, not those of OpenMP: a second OpenMP beside PyTorch's is not safe after a fork, and a static
division of the work waits for a core that another process took. Whoever is free takes the next part.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)


def run(loop: Callable[..., Any], *arguments: Any, num_parts: int) -> None:
    """Calls ``loop(counter, *arguments)`` in as many threads as PyTorch uses, this one included, and waits for all.

    Args:
        loop: takes the numbers of its parts from ``counter``, an int64 array of one number that starts at zero, and
            lets go of Python's lock meanwhile.
        num_parts: how many there are; there is no use for more threads.
    """
    counter = np.zeros(1, np.int64)
    others = min(torch.get_num_threads(), num_parts) - 1
    if others < 1:
        loop(counter, *arguments)
        return
    if others not in _pools:
        _pools[others] = ThreadPoolExecutor(others, thread_name_prefix="perceiver")
    helpers = [_pools[others].submit(loop, counter, *arguments) for _ in range(others)]
    try:
        loop(counter, *arguments)
    finally:
        for helper in helpers:
            if not helper.cancel():  # one that has not begun finds nothing left to do
                helper.result()
