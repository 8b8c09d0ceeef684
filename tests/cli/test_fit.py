"""``perceiver fit`` as a user has it: its output, exit code and files; in this process, where no signal is needed."""

import multiprocessing
import shutil
import signal
import subprocess
import sys
import time

import pytest

from cli_helpers import SETTINGS, perceiver


def test_a_run_that_was_interrupted_goes_on(folder):
    command = [sys.executable, "-c", "from perceiver_pytorch.cli import main; main()", "fit", "mixed.csv",
               "--target=label", "--epochs=400", "--run=stopped", "--set=training.validate_every=0",
               *SETTINGS]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 90
    while not (folder / "stopped/checkpoints/best.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "perceiver fit --resume stopped" in output
    assert not (folder / "stopped/metrics.json").exists()
    done = perceiver("fit", "--resume=stopped", "--time-limit=0.1s", cwd=folder)
    assert "time limit" in done.stdout
    assert (folder / "stopped/report.html").exists()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit"], "which table?"),
        (["fit", "nowhere.csv", "--target=x"], "nowhere.csv"),
        (["fit", "mixed.csv"], "which column is to be predicted"),
        (["fit", "mixed.csv", "--target=lable"], "did you mean 'label'"),
        (["fit", "mixed.csv", "--target=label", "--column=pictur=image"], "pictur"),
        (["fit", "mixed.csv", "--target=label", "--column=picture=photo"], "photo"),
        (["fit", "mixed.csv", "--target=label", "--column=picture"], "--column must be NAME=KIND, got 'picture'"),
        (["fit", "mixed.csv", "--target=label", "--preset=huge"], "preset must be one of 'auto', 'tiny', 'small'"),
        (["fit", "mixed.csv", "--target=label", "--set=model.dept=3"], "did you mean 'depth'"),
        (["fit", "mixed.csv", "--target=label", "--time-limit=soon"], "--time-limit must be a duration"),
        (["fit", "mixed.csv", "--target=size"], "the target 'size' is missing"),
        (["fit", "mixed.csv", "--target=label,plaec"], "did you mean 'place'"),
        (["fit", "mixed.csv", "--target=label", "--target-kind=label=sort"], "unknown kind 'sort'"),
        (["fit", "mixed.csv", "--target=label", "--target-kind=label=number"], "no number in the train rows"),
        (["fit", "mixed.csv", "--target=label", "--task-weight=label=much"], "--task-weight must be NAME=WEIGHT"),
        (["fit", "mixed.csv", "--target=label", "--class-weights=some"], "class_weights must be one of"),
        (["fit", "--resume=nothing"], "nothing is not a run folder"),
        (["evaluate", "nothing", "mixed.csv"], "nothing is not a run folder"),
        (["fit", "digitz"], "digits"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_leaves_nothing(folder, arguments, message):
    done = perceiver(*arguments, cwd=folder, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(folder.glob("runs/*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs=9"], "leave out training.epochs=9 (it has 2), which would give another model"),
        (["--set=model.depth=3", "--workers=1"], "leave out model.depth=3 (it has 1), which would give another model"),
        (["--preset=small"], "model.depth=3 (it has 1)"),
        (["--column=note=ignore"], "data.columns={'note': 'ignore'} (it has {})"),
        (["--on-error=skip"], "data.on_error='skip' (it has 'raise')"),
        (["--epochs=9"], "What can change: data.table, data.table_mb (--table-mb), data.allow_outside"),
        (
            ["--epochs=9"],
            "training.num_workers (--workers), and the time",
        ),
        (["--workers=-1"], "num_workers"),
    ],
)
def test_resume_keeps_what_the_weights_depend_on(folder, run, options, message):
    done = perceiver("fit", "--resume=first", *options, cwd=folder, check=False)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_run_goes_on_from_another_directory(folder, run, tmp_path):
    assert "training is complete" in perceiver("fit", f"--resume={run}", cwd=tmp_path).stdout
    shutil.copytree(run, tmp_path / "moved")
    done = perceiver("fit", "--resume=moved", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "say where the table is: perceiver fit TABLE --resume moved" in done.stderr
    assert "training is complete" in perceiver("fit", folder / "mixed.csv", "--resume=moved", cwd=tmp_path).stdout


def test_resume_needs_a_folder(folder):
    done = perceiver("fit", "--resume", cwd=folder, check=False)
    assert done.returncode == 2
    assert "needs the folder" in done.stderr


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.nightly)])
def test_workers_and_the_like_may_change_when_a_run_goes_on(folder, run, workers):
    halted = f"halted-{workers}"
    shutil.copytree(folder / "first", folder / halted)
    shutil.rmtree(folder / halted / "checkpoints")
    (folder / halted / "model.safetensors").unlink()
    options = [f"--workers={workers}", "--checkpoint-every=1 steps", "--set=data.cache_mb=0", "--time-limit=1h"]
    perceiver("fit", f"--resume={halted}", *options, cwd=folder)
    assert (folder / halted / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_the_cache_decides_which_rows_are_bad_before_training_where_they_are_skipped(folder):
    options = ["--target=label", "--epochs=1", "--on-error=skip", "--run=skipping", *SETTINGS]
    perceiver("fit", "mixed.csv", *options, cwd=folder)
    done = perceiver("fit", "--resume=skipping", "--set=data.cache_mb=0", cwd=folder, check=False)
    assert done.returncode == 2
    assert "leave out data.cache_mb=0 (it has 2048)" in done.stderr


def test_a_run_goes_on_by_the_command_that_began_it(folder):
    command = ["fit", "mixed.csv", "--target=label", "--epochs=2", "--run=again", *SETTINGS]
    perceiver(*command, cwd=folder)
    weights = (folder / "again/model.safetensors").read_bytes()
    done = perceiver(*command, "--resume", cwd=folder)  # nothing is left to train; it is measured again
    assert "training is complete" in done.stdout
    assert "label: accuracy" in done.stdout
    assert (folder / "again/model.safetensors").read_bytes() == weights


def test_a_bad_row_leaves_no_run_behind(folder):
    (folder / "bad.csv").write_text("picture,label,split\n0.png,a,train\nnowhere.png,b,train\n0.png,b,val\n")
    for _ in range(2):  # the same call again fails for the same reason, not for a folder in its way
        done = perceiver("fit", "bad.csv", "--target=label", "--run=bad", *SETTINGS, cwd=folder, check=False)
        assert done.returncode == 2
        assert "row 1" in done.stderr
        assert "nowhere.png" in done.stderr
        assert not (folder / "bad").exists()


def test_any_column_names_will_do(folder):
    lines = ["my picture,x.y,type,label"]
    lines += [f"{i}.png,{i / 7:.2f},{'ab'[i % 2]},{'cd'[i % 3 % 2]}" for i in range(40)]
    (folder / "odd names.csv").write_text("\n".join(lines))
    options = ["--target=label", "--epochs=1", "--column=x.y=category", *SETTINGS]
    perceiver("fit", "odd names.csv", *options, "--run=odd names", cwd=folder)
    perceiver("predict", "odd names", "odd names.csv", "-o", "odd.csv", cwd=folder)
    assert "x.y: category" in (folder / "odd names/config.yaml").read_text()
