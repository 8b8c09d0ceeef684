import os
import signal
import sys

import numpy as np
import pytest

from perceiver_pytorch._processes import DecodingMemoryError, worded_deaths
from perceiver_pytorch.data.workers import in_workers


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            "DataLoader worker (pid 12) is killed by signal: Killed. ",
            r"\(pid 12\) was killed \(signal 9, Killed\), .* memory runs out: use fewer of them \(--workers 1, or 0",
        ),
        ("DataLoader worker (pid 12) is killed by signal: Bus error. It is", r"\(signal 7, Bus error\), .*/dev/shm"),
        (
            "DataLoader worker (pid 12) is killed by signal: Segmentation fault. ",
            r"\(signal 11, .*a damaged file can do",
        ),
        (
            "DataLoader worker (pid(s) 12, 13) exited unexpectedly",
            r"\(pid 12, 13\) ended, .*--workers 1\)\. So there\.",
        ),
    ],
)
def test_a_killed_process_is_told_with_its_signal_and_what_to_do(told, message):
    with pytest.raises(ChildProcessError, match=message), worded_deaths("So there."):
        raise RuntimeError(told)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes differ"), worded_deaths():
        raise RuntimeError("shapes differ")


def run_out(rows):
    raise DecodingMemoryError.at("row 3, column 'x'", "no room")


def test_missing_memory_within_a_process_is_told_without_a_traceback():
    words = r"^there is too little memory .*\(no room\).* Go on\.$"
    with pytest.raises(DecodingMemoryError, match=words) as told, worded_deaths("Go on."):
        list(in_workers(run_out, [np.arange(3)] * 2, 1))
    assert "Traceback" not in str(told.value)


def die(rows):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def impatient(monkeypatch):
    """PyTorch looks more often than every five seconds whether its processes live."""
    from torch.utils.data import _utils, dataloader

    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
    monkeypatch.setattr(dataloader._MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))


@pytest.mark.usefixtures("impatient")
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_process_that_is_killed_while_it_decodes_is_told():
    with pytest.raises(ChildProcessError, match=r"was killed \(signal 9, Killed\)"), worded_deaths():
        list(in_workers(die, [np.arange(3)] * 2, 1))


@pytest.mark.usefixtures("impatient")
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_signal_is_told_where_pytorch_finds_the_process_dead_first(monkeypatch):
    """PyTorch's handler of SIGCHLD loses that race now and then."""
    monkeypatch.setattr("torch.utils.data._utils.signal_handling._SIGCHLD_handler_set", True)
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        with pytest.raises(ChildProcessError, match=r"was killed \(signal 9, Killed\)") as told, worded_deaths():
            list(in_workers(die, [np.arange(3)] * 2, 1))
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert "exited unexpectedly" in str(told.value.__cause__)
