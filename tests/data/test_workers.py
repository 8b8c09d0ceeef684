"""Processes that decode: they end with the main one."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

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


def test_a_worker_leaves_signals_to_the_main_process(monkeypatch):
    begun, ends = [], []
    monkeypatch.setattr(workers.signal, "signal", lambda *given: begun.append(given))
    monkeypatch.setattr(workers, "end_with_parent", ends.append)
    for main in (None, SimpleNamespace(pid=None), SimpleNamespace(pid=77)):
        monkeypatch.setattr(workers.multiprocessing, "parent_process", lambda main=main: main)
        workers.begin(0)
    assert begun[:2] == [(signal.SIGINT, signal.SIG_IGN), (signal.SIGTERM, signal.SIG_IGN)]
    assert (len(begun), ends) == (6, [77])
    read = object()
    assert workers.as_it_is(read) is read
