"""The command as a user has it: its output, its exit code, its files; in this process, where no signal is needed."""

import csv
import datetime
import json
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata

import pytest

from cli_helpers import SETTINGS, perceiver
from training_helpers import write_mixed_table, write_targets_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    write_mixed_table(folder)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    done = perceiver("fit", "mixed.csv", "--target=label", "--epochs=2", "--run=first", *SETTINGS, cwd=folder)
    assert "measured on test rows:\nlabel: accuracy" in done.stdout
    assert "report: first/report.html" in done.stdout
    return folder / "first"


def test_evaluate_repeats_what_training_measured(folder, run):
    done = perceiver("evaluate", "first", "mixed.csv", "-o", "metrics.json", cwd=folder)
    measured = json.loads((folder / "metrics.json").read_text())
    trained = json.loads((run / "metrics.json").read_text())
    assert measured["confusion"] == trained["confusion"]
    assert measured["combinations"] == trained["combinations"]
    assert "8 rows of mixed.csv (test)" in done.stdout


def test_predict_gives_probabilities_of_every_row(folder, run):
    perceiver("predict", "first", "mixed.csv", "-o", "out.csv", cwd=folder)
    with (folder / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(48))
    for row in rows:
        shares = {"dark": float(row["p_dark"]), "light": float(row["p_light"])}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == max(shares, key=shares.get)


def test_predict_and_evaluate_several_targets(folder):
    write_targets_table(folder)
    options = ["--target=weight,side", "--target=tags", "--task-weight=tags=2", "--epochs=1", *SETTINGS]
    done = perceiver("fit", "targets.csv", *options, "--run=several", cwd=folder)
    for name in ("side: accuracy", "tags: mAP", "weight: MAE"):
        assert name in done.stdout
    perceiver("predict", "several", "targets.csv", "-o", "several.csv", cwd=folder)
    with (folder / "several.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ["row", "weight_prediction", "side_prediction", "side_p_left", "side_p_right", "tags_prediction",
             "tags_p_high", "tags_p_odd", "tags_p_wide"]  # fmt: skip
    assert list(rows[0]) == names
    for row in rows:
        chosen = [label for label in ("high", "odd", "wide") if float(row[f"tags_p_{label}"]) >= 0.5]
        assert row["tags_prediction"] == "|".join(chosen)
        assert 0 < float(row["weight_prediction"]) < 2000
    perceiver("evaluate", "several", "targets.csv", "-o", "several.json", cwd=folder)
    measured = json.loads((folder / "several.json").read_text())
    trained = json.loads((folder / "several/metrics.json").read_text())
    assert measured["tasks"] == trained["tasks"]


def test_dates_are_predicted_as_dates(folder):
    lines = [f"{i % 7},{datetime.date(2020, 1, 1) + datetime.timedelta(days=31 * (i % 7) + i)}" for i in range(60)]
    (folder / "dates.csv").write_text("\n".join(["x,when", *lines]))
    done = perceiver("fit", "dates.csv", "--target=when", "--epochs=1", "--run=dates", *SETTINGS, cwd=folder)
    assert "when: a date, 2020-0" in done.stdout
    assert "2020-" in (folder / "dates/report.html").read_text()
    perceiver("predict", "dates", "dates.csv", "-o", "dates-out.csv", cwd=folder)
    with (folder / "dates-out.csv").open() as file:
        for row in csv.DictReader(file):
            assert datetime.date.fromisoformat(row["prediction"])


def test_predict_takes_tables_without_target_and_without_a_modality(folder, run):
    import pyarrow.parquet

    with (folder / "mixed.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder / "bare.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["picture", "note"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows[:5])
    done = perceiver("predict", "first", "bare.csv", "-o", "out.parquet", cwd=folder)
    assert "has no columns sound, size, place; they count as missing in every row" in done.stderr
    table = pyarrow.parquet.read_table(folder / "out.parquet")
    assert table.num_rows == 5
    assert table.column_names == ["row", "prediction", "p_dark", "p_light"]


def test_a_run_that_was_interrupted_goes_on(folder):
    command = [sys.executable, "-c", "from perceiver_pytorch.cli import main; main()", "fit", "mixed.csv",
               "--target=label", "--epochs=400", "--run=stopped", *SETTINGS]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 90
    while not (folder / "stopped/checkpoints/best.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "perceiver fit --resume stopped" in output
    assert not (folder / "stopped/metrics.json").exists()
    done = perceiver("fit", "--resume=stopped", "--time-limit=1s", cwd=folder)
    assert "time limit" in done.stdout
    assert (folder / "stopped/report.html").exists()


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
        (["fit", "mixed.csv", "--target=label", "--preset=huge"], "preset must be one of 'tiny', 'small', 'base'"),
        (["fit", "mixed.csv", "--target=label", "--set=model.dept=3"], "did you mean 'depth'"),
        (["fit", "mixed.csv", "--target=label", "--time-limit=soon"], "--time-limit must be a duration"),
        (["fit", "mixed.csv", "--target=size"], "the target 'size' is missing"),
        (["fit", "mixed.csv", "--target=label,plaec"], "did you mean 'place'"),
        (["fit", "mixed.csv", "--target=label", "--target-kind=label=sort"], "unknown kind 'sort'"),
        (["fit", "mixed.csv", "--target=label", "--target-kind=label=number"], "no number in the train rows"),
        (["fit", "mixed.csv", "--target=label", "--task-weight=label=much"], "--task-weight must be NAME=WEIGHT"),
        (["fit", "mixed.csv", "--target=label", "--class-weights=some"], "class_weights must be one of"),
        (["fit", "--resume=nothing"], "no run folder"),
        (["evaluate", "nothing", "mixed.csv"], "no run folder"),
        (["fit", "digitz"], "digits"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_leaves_nothing(folder, arguments, message):
    done = perceiver(*arguments, cwd=folder, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(folder.glob("runs/*"))


def test_wrong_calls_of_predict(folder, run):
    for output, message in (("out.xlsx", "csv or .parquet"), ("no/such/out.csv", "does not exist")):
        done = perceiver("predict", "first", "mixed.csv", "-o", output, cwd=folder, check=False)
        assert done.returncode == 2
        assert message in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs=9"], "leave out training.epochs=9 (it has 2): the model would be another"),
        (["--set=model.depth=3", "--workers=1"], "leave out model.depth=3 (it has 2): the model"),
        (["--preset=small"], "model.depth=3 (it has 2)"),
        (["--column=note=ignore"], "data.columns={'note': 'ignore'} (it has {})"),
        (["--on-error=skip"], "data.on_error='skip' (it has 'raise')"),
        (["--epochs=9"], "What can change: data.table, data.allow_outside (--allow-outside), data.cache_mb"),
        (
            ["--epochs=9"],
            "training.checkpoint_every (--checkpoint-every), training.num_workers (--workers), and the time",
        ),
        (["--workers=-1"], "num_workers"),
    ],
)
def test_resume_keeps_what_the_weights_depend_on(folder, run, options, message):
    done = perceiver("fit", "--resume=first", *options, cwd=folder, check=False)
    assert done.returncode == 2
    assert message in done.stderr


def test_resume_needs_a_folder(folder):
    done = perceiver("fit", "--resume", cwd=folder, check=False)
    assert done.returncode == 2
    assert "needs the folder" in done.stderr


def test_workers_and_the_like_may_change_when_a_run_goes_on(folder, run, monkeypatch):
    shutil.copytree(folder / "first", folder / "halted")
    shutil.rmtree(folder / "halted/checkpoints")
    (folder / "halted/model.safetensors").unlink()
    options = ["--workers=2", "--checkpoint-every=1 steps", "--set=data.cache_mb=0", "--time-limit=1h"]
    perceiver("fit", "--resume=halted", *options, cwd=folder)
    assert (folder / "halted/model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_the_cache_decides_which_rows_are_bad_before_training_where_they_are_skipped(folder):
    options = ["--target=label", "--epochs=1", "--on-error=skip", "--run=skipping", *SETTINGS]
    perceiver("fit", "mixed.csv", *options, cwd=folder)
    done = perceiver("fit", "--resume=skipping", "--set=data.cache_mb=0", cwd=folder, check=False)
    assert done.returncode == 2
    assert "leave out data.cache_mb=0 (it has 2048)" in done.stderr


def test_a_run_goes_on_by_the_command_that_began_it(folder):
    command = ["fit", "mixed.csv", "--target=label", "--epochs=2", "--run=again", "--batch-size=8"]
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


def test_config_prints_what_fit_reads(folder):
    text = perceiver("config", "--preset=small", cwd=folder).stdout
    (folder / "mine.yaml").write_text(text.replace("target: ''", "target: label").replace("epochs: 30", "epochs: 1"))
    perceiver("fit", "mixed.csv", "--config=mine.yaml", "--run=configured", *SETTINGS, cwd=folder)
    written = (folder / "configured/config.yaml").read_text()
    assert "epochs: 1" in written
    assert "table: mixed.csv" in written


def test_without_a_command_there_is_help(tmp_path):
    done = perceiver(cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "evaluate" in done.stdout + done.stderr


def test_version(tmp_path):
    assert perceiver("--version", cwd=tmp_path).stdout.strip() == metadata.version("perceiver-multi-modality-pytorch")


def test_help_is_there_for_every_command(folder):
    for command in ([], ["fit"], ["evaluate"], ["predict"], ["config"]):
        assert "Usage" in perceiver(*command, "--help", cwd=folder).stdout
