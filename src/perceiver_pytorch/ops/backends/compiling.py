"""Loops are compiled in a thread of their own, while what calls them goes another way.

To compile a loop takes seconds, most of them in Python, and to load it from the disk a few hundredths of a second. So a
loop that is kept on the disk is loaded at its first call. Any other is left to the thread, and its calls raise
`NotCompiledError` until it is there. Within `waiting`, and where PyTorch's algorithms are to be deterministic, the
first call compiles: then results do not depend on how fast the thread is.
"""

import atexit
import contextlib
import os
import threading
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch

from perceiver_pytorch._waiting import must_wait
from perceiver_pytorch.ops.backends import loop_files
from perceiver_pytorch.ops.backends.instead import NotCompiledError

DELAY = 1.5
"""Seconds until the thread begins: a first call has the processor and Python's lock for itself, and a process that is
done by then compiles nothing."""


class _Compiler:
    """Which loops are compiled, and the thread that compiles more of them."""

    def __init__(self) -> None:
        self.ready: set[Hashable] = set()
        self.failure = ""
        self._forget_thread()

    def _forget_thread(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._queue: dict[Hashable, tuple[str, tuple[Any, ...]]] = {}
        self._behind: set[Hashable] = set()  # of the queue, what is compiled last
        self._thread: threading.Thread | None = None
        self._is_busy = False

    def prepare(self, key: Hashable, name: str, arguments: Sequence[Any], behind: bool) -> None:
        """See `ensure`, for a loop that is not ready."""
        if self.failure:
            raise RuntimeError(self.failure)
        job = name, tuple(_like(argument) for argument in arguments)
        if must_wait() or torch.are_deterministic_algorithms_enabled() or self._can_load(*job):
            self._compile(key, *job)
            return
        with self._lock:
            self._queue.setdefault(key, job)
            if behind:
                self._behind.add(key)
            if self._thread is None and not self._ended.is_set():
                self._start()
        raise NotCompiledError(name)

    def _can_load(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Whether a loop is on the disk; False while the thread has Numba's lock, for which nobody should wait."""
        if self._is_busy or loop_files.place() is None:
            return False
        from perceiver_pytorch.ops.backends import loops

        loop = loops.find(name)
        return loops.is_kept(loop, loops.signature(loop, arguments))

    def _compile(self, key: Hashable, name: str, arguments: tuple[Any, ...]) -> None:
        """Loads a loop from the disk or compiles it."""
        from perceiver_pytorch.ops.backends import loops

        loop = loops.find(name)
        loop.compile(loops.signature(loop, arguments))
        self.ready.add(key)

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="perceiver-compiling", daemon=True)
        with contextlib.suppress(RuntimeError):  # the interpreter is about to end
            thread.start()
            self._thread = thread

    def _work(self) -> None:
        self._ended.wait(DELAY)
        while (key := self._next()) is not None:
            try:
                self._compile(key, *self._queue[key])
            except BaseException as error:  # told by the next call
                self.failure = str(error) or type(error).__name__
            with self._lock:
                del self._queue[key]
                self._behind.discard(key)

    def _next(self) -> Hashable | None:
        """The key of the next loop to compile; None if there is none, and the thread ends."""
        with self._lock:
            self._is_busy = bool(self._queue) and not self._ended.is_set() and not self.failure
            if not self._is_busy:
                self._thread = None
                return None
            return next((key for key in self._queue if key not in self._behind), next(iter(self._queue)))

    def end(self) -> None:
        """Waits for the loop that is being compiled, which the disk then has, and compiles no other.

        LLVM would not survive the end of the process in the middle of its work.
        """
        self._ended.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def after_fork(self) -> None:
        """A child has no thread, but perhaps locks of Numba's and LLVM's that the thread had, which nobody gives back.

        No fork waits for the thread: most children load rows, and need no loop.
        """
        if self._is_busy:
            remedy = "perceiver warm-up leaves nothing to compile, and a process that is spawned compiles by itself"
            self.failure = f"this process was forked while another thread compiled; {remedy}"
        self._forget_thread()


_compiler = _Compiler()
atexit.register(lambda: _compiler.end())
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=lambda: _compiler.after_fork())


def ensure(key: Hashable, name: str, arguments: Sequence[Any], behind: bool = False) -> None:
    """Returns if a loop is compiled for what has this key.

    Args:
        key: the same for all arguments of the same types.
        name: of the loop, with its module, see `loops.find`.
        arguments: what it is called with.
        behind: compile it when the thread has nothing else to compile: it saves less time than others.

    Raises:
        NotCompiledError: if it will be compiled; until then something else has to do its work.
        RuntimeError: if the thread could not compile.
    """
    if key not in _compiler.ready:
        _compiler.prepare(key, name, arguments, behind)


def _like(argument: Any) -> Any:
    """An argument of the same type, without what it holds: the thread may need it for long."""
    if isinstance(argument, tuple):
        return tuple(_like(part) for part in argument)
    return np.empty((0,) * argument.ndim, argument.dtype) if isinstance(argument, np.ndarray) else argument
