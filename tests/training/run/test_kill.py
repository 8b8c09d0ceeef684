"""kill -9 at any moment: what is resumed ends with the bytes of the run that nobody killed."""

import contextlib
import random
import signal
import subprocess
import sys
import time
import warnings

import pytest

from kill_helpers import FORK, at_call, at_step, attempt, check_equal, child, killed
from perceiver_pytorch import _files as files
from perceiver_pytorch.data import TableDataset
from perceiver_pytorch.report import page
from perceiver_pytorch.training.run import checkpoints
from perceiver_pytorch.training.run import folder as run_folder
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.table import task
from perceiver_pytorch.training.table.run import TableRun
from training_helpers import SILENT, fit, tiny_config, write_mixed_table

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """Configurations by their number of workers: rounds of 5 steps, of which 4 are a pass. The patience ends training
    early."""
    table = write_mixed_table(tmp_path_factory.mktemp("mixed"))
    return {
        workers: tiny_config(
            table,
            steps=60,
            epochs=None,
            validate_every=5,
            patience=3,
            lr=1e-2,
            seed=1,
            checkpoint_every="2 steps",
            num_workers=workers,
        )
        for workers in (0, 2)
    }


@pytest.fixture(scope="module")
def timed(configs, tmp_path_factory):
    """A run that nobody kills, and the seconds that it takes."""
    run, began = TableRun.create(tmp_path_factory.mktemp("whole") / "run"), time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(configs[0], run, reporter=SILENT)
    history = read_history(run.history_file)
    best = max(history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))["round"]
    assert 1 < best < len(history) < 12  # so that a wrong choice of the best epoch, or of the last one, shows
    return run, time.monotonic() - began


@pytest.fixture(scope="module")
def whole(timed):
    return timed[0]


@pytest.fixture(scope="module")
def longest(timed):
    """Seconds after which a run is killed at the latest: some of them come to their end."""
    return 1.5 * timed[1]


# The moments, each prepared in the child.


def in_a_half_written_checkpoint(number):
    def half(checkpoint, file):
        file.write(b"PK\3\4 half of a checkpoint")
        killed()

    at_call(checkpoints.torch, "save", number, half)


def between_last_and_best(number):
    at_call(checkpoints, "copy_whole", number)


def before_a_rename(number):
    at_call(files.os, "replace", number)


def while_decoding(argument):
    at_call(TableDataset, "prepare", 1)


def with_config_and_no_spec(argument):
    at_call(TableRun, "write_spec", 0)


def while_measuring(number):
    at_call(task.evaluation, "answers", number)


def between_config_and_weights(argument):
    at_call(run_folder, "write_whole", 1)


def while_reporting(argument):
    at_call(page, "write_text", 0)


MOMENTS = [
    (at_step, 8),
    (in_a_half_written_checkpoint, 3),
    (between_last_and_best, 1),
    (while_measuring, 0),
    (at_step, 0),
    (at_step, 1),
    (with_config_and_no_spec, None),
    (between_config_and_weights, None),
    (at_step, 6),
    (in_a_half_written_checkpoint, 0),
    (between_last_and_best, 0),
    (while_decoding, None),
    (while_reporting, None),
]


def test_killed_at_one_moment_after_another(configs, whole, tmp_path):
    """One run: what goes on after the last time is what was saved before each."""
    path = tmp_path / "run"
    for prepare, argument in ((at_step, 8), (in_a_half_written_checkpoint, 3), (between_last_and_best, 1)):
        assert not attempt(configs[0], path, prepare, argument)
    assert attempt(configs[0], path)
    check_equal(TableRun.open(path), whole)


@pytest.mark.nightly
@pytest.mark.parametrize(("prepare", "argument"), MOMENTS)
def test_killed_at_a_moment(configs, whole, tmp_path, prepare, argument):
    path = tmp_path / "run"
    assert not attempt(configs[0], path, prepare, argument)
    assert attempt(configs[0], path)
    check_equal(TableRun.open(path), whole)


@pytest.mark.nightly
def test_killed_at_every_rename_of_a_run(configs, whole, tmp_path):
    """One run, killed again and again: a rename is the last thing that its process was about to do. The tenth at first,
    later ones from time to time, or the end would never be reached."""
    path = tmp_path / "run"
    for i in range(40):
        if attempt(configs[0], path, before_a_rename, 9 + i):
            break
    check_equal(TableRun.open(path), whole)


@pytest.mark.nightly
def test_killed_with_workers(configs, whole, tmp_path):
    path = tmp_path / "run"
    for steps in (7, 4):
        assert not attempt(configs[2], path, at_step, steps)
    assert attempt(configs[2], path)
    check_equal(TableRun.open(path), whole)


def at_a_time(seconds):
    signal.signal(signal.SIGALRM, killed)
    signal.setitimer(signal.ITIMER_REAL, seconds)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_times(configs, whole, longest, tmp_path, seed):
    path, chance = tmp_path / "run", random.Random(seed)
    while not attempt(configs[0], path, at_a_time, chance.uniform(0.05, longest)):
        pass
    check_equal(TableRun.open(path), whole)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_many_random_times(configs, whole, longest, tmp_path, seed, workers):
    path, chance = tmp_path / "run", random.Random(1000 + seed)
    while not attempt(configs[workers], path, at_a_time, chance.uniform(0.01, longest)):
        pass
    check_equal(TableRun.open(path), whole)


@pytest.mark.nightly
def test_the_command_is_killed_at_random_times(configs, whole, tmp_path):
    """The same by the command, in a process of its own."""
    run, chance = tmp_path / "run", random.Random(5)
    config = tmp_path / "config.yaml"
    config.write_text((whole.path / "config.yaml").read_text())
    start = [sys.executable, "-c", "from perceiver_pytorch.cli import main; main()", "fit"]
    for _ in range(30):
        begun = (run / "config.yaml").is_file()
        arguments = ["--resume", str(run)] if begun else ["--config", str(config), "--run", str(run)]
        process = subprocess.Popen([*start, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            _, error = process.communicate(timeout=chance.uniform(4, 20))
            assert process.returncode == 0, error
            break
        process.kill()
        process.communicate()
    check_equal(TableRun.open(run), whole)


def test_the_second_process_is_refused_and_a_dead_ones_lock_is_not_in_the_way(configs, tmp_path):
    path = tmp_path / "run"
    first = FORK.Process(
        target=child, args=(configs[0], path, lambda _: at_call(task.evaluation, "measure", 0, wait), 0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        first.start()
    deadline = time.monotonic() + 60
    while not (path / "checkpoints/last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(ValueError, match=rf"{path} is being trained by process {first.pid} on .*; wait for it"):
        fit(configs[0], TableRun.open(path), resume=True, reporter=SILENT)
    first.kill()
    first.join()
    assert (path / ".lock").is_file()
    with TableRun.open(path).writing():
        pass
    assert not (path / ".lock").exists()


def wait(*args, **kwargs):
    time.sleep(60)
