"""Processes that are started together, and end together."""

import os
import signal
import sys
import threading

import pytest

from perceiver_pytorch.training.run import launching
from perceiver_pytorch.training.run.launching import GONE, environments, run_ranks

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
WAIT = "import os, signal, sys, time; rank = os.environ['RANK']; "


def run(code, world=3):
    return run_ranks([sys.executable, "-c", WAIT + code], environments(world, 1))


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(launching, "_GRACE", 0.3)
    monkeypatch.setattr(launching, "_LAST", 0.3)


def test_each_has_its_number():
    found = environments(2, 1)
    assert [each["RANK"] for each in found] == [each["LOCAL_RANK"] for each in found] == ["0", "1"]
    assert {each["WORLD_SIZE"] for each in found} == {"2"}
    assert found[0]["MASTER_PORT"] == found[1]["MASTER_PORT"]


def test_several_machines_have_to_say_where_they_find_each_other():
    with pytest.raises(ValueError, match=r"--nodes 2 needs MASTER_ADDR, MASTER_PORT, NODE_RANK in the environment"):
        environments(2, 2, {})
    there = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "NODE_RANK": "1"}
    found = environments(2, 2, there)
    assert [each["RANK"] for each in found] == ["2", "3"]
    assert {(each["WORLD_SIZE"], each["MASTER_ADDR"]) for each in found} == {("4", "10.0.0.1")}


def test_the_code_is_that_of_the_first_rank():
    assert run("sys.exit(0)") == (0, None)
    assert run("sys.exit(130)") == (130, None)


def test_a_killed_rank_ends_the_others():
    code, failure = run("os.kill(os.getpid(), 9) if rank == '1' else time.sleep(60)")
    assert code == 2
    assert f"rank 1 (process {failure.pid}) was killed by signal 9, SIGKILL" == str(failure)


def test_the_others_fail_because_of_the_first_that_did():
    code, failure = run(f"rank == '2' and (print('no row 7', file=sys.stderr), sys.exit(3)); sys.exit({GONE})")
    assert (code, failure.rank, failure.told) == (3, 2, "no row 7")


def test_the_first_rank_speaks_for_itself(capfd):
    assert run("rank == '0' and (print('bad table', file=sys.stderr), sys.exit(2)); time.sleep(60)") == (2, None)
    assert capfd.readouterr().err == "bad table\n"


def test_ctrl_c_goes_on_to_all(capfd):
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    asked = "signal.signal(signal.SIGINT, lambda *_: (print('asked', flush=True), sys.exit(130))); time.sleep(60)"
    assert run(asked) == (130, None)
    assert capfd.readouterr().out == "asked\n"
