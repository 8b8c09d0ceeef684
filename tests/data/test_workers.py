"""Processes that decode: they end with the main one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
        workers = main.stdout.readline().split()
        assert len(workers) == 2
        assert all(map(runs, workers))
        main.kill()
        main.wait()
    deadline = time.monotonic() + 20
    while any(map(runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [int(pid) for pid in workers if runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
