"""A disk that fills up: what was saved stays whole, the message says so, and the run goes on once there is room."""

import errno
import os
import sys

import pytest
import torch

from kill_helpers import FORK, digest
from perceiver_pytorch._files import DiskFullError, write_text, write_whole
from perceiver_pytorch.training.run import checkpoints, history
from perceiver_pytorch.training.run import folder as run_folder
from perceiver_pytorch.training.table import run as table_run
from perceiver_pytorch.training.table.run import TableRun
from training_helpers import SILENT, fit, tiny_config, write_mixed_table


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def torch_full(*args, **kwargs):
    raise RuntimeError("[enforce fail at inline_container.cc:862] . PytorchStreamWriter failed writing file data/3: "
                       "file write failed: No space left on device")  # fmt: skip


def test_the_old_file_stays_whole(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def half(partial):
        partial.write_text("ne")
        full()

    with pytest.raises(DiskFullError, match=r"file\.txt cannot be written: the disk is full.*before is intact"):
        write_whole(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tiny_config(write_mixed_table(tmp_path_factory.mktemp("mixed")), epochs=2, checkpoint_every="1 steps")


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    run = TableRun.create(tmp_path_factory.mktemp("whole") / "run")
    fit(config, run, reporter=SILENT)
    return run


def failing_at(monkeypatch, owner, name, number, failure):
    original, calls = getattr(owner, name), iter(range(10**6))
    monkeypatch.setattr(owner, name, lambda *a, **k: (failure if next(calls) >= number else original)(*a, **k))


@pytest.mark.parametrize(
    ("owner", "name", "number", "failure"),
    [
        pytest.param(checkpoints.torch, "save", 0, torch_full, marks=pytest.mark.nightly),
        (checkpoints.torch, "save", 5, torch_full),
        pytest.param(history, "write_text", 1, full, marks=pytest.mark.nightly),
        pytest.param(table_run, "write_json", 1, full, marks=pytest.mark.nightly),
        pytest.param(run_folder, "write_json", 0, full, marks=pytest.mark.nightly),
        (TableRun, "write_model", 0, full),
    ],
)
def test_a_run_goes_on_once_there_is_room(config, whole, tmp_path, monkeypatch, owner, name, number, failure):
    run = TableRun.create(tmp_path / "run")
    with monkeypatch.context() as patch:
        failing_at(patch, owner, name, number, failure)
        with pytest.raises(DiskFullError, match=r"Free some space, then continue with: perceiver fit --resume .*run"):
            fit(config, run, reporter=SILENT)
    if run.last.exists():
        torch.load(run.last, weights_only=True)
    fit(run.config(), TableRun.open(run.path), resume=True, reporter=SILENT)
    assert digest(run) == digest(whole)
    assert not list(run.path.rglob(".*"))


def limited(config, path, num_bytes, failed):
    import resource
    import warnings

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    try:
        fit(config, TableRun.create(path), reporter=SILENT)
    except DiskFullError as error:
        failed.put(str(error))


@pytest.mark.skipif(sys.platform == "win32", reason="limits on files")
def test_the_systems_own_refusal_is_understood(config, whole, tmp_path):
    """No more than so many bytes go into a file, by the system: torch.save and its kin fail in their own ways."""
    failed = FORK.Queue()
    size = whole.last.stat().st_size
    process = FORK.Process(target=limited, args=(config, tmp_path / "run", size // 2, failed))
    process.start()
    process.join(60)
    assert "last.ckpt cannot be written" in failed.get(timeout=5)
    run = TableRun.open(tmp_path / "run")
    assert not run.last.exists()
    fit(run.config(), run, resume=True, reporter=SILENT)
    assert digest(run) == digest(whole)
