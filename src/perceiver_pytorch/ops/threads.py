"""Compiled loops on several cores: whoever is free takes the next part. And small operations on one core alone.

The threads are PyTorch's own where they can be had, those of GNU OpenMP. They are awake from PyTorch's last operation
(OpenMP's threads spin for a while before they sleep), and with threads of our own beside them there would be more
threads than cores. Elsewhere a pool of our own does the same.

PyTorch wakes all threads even for products of a few thousand numbers, and waits for the last of them. That gains
nothing, and where another process has a core, the wait for it may be a hundred times as long as the product.
"""

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

MAX_PYTHON_THREADS = 4
"""Threads that run Python beside one another: between operations they wait for Python's lock."""

SMALL = 1 << 22
"""Multiply-adds of an operation up to which one thread does it about as fast as several."""

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
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)


class _SingleThreaded(threading.local):
    """What holds for a thread within `single_threaded`: how many threads it had before, or 0 outside; and MKL's."""

    before = 0
    mkl_before = 0


_single_threaded = _SingleThreaded()


@contextlib.contextmanager
def single_threaded(work: int = 0) -> Iterator[None]:
    """Within the block PyTorch's operations of this thread stay in it, if ``work`` is small; `run` has all threads.

    Args:
        work: multiply-adds of the largest operation.
    """
    begun = work <= SMALL and begin_single_threaded()
    try:
        yield
    finally:
        if begun:
            end_single_threaded()


def begin_single_threaded() -> bool:
    """What `single_threaded` does first; False where it holds already, or nothing is to be done."""
    if _single_threaded.before or _openmp() is None or torch.get_num_threads() == 1:
        return False
    _single_threaded.before = torch.get_num_threads()
    _single_threaded.mkl_before = _set_num_threads(1, 1)
    return True


@contextlib.contextmanager
def all_threads() -> Iterator[None]:
    """The opposite of `single_threaded`, within it."""
    before = _single_threaded.before
    end_single_threaded()
    try:
        yield
    finally:
        if before:
            begin_single_threaded()


def keep_to(number: int) -> None:
    """Shares PyTorch's operations of the calling thread, one of our own, among so many threads from now on.

    Nothing is done where a thread has no number of its own.
    """
    torch.get_num_threads()  # a thread that PyTorch has not seen yet gets the common number first
    _single_threaded.before = 0  # left over where a backward pass broke off
    if _openmp() is not None:
        _set_num_threads(number, number)


def _num_threads() -> int:
    """Whether or not within `single_threaded`."""
    return _single_threaded.before or torch.get_num_threads()


def end_single_threaded() -> None:
    """What `single_threaded` does last; nothing outside it."""
    if _single_threaded.before:
        _set_num_threads(_single_threaded.before, _single_threaded.mkl_before)
        _single_threaded.before = 0


def run(loop: Callable[..., Any], *arguments: Any, num_parts: int, room: int | None = None) -> None:
    """Calls ``loop(counter, *arguments)`` in as many threads as PyTorch uses, this one included, and waits for all.

    Args:
        loop: takes the numbers of its parts from ``counter``, an int64 array of one number that starts at zero, and
            lets go of Python's lock meanwhile.
        num_parts: how many there are; there is no use for more threads.
        room: numbers in the `memory` that each thread gets for itself, behind the counter; None: the loop takes none.
    """
    numbers = counter()
    if room is None:
        _together(lambda: loop(numbers, *arguments), min(_num_threads(), num_parts))
    else:
        _together(lambda: loop(numbers, memory(room), *arguments), min(_num_threads(), num_parts))


def counter() -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """What gives the threads of a loop the numbers of its parts."""
    return np.zeros(1, np.int64)


def memory(room: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """Room for so many float32 numbers, beginning where a line of the cache does."""
    line = 64 // 4
    numbers = np.empty(room + line, np.float32)
    begin = -(numbers.ctypes.data // 4) % line
    return numbers[begin : begin + room]


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

    num_threads = min(_num_threads(), len(todo), MAX_PYTHON_THREADS)
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
def _openmp() -> ctypes.CDLL | None:
    """GNU OpenMP, the library that PyTorch brings along."""
    if _forked:
        return None
    for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")):
        try:
            library = ctypes.CDLL(str(path))
            parallel = library.GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [_CALLBACK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        return library
    return None


@cache
def _mkl() -> Callable[[int], int] | None:
    """Sets MKL's number of threads for the calling thread, 0 for the common one, and gives the one before. It goes
    before OpenMP's once somebody has called ``torch.set_num_threads``.
    """
    for path in (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.so"):
        with contextlib.suppress(OSError, AttributeError):
            return ctypes.CDLL(str(path)).MKL_Set_Num_Threads_Local
    return None


def _set_num_threads(number: int, of_mkl: int) -> int:
    """Of the calling thread alone, unlike ``torch.set_num_threads``. Gives MKL's number before."""
    library, mkl = _openmp(), _mkl()
    assert library is not None
    library.omp_set_num_threads(number)
    return 0 if mkl is None else mkl(of_mkl)


def _in_openmp(work: Callable[[], Any], num_threads: int) -> None:
    library = _openmp()
    assert library is not None
    errors: list[BaseException] = []

    def call(data: object) -> None:
        try:
            work()
        except BaseException as error:  # nothing may pass through OpenMP
            errors.append(error)

    library.GOMP_parallel(_CALLBACK(call), None, num_threads, 0)
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
