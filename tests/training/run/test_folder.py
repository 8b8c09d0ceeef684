import json
from pathlib import Path

import pytest
import torch
from torch import nn

from perceiver_pytorch._files import DiskFullError
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.training.language.run import LanguageRun
from perceiver_pytorch.training.language.settings import LanguageConfig
from perceiver_pytorch.training.run.divergence import Divergence
from perceiver_pytorch.training.run.folder import free_folder, remove_if_empty
from perceiver_pytorch.training.table.run import TableRun


@pytest.mark.parametrize(("kind", "command"), [(TableRun, "fit TABLE"), (LanguageRun, "language FILE")])
def test_a_run_that_ended_at_once_is_started_anew(tmp_path, kind, command):
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.yaml.partial").touch()
    with pytest.raises(ValueError, match=f"start it again with perceiver {command} --run {tmp_path}"):
        kind.open(tmp_path)
    assert kind.create(tmp_path) == kind(tmp_path)


def test_a_folder_of_something_else_is_no_run(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"is not a run folder: it has no config\.yaml"):
        TableRun.open(tmp_path)
    with pytest.raises(ValueError, match=r"is not empty; choose another with --run, or continue its run with --resume"):
        TableRun.create(tmp_path)
    with pytest.raises(ValueError, match="is not empty"):
        TableRun.create(tmp_path / "notes.txt")


@pytest.mark.parametrize(("kind", "command"), [(TableRun, "fit"), (LanguageRun, "language")])
def test_an_untrained_run_says_how_to_go_on(tmp_path, kind, command):
    run = kind.create(tmp_path)
    assert run.resume_command == f"perceiver {command} --resume {tmp_path}"
    with pytest.raises(ValueError, match=f"has no model yet; continue its training with `{run.resume_command}`"):
        run.load(object)
    with pytest.raises(ValueError, match=r"has no metrics.json; was its training stopped early\?"):
        run.metrics()
    run.metrics_file.write_text("{")
    with pytest.raises(ValueError, match=r"metrics.json is no JSON file"):
        run.metrics()


def test_whoever_writes_removes_what_a_killed_process_left(tmp_path):
    run = TableRun.create(tmp_path / "run")
    run.checkpoints.mkdir()
    for half in (run.path / ".metrics.json.partial", run.checkpoints / ".last.ckpt.partial"):
        half.touch()
    (run.path / ".model.partial").mkdir()
    with run.writing():
        assert [path.name for path in run.path.rglob(".*")] == [".lock"]
    assert not list(run.path.rglob(".*"))


def test_a_file_that_the_run_names_is_found_from_anywhere(tmp_path, monkeypatch):
    run = TableRun(tmp_path / "home" / "runs" / "first")
    (tmp_path / "home" / "data").mkdir(parents=True)
    (tmp_path / "home" / "data" / "t.csv").touch()
    (tmp_path / "digits").touch()
    monkeypatch.chdir(tmp_path / "home")
    assert run.found("data/t.csv") == "data/t.csv"
    monkeypatch.chdir(tmp_path)
    assert run.found("data/t.csv") == str(tmp_path / "home" / "data" / "t.csv")
    for name in ("nowhere.csv", "/nowhere/t.csv", "digits", "hf:name"):
        assert run.found(name) == name


class Line(SavedModel):
    def __init__(self, *, width):
        super().__init__()
        self.layer = nn.Linear(width, 1)


def test_a_model_is_written_whole_and_read_back_if_it_is_finite(tmp_path):
    run, model = TableRun.create(tmp_path / "run"), Line(width=3)
    run.write_model(model)
    assert sorted(path.name for path in run.path.iterdir()) == ["config.json", "model.safetensors"]
    assert torch.equal(run.load(Line).layer.weight, model.layer.weight)
    assert not run.load(Line).training
    model.layer.bias.data.fill_(torch.nan)
    run.write_model(model)
    with pytest.raises(ValueError, match=r"weights that are not finite: its training diverged, or .*safetensors is"):
        run.load(Line)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            OSError(28, "No space left on device"),
            DiskFullError,
            r"model\.safetensors cannot .*: the disk is full",
        ),
        (ValueError("another"), ValueError, "^another$"),
    ],
)
def test_a_model_that_cannot_be_written_leaves_the_one_before(tmp_path, error, kind, message):
    class Bad(Line):
        def save_pretrained(self, save_directory):
            super().save_pretrained(save_directory)
            raise error

    run = TableRun.create(tmp_path / "run")
    run.write_model(Line(width=3))
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(kind, match=message):
        run.write_model(Bad(width=4))
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


def test_where_it_diverged_is_read_back_and_told_instead_of_a_missing_model(tmp_path):
    run = TableRun.create(tmp_path / "run")
    assert run.divergence() is None
    divergence = Divergence("the loss is nan", 7, 0.5, 0.5, "")
    run.write_divergence(divergence)
    assert run.divergence() == divergence
    with pytest.raises(ValueError, match=r"run has no model: training diverged: the loss is nan in step 7.* --lr"):
        run.load(Line)
    run.divergence_file.write_text(json.dumps({"what": "x", "step": "seven"}))
    with pytest.raises(ValueError, match="step must be int"):
        run.divergence()
    run.write_model(Line(width=1))  # a model is there: it does not matter where training diverged
    run.load(Line)


def test_a_configuration_that_lacks_a_part_is_damaged(tmp_path):
    run = LanguageRun.create(tmp_path / "run")
    run.write_config(LanguageConfig(objective="masked"))
    assert run.config() == LanguageConfig(objective="masked")
    run.config_file.write_text("training: {steps: 3}\n")
    with pytest.raises(ValueError, match=r"config\.yaml must have data, model; copy the file again"):
        run.config()


def test_what_a_run_wrote_is_removed_and_nothing_else(tmp_path):
    run = TableRun.create(tmp_path / "run")
    for file in run._written:
        if file.suffix:
            file.touch()
        else:
            (file / "inner").mkdir(parents=True)
    names = {path.name for path in run.path.iterdir()}
    assert names > {"config.yaml", "metrics.json", "history.csv", "diverged.json", "checkpoints", "tensorboard"}
    (run.path / "notes.txt").touch()
    run.discard()
    run.discard()
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_a_folder_that_is_no_longer_its_own_is_told_of(tmp_path):
    run = TableRun.create(tmp_path / "run")
    with run.writing():
        run.check_held()
    with pytest.raises(FileNotFoundError, match=r"run folder .*run was removed or replaced .*; nothing more is saved"):
        run.check_held()


def test_the_nearest_file_above_a_run_is_the_one_that_it_names(tmp_path, monkeypatch):
    folder = tmp_path / "outer" / "inner"
    (folder / "runs").mkdir(parents=True)
    for place in (tmp_path, folder):
        (place / "t.csv").touch()
    (folder / "runs" / "t.csv").mkdir()  # no file
    monkeypatch.chdir(tmp_path / "outer")
    assert TableRun(Path("inner/runs/first")).found("t.csv") == str(folder / "t.csv")


def test_the_next_free_folder_is_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert free_folder("data/cats.csv.gz") == Path("runs/cats")
    for name in ("cats", "cats-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert free_folder("cats.parquet") == Path("runs/cats-3")
    (tmp_path / "runs" / "cats-2" / "file").touch()
    for name in ("cats", "cats-2", "nowhere"):
        remove_if_empty(tmp_path / "runs" / name)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["cats-2"]
