"""Compiled loops on several cores: whoever is free takes the next part.

The threads are PyTorch's own where they can be had, those of GNU OpenMP. They are awake from PyTorch's last operation
(OpenMP's threads spin for a while before they sleep), and with threads of our own beside them there would be more
threads than cores. Elsewhere a pool of our own does the same.
"""

import ctypes
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

MAX_PYTHON_THREADS = 4
"""Threads that run Python beside one another: between operations they wait for Python's lock."""

T = TypeVar("T")
R = TypeVar("R")

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_pools: dict[int, ThreadPoolExecutor] = {}


def _after_fork() -> None:
    """A child has none of its parent's threads, but GNU OpenMP would wait for them."""
    _pools.clear()
    _openmp.cache_clear()
    _forked.append(True)


_forked: list[bool] = []
os.register_at_fork(after_in_child=_after_fork)


def run(loop: Callable[..., Any], *arguments: Any, num_parts: int) -> None:
    """Calls ``loop(counter, *arguments)`` in as many threads as PyTorch uses, this one included, and waits for all.

    Args:
        loop: takes the numbers of its parts from ``counter``, an int64 array of one number that starts at zero, and
            lets go of Python's lock meanwhile.
        num_parts: how many there are; there is no use for more threads.
    """
    counter = np.zeros(1, np.int64)
    _together(lambda: loop(counter, *arguments), min(torch.get_num_threads(), num_parts))


def in_order(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Results of ``function`` for each item, in several threads at once, in which PyTorch's operations stay.

    An operation on a few thousand numbers takes less time than to wake a second thread for it.
    """
    todo = list(enumerate(items))
    results: list[Any] = [None] * len(todo)
    remaining = iter(todo)

    def work() -> None:
        with torch.no_grad():  # every thread has its own mode
            for i, item in remaining:
                results[i] = function(item)

    num_threads = min(torch.get_num_threads(), len(todo), MAX_PYTHON_THREADS)
    _together(work, num_threads if _openmp() is not None else 1)
    return results


def _together(work: Callable[[], Any], num_threads: int) -> None:
    """Calls ``work`` in each thread."""
    if num_threads <= 1:
        work()
    elif _openmp() is not None:
        _in_openmp(work, num_threads)
    else:
        _in_pool(work, num_threads - 1)


@cache
def _openmp() -> Callable[..., None] | None:
    """GNU OpenMP's "parallel" of the library that PyTorch brings along."""
    if _forked:
        return None
    for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")):
        try:
            parallel = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [_CALLBACK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        return parallel
    return None


def _in_openmp(work: Callable[[], Any], num_threads: int) -> None:
    parallel = _openmp()
    assert parallel is not None
    errors: list[BaseException] = []

    def call(data: object) -> None:
        try:
            work()
        except BaseException as error:  # nothing may pass through OpenMP
            errors.append(error)

    parallel(_CALLBACK(call), None, num_threads, 0)
    if errors:
        raise errors[0]


def _in_pool(work: Callable[[], Any], num_others: int) -> None:
    if num_others not in _pools:
        _pools[num_others] = ThreadPoolExecutor(num_others, thread_name_prefix="perceiver")
    helpers = [_pools[num_others].submit(work) for _ in range(num_others)]
    try:
        work()
    finally:
        for helper in helpers:
            if not helper.cancel():  # one that has not begun finds nothing left to do
                helper.result()
