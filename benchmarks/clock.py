"""Processor time by parts of a program: each has what its functions take, forward and backward, without one another."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch

Functions = Mapping[str, Sequence[tuple[Any, str]]]
"""Of each part the functions whose time is its own, each with what it is an attribute of."""


class _Open(threading.local):
    """The parts that the calling thread is within, and since when the last of them counts."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.since = 0.0


class Clock:
    """Counts the processor time of parts, in all threads that run them. What a thread waits for counts for nothing.

    Autograd goes backward through a part where it comes to its results; that counts as the part's until it comes to
    those of another one.

    Args:
        functions: of each part.
        whole: parts that have all of their time, whatever other parts they call.

    Attributes:
        seconds: by the names of the parts.
    """

    def __init__(self, functions: Functions, whole: Sequence[str] = ()) -> None:
        self.functions = functions
        self.whole = frozenset(whole)
        self.seconds = dict.fromkeys(functions, 0.0)
        self._open = _Open()
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within the block the functions count."""
        with ExitStack() as patches:
            for name, functions in self.functions.items():
                for owner, function in functions:
                    timed = self.timed(name, getattr(owner, function))
                    patches.enter_context(patch.object(owner, function, timed))
            yield

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which counts what its calls take, and what autograd takes for their results."""

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                found = function(*arguments, **options)
            for tensor in _differentiable(found) if torch.is_grad_enabled() else ():
                tensor.register_hook(lambda _: self._come_to(name))
            return found

        return call

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts what the block takes."""
        parts = self._open.parts
        self._turn()
        parts.append(parts[-1] if parts and parts[-1] in self.whole else name)
        try:
            yield
        finally:
            self._turn()
            parts.pop()

    def _come_to(self, name: str) -> None:
        """A backward pass goes on with another part."""
        parts = self._open.parts
        if parts and parts[-1] not in self.whole:
            self._turn()
            parts[-1] = name

    def _turn(self) -> None:
        now, mine = time.thread_time(), self._open
        if mine.parts:
            with self._lock:
                self.seconds[mine.parts[-1]] += now - mine.since
        mine.since = now


def _differentiable(found: Any) -> Iterator[torch.Tensor]:
    """The tensors among a function's results that autograd will come to."""
    if isinstance(found, torch.Tensor):
        if found.requires_grad:
            yield found
    elif isinstance(found, Mapping):
        yield from (tensor for value in found.values() for tensor in _differentiable(value))
    elif isinstance(found, list | tuple):
        yield from (tensor for value in found for tensor in _differentiable(value))
    elif is_dataclass(found):
        yield from (tensor for field in fields(found) for tensor in _differentiable(getattr(found, field.name)))
