"""Rows of different requests go through the model together, in a thread of its own."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Row = TypeVar("Row")
Answer = TypeVar("Answer")


class ClosedError(RuntimeError):
    """Rows are no longer taken."""


class Coming:
    """Rows that are announced: `came` says that they are there."""

    def __init__(self, announce: Callable[[int], None]) -> None:
        self._announce: Callable[[int], None] | None = announce

    def came(self) -> None:
        """No row has to wait for these any longer."""
        announce, self._announce = self._announce, None
        if announce is not None:
            announce(-1)


@dataclass(eq=False)
class _Waiting(Generic[Row, Answer]):
    """A row, when it came, and who waits for its answer; or work of another kind, which is done alone."""

    row: Row
    alone: Callable[[], Any] | None = None
    future: "Future[Answer]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Batcher(Generic[Row, Answer]):
    """Answers rows in batches.

    A row waits for others up to ``wait`` seconds, and no longer than any can come: where every row that was announced
    is there, it goes at once. A batch that fails is answered row by row, so that one row's error is that row's alone.

    Args:
        answer: gives an answer per row; called in one thread.
        most: rows of a batch.
        wait: seconds.
        measured: called with (rows, seconds) of every batch.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Row]], Sequence[Answer]],
        *,
        most: int,
        wait: float,
        measured: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        self._answer, self._most, self._wait, self._measured = answer, most, wait, measured
        self._queue: deque[_Waiting[Row, Answer]] = deque()
        self._changed = threading.Condition()
        self._announced = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Rows that wait."""
        return len(self._queue)

    @contextmanager
    def coming(self) -> "Iterator[Coming]":
        """Announces rows: until they have come, or the context ends, others wait for them."""
        coming = Coming(self._announce)
        self._announce(1)
        try:
            yield coming
        finally:
            coming.came()

    def _announce(self, count: int) -> None:
        with self._changed:
            self._announced += count
            self._changed.notify()

    def submit(self, rows: Sequence[Row]) -> "list[Future[Answer]]":
        """Take rows; each future gets its answer or its error, and may be cancelled until its batch begins.

        Raises:
            ClosedError: after `close`.
        """
        waiting: list[_Waiting[Row, Answer]] = [_Waiting(row) for row in rows]
        self._append(waiting)
        return [each.future for each in waiting]

    def _append(self, waiting: "Sequence[_Waiting[Row, Answer]]") -> None:
        with self._changed:
            if self._closed:
                raise ClosedError("the server is ending")
            self._queue.extend(waiting)
            self._changed.notify()

    def call(self, work: Callable[[], Any]) -> "Future[Any]":
        """Do something else in the thread of the batches, between two of them; what it gives.

        Raises:
            ClosedError: after `close`.
        """
        waiting: _Waiting[Any, Any] = _Waiting(None, work)
        self._append([waiting])
        return waiting.future

    def close(self) -> None:
        """Answer what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            began = time.monotonic()
            if batch[0].alone is not None:
                _do(batch[0].future, batch[0].alone)
                continue
            self._run(batch)
            self._measured(len(batch), time.monotonic() - began)

    def _next(self) -> "list[_Waiting[Row, Answer]]":
        """The rows of the next batch; none at the end."""
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                while self._queue and (left := self._left()) > 0:
                    self._changed.wait(left)
                taken = self._taken()
                ended = self._closed and not taken
            batch = [each for each in taken if each.future.set_running_or_notify_cancel()]
            if batch or ended:
                return batch

    def _taken(self) -> "list[_Waiting[Row, Answer]]":
        """The first rows of the queue, or the first other work."""
        taken: list[_Waiting[Row, Answer]] = []
        while self._queue and len(taken) < self._most and not (taken and self._queue[0].alone):
            taken.append(self._queue.popleft())
            if taken[-1].alone:
                break
        return taken

    def _left(self) -> float:
        """Seconds that the first row may still wait for others."""
        if self._queue[0].alone is not None or self._closed or len(self._queue) >= self._most or self._announced <= 0:
            return 0.0
        return self._queue[0].since + self._wait - time.monotonic()

    def _run(self, batch: "Sequence[_Waiting[Row, Answer]]") -> None:
        try:
            answers = self._answer([each.row for each in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for each in batch:
                self._run([each])
            return
        for each, answer in zip(batch, answers, strict=True):
            each.future.set_result(answer)


def _do(future: "Future[Any]", work: Callable[[], Any]) -> None:
    """Gives a future what work gives, or its error."""
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
