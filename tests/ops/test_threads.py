"""Several threads on one piece of work."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from perceiver_pytorch.ops import threads


@pytest.fixture(params=["openmp", "pool", "one thread"])
def num_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif request.param == "openmp" and threads._openmp() is None:
        pytest.skip("this PyTorch brings no GNU OpenMP along")
    torch.set_num_threads(1 if request.param == "one thread" else 3)
    yield torch.get_num_threads()
    torch.set_num_threads(1)


def test_every_thread_is_called_and_waited_for(num_threads: int) -> None:
    seen: list[int] = []

    def loop(counter: np.ndarray, seconds: float) -> None:
        time.sleep(seconds)
        seen.append(threading.get_ident())

    threads.run(loop, 0.1, num_parts=10)
    assert len(set(seen)) == len(seen) == num_threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_threads_of_its_own() -> None:
    program = """
import os, signal, torch
from perceiver_pytorch.ops import threads
torch.set_num_threads(2)
work = lambda counter: None
threads.run(work, num_parts=2)
child = os.fork()
if not child:
    signal.alarm(20)
    threads.run(work, num_parts=2)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)


def test_there_are_no_more_threads_than_parts(num_threads: int) -> None:
    seen: list[int] = []
    threads.run(lambda counter: (time.sleep(0.05), seen.append(1)), num_parts=2)
    assert len(seen) == min(2, num_threads)


@pytest.mark.usefixtures("num_threads")
def test_results_are_in_the_order_of_the_items() -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i == 0 else 0)
        return i * i

    assert threads.in_order(slow_first, range(20)) == [i * i for i in range(20)]
    assert threads.in_order(slow_first, []) == []


@pytest.mark.skipif(threads._openmp() is None, reason="this PyTorch brings no GNU OpenMP along")
def test_python_runs_in_four_threads_at_most() -> None:
    def who(seconds: float) -> int:
        time.sleep(seconds)
        return threading.get_ident()

    torch.set_num_threads(6)
    try:
        for items, expected in ((3, 3), (12, 4)):
            assert len(set(threads.in_order(who, [0.05] * items))) == expected
    finally:
        torch.set_num_threads(1)


@pytest.mark.usefixtures("num_threads")
def test_errors_come_back(num_threads: int) -> None:
    def fail(*arguments: object) -> None:
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        threads.run(fail, num_parts=4)
    with pytest.raises(ValueError, match="of the work"):
        threads.in_order(fail, range(5))


@pytest.mark.usefixtures("num_threads")
def test_nothing_is_recorded_for_gradients() -> None:
    x = torch.ones(3, requires_grad=True)
    assert not any(y.requires_grad for y in threads.in_order(lambda i: x * i, range(4)))


def test_alone_keeps_operations_in_their_thread_but_not_loops(num_threads: int) -> None:
    seen: list[int] = []
    with threads.single_threaded():
        within = torch.get_num_threads()
        with threads.single_threaded():
            threads.run(lambda counter: (time.sleep(0.05), seen.append(1)), num_parts=10)
        assert torch.get_num_threads() == within
        with threads.all_threads():
            assert torch.get_num_threads() == num_threads
        assert torch.get_num_threads() == within
    assert len(seen) == num_threads
    assert torch.get_num_threads() == num_threads
    if threads._openmp() is not None:
        assert within == 1


def test_alone_concerns_small_work_and_ends_with_an_error(num_threads: int) -> None:
    assert threads.SMALL == 4_194_304
    with threads.single_threaded(threads.SMALL):
        assert torch.get_num_threads() == (1 if threads._openmp() is not None else num_threads)
    with threads.single_threaded(threads.SMALL + 1):
        assert torch.get_num_threads() == num_threads
    with pytest.raises(RuntimeError, match="broken"), threads.single_threaded():
        raise RuntimeError("broken")
    assert torch.get_num_threads() == num_threads


def test_alone_concerns_no_other_thread(num_threads: int) -> None:
    seen: list[int] = []
    with threads.single_threaded():
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert seen == [num_threads]


@pytest.mark.parametrize("room", [1, 16, 1000])
def test_memory_begins_with_a_line_of_the_cache(room):
    memory = threads.memory(room)
    assert memory.shape == (room,)
    assert memory.dtype == np.float32
    assert memory.flags.writeable
    assert memory.ctypes.data % 64 == 0


def test_each_thread_has_memory_of_its_own():
    seen = []
    threads.run(lambda counter, memory: (time.sleep(0.05), seen.append(memory)), num_parts=2, room=8)
    assert len(seen) == min(2, torch.get_num_threads())
    assert len({memory.ctypes.data for memory in seen}) == len(seen)


@pytest.mark.skipif(threads._openmp() is None, reason="this PyTorch brings no GNU OpenMP along")
def test_a_thread_of_our_own_keeps_to_a_number() -> None:
    def work(number: int, left_over: int = 0) -> list[int]:
        threads._single_threaded.before = left_over
        threads.keep_to(number)
        with threads.single_threaded():
            within = torch.get_num_threads()
        return [within, torch.get_num_threads()]

    torch.set_num_threads(1)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work, 3).result() == [1, 3]
        assert pool.submit(work, 2, left_over=3).result() == [1, 2]
    assert torch.get_num_threads() == 1
