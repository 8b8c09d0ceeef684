"""Processes that decode: they end with the main one, and by its signals alone."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from perceiver_pytorch.data import workers

SCRIPT = """
import multiprocessing, warnings
import numpy as np
from perceiver_pytorch.data.workers import in_workers

warnings.simplefilter("ignore")
found = in_workers(lambda rows: np.zeros(1 << 20), [np.arange(3)] * 100, 2)  # more than a pipe takes
next(found)
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
input()
"""


def runs(pid):
    """Whether a process is there, and not only its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux")
def test_workers_end_with_a_main_process_that_is_killed():
    main = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert main.stdin is not None
    assert main.stdout is not None
    with main.stdin, main.stdout:
        children = main.stdout.readline().split()
        assert len(children) == 2
        assert all(map(runs, children))
        main.kill()
        main.wait()
    deadline = time.monotonic() + 20
    while any(map(runs, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [int(pid) for pid in children if runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def test_portions_come_in_order_whoever_decoded_them(monkeypatch):
    closed = []
    monkeypatch.setattr(workers.decoder, "close", lambda: closed.append(1))
    portions = [np.arange(i, i + 2) for i in range(9)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking where there are threads
        found = list(workers.in_workers(lambda rows: (os.getpid(), rows.tolist()), portions, 2))
    assert [rows for _, rows in found] == [portion.tolist() for portion in portions]
    assert len({pid for pid, _ in found}) == 2
    assert os.getpid() not in {pid for pid, _ in found}
    assert closed == [1]
    assert workers.MAX_WORKERS == 8


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="the system does not tell who sent a signal")
def test_a_worker_leaves_signals_to_the_main_process_and_ends_when_that_says_so():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking where there are threads
        found = workers.in_workers(lambda rows: os.getpid(), [np.arange(3)] * 9, 1)
        pid = next(found)
    (worker,) = (child for child in multiprocessing.active_children() if child.pid == pid)
    subprocess.run(["kill", "-INT", str(pid)], check=True)
    subprocess.run(["kill", "-TERM", str(pid)], check=True)
    assert [next(found) for _ in range(4)] == [pid] * 4
    worker.join(0.2)
    assert worker.is_alive()
    worker.terminate()  # as Python does at its exit
    worker.join(20)
    assert worker.exitcode == 0
    found.close()


def test_what_is_read_stays_as_it_is():
    read = object()
    assert workers.as_it_is(read) is read
