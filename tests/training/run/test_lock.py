"""One holder at a time; `test_kill.py` has two processes."""

import json
import os
import subprocess
import sys

import pytest

from perceiver_pytorch.training.run import lock
from perceiver_pytorch.training.run.lock import is_held, is_locked, locked


def test_within_a_process_a_lock_is_held_once(tmp_path):
    path = tmp_path / ".lock"
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
        with pytest.raises(ValueError, match="is already being trained in this process"), locked(path):
            pass
        assert path.exists()
    assert not path.exists()
    with locked(path):
        pass


def test_an_error_releases_it(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / ".lock"):
        raise KeyError
    with locked(tmp_path / ".lock"):
        pass


def test_a_file_left_behind_is_not_in_the_way(tmp_path):
    (tmp_path / ".lock").write_text("anything")
    with locked(tmp_path / ".lock"):
        pass


def test_the_lock_of_whoever_came_after_is_left_alone(tmp_path):
    path = tmp_path / ".lock"
    with locked(path):
        assert is_held(path)
        path.rename(tmp_path / "gone")
        assert not is_held(path)
        path.write_text("another process")
        assert not is_held(path)
    assert path.read_text() == "another process"
    assert not is_held(path)


def test_a_lock_whose_folder_was_removed_is_let_go(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with locked(folder / ".lock"):
        (folder / ".lock").unlink()
        folder.rmdir()
    assert not folder.exists()


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a+")
fcntl.lockf(file, fcntl.LOCK_EX)
file.write(sys.argv[2])
file.flush()
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(lock.fcntl is None, reason="no such locks")
@pytest.mark.parametrize(
    ("content", "holder"),
    [
        ('{"pid": 12, "host": "ship"}', "process 12 on ship"),
        ('{"pid": "x", "host": "ship"}', "another process"),
        ('{"pid": 12}', "another process"),
        ("[]", "another process"),
        ("", "another process"),
    ],
)
def test_whoever_holds_it_is_named(tmp_path, content, holder):
    path = tmp_path / "run" / ".lock"
    path.parent.mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path), content], stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            with pytest.raises(ValueError, match=f"run is being trained by {holder}; wait for it or stop it, or give"):
                locked(path).__enter__()
            assert path.read_text() == content
        finally:
            process.kill()
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.skipif(lock.fcntl is None, reason="no such locks")
def test_a_file_that_was_removed_while_it_was_locked_is_made_anew(tmp_path, monkeypatch):
    path, original, seen = tmp_path / ".lock", lock._is_at, []

    def is_at(path, file):
        if not seen:  # whoever had it removes it just now
            path.unlink()
        seen.append(original(path, file))
        return seen[-1]

    monkeypatch.setattr(lock, "_is_at", is_at)
    with locked(path):
        assert is_held(path)
    assert seen[:2] == [False, True]


def test_without_the_systems_locks_the_file_is_there_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    path, closed = tmp_path / ".lock", []
    unlink = type(path).unlink
    monkeypatch.setattr(type(path), "unlink", lambda self: (closed.append(lock._held[self].closed), unlink(self)))
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert closed == [True]  # Windows removes no open file
    assert not path.exists()


@pytest.mark.skipif(lock.fcntl is None, reason="there are no such locks")
def test_whether_a_run_is_in_training_can_be_asked_without_a_trace(tmp_path):
    path = tmp_path / ".lock"
    assert not is_locked(path)
    path.write_text("left behind")
    assert not is_locked(path)
    with locked(path):
        assert is_locked(path)
        asking = (
            f"from pathlib import Path\nfrom {lock.__name__} import is_locked\nprint(is_locked(Path({str(path)!r})))"
        )
        found = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=True)
        assert found.stdout == "True\n"
        assert is_held(path)
    assert not path.exists()
