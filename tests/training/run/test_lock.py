"""One holder at a time; `test_kill.py` has two processes."""

import json
import os

import pytest

from perceiver_pytorch.training.run.lock import is_held, locked


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
