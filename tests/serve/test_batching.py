"""Rows of different requests are answered together, each gets its own answer, and none waits longer than it has to."""

import threading
import time
from concurrent.futures import Future, wait
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.serve.batching import Batcher, ClosedError


class Doubling:
    """Doubles numbers; keeps the batches. A negative number is an error, and waits may be asked for."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, rows):
        self.batches.append(list(rows))
        assert self.may_go.wait(10)
        if min(rows) < 0:
            raise ValueError(f"no answer to {min(rows)}")
        return [2 * row for row in rows]


def at_work(most: int) -> tuple[Doubling, Batcher, list[Future[Any]]]:
    """A batcher whose thread is held up by its first row."""
    work = Doubling()
    batcher = Batcher(work, most=most, wait=0.0)
    work.may_go.clear()
    first = batcher.submit([0])
    while not work.batches:
        time.sleep(0.001)
    return work, batcher, first


def test_rows_that_wait_are_answered_together_up_to_the_size_of_a_batch() -> None:
    work, batcher, first = at_work(most=3)
    others = [future for row in range(1, 6) for future in batcher.submit([row])]
    assert len(batcher) == 5
    work.may_go.set()
    assert [future.result(5) for future in first + others] == [0, 2, 4, 6, 8, 10]
    assert work.batches == [[0], [1, 2, 3], [4, 5]]
    batcher.close()


def test_a_row_waits_for_those_that_are_announced_and_for_no_others() -> None:
    work = Doubling()
    batcher = Batcher(work, most=8, wait=30.0)
    assert batcher.submit([1])[0].result(5) == 2, "nobody else was coming"
    with batcher.coming() as later:
        (one,) = batcher.submit([2])
        time.sleep(0.05)
        assert not one.done()
        (two,) = batcher.submit([3])
        later.came()
        assert [one.result(5), two.result(5)] == [4, 6]
    assert work.batches == [[1], [2, 3]]
    with batcher.coming():  # one that never comes
        (one,) = batcher.submit([4])
    assert one.result(5) == 8
    batcher.close()


def test_a_row_waits_no_longer_than_it_may() -> None:
    batcher = Batcher(Doubling(), most=8, wait=0.05)
    with batcher.coming():
        began = time.monotonic()
        assert batcher.submit([1])[0].result(5) == 2
        assert 0.04 < time.monotonic() - began < 2
    batcher.close()


def test_the_error_of_a_row_is_its_own() -> None:
    work = Doubling()
    batcher = Batcher(work, most=8, wait=0.0)
    futures = batcher.submit([1, -2, 3])
    wait(futures, 5)
    assert [futures[0].result(), futures[2].result()] == [2, 6]
    with pytest.raises(ValueError, match="no answer to -2"):
        futures[1].result()
    batcher.close()


def test_a_cancelled_row_is_not_computed() -> None:
    work = Doubling()
    batcher = Batcher(work, most=1, wait=0.0)
    work.may_go.clear()
    batcher.submit([1])
    while not work.batches:
        time.sleep(0.001)
    two, three = batcher.submit([2, 3])
    assert two.cancel()
    work.may_go.set()
    assert three.result(5) == 6
    assert work.batches == [[1], [3]]
    batcher.close()


def test_what_waits_when_it_closes_is_answered_and_nothing_more_is_taken() -> None:
    work = Doubling()
    batcher = Batcher(work, most=2, wait=30.0)
    with batcher.coming():
        futures = batcher.submit([1, 2]) + batcher.submit([3])
        batcher.close()
    assert [future.result(0) for future in futures] == [2, 4, 6]
    with pytest.raises(ClosedError):
        batcher.submit([4])


def test_batches_are_measured() -> None:
    seen: list[tuple[int, float]] = []
    batcher = Batcher(Doubling(), most=8, wait=0.0, measured=lambda rows, seconds: seen.append((rows, seconds)))
    wait(batcher.submit([1, 2, 3]), 5)
    batcher.close()
    assert sum(rows for rows, _ in seen) == 3
    assert all(seconds >= 0 for _, seconds in seen)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(0, 100), max_size=5), max_size=12), st.integers(1, 8))
def test_every_row_gets_its_own_answer_whoever_it_is_with(requests: list[list[int]], most: int) -> None:
    work = Doubling()
    batcher = Batcher(work, most=most, wait=0.001)
    futures = [batcher.submit(rows) for rows in requests]
    assert [[future.result(5) for future in found] for found in futures] == [[2 * row for row in r] for r in requests]
    batcher.close()
    assert all(1 <= len(batch) <= most for batch in work.batches)


def test_other_work_is_done_alone_between_two_batches() -> None:
    work, batcher, first = at_work(most=8)
    names = []
    before = batcher.submit([1, 2])
    other = batcher.call(lambda: names.append(threading.current_thread().name) or "done")
    after = batcher.submit([3])
    failing = batcher.call(lambda: 1 / 0)
    work.may_go.set()
    assert other.result(5) == "done"
    assert [future.result(5) for future in (*first, *before, *after)] == [0, 2, 4, 6]
    assert work.batches == [[0], [1, 2], [3]]
    assert names == ["batches"]
    with pytest.raises(ZeroDivisionError):
        failing.result(5)
    batcher.close()
