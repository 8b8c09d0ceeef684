"""Damaged run folders: whatever their files hold, they are used as they are, or a `DamagedFileError` names the file."""

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from perceiver_pytorch import MultiModalityWithTextPerceiver, interop, tables
from perceiver_pytorch._saved_files import DamagedFileError, MissingFileError
from perceiver_pytorch._settings import with_keywords
from perceiver_pytorch.data import DataError
from perceiver_pytorch.training.run.job import run_job
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import preset
from perceiver_pytorch.training.table.task import TableTask
from run_damage import damages
from training_helpers import SILENT, TINY

USED = ["config.yaml", "config.json", "model.safetensors", "input_spec.json"]


@pytest.fixture(scope="module")
def stopped(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped in its second epoch."""

    def say(line: str) -> None:
        if "epoch 2" in line.split("  ")[0]:
            raise KeyboardInterrupt

    options = {"epochs": 2, "batch_size": 8, "lr": 5e-3, "checkpoint_every": "1 steps", "validate_every": 0, **TINY}
    config = with_keywords(preset("tiny", str(mixed)), {"table": str(mixed), "target": "label", **options})
    run = TableRun.create(tmp_path_factory.mktemp("stopped") / "r")
    with contextlib.suppress(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_job(TableTask(config), run, reporter=Reporter(say=say, warn=lambda text: None))
    return run.path


def predicting(table: Path) -> Callable[[Path], Any]:
    return lambda run: tables.Run.open(run).predict(table)


def resuming(run: Path) -> None:
    folder = TableRun.open(run)
    run_job(TableTask(folder.config()), folder, resume=True, reporter=SILENT)


def loading(run: Path) -> None:
    MultiModalityWithTextPerceiver.from_pretrained(run)
    interop.load(run)


def in_words(run: Path) -> None:
    tables.Run.open(run).lines()


def check(use: Callable[[Path], Any], run: Path, files: list[str], folder: Path, *, count: int, seed: int) -> None:
    """That a damaged run is used, or refused as such."""
    refused = 0
    for what, damaged in damages(run, files, folder, count=count, seed=seed):
        error = raised_by(use, damaged)
        if isinstance(error, DamagedFileError):
            refused += 1
            assert str(damaged) in str(error), (what, error)
        elif isinstance(error, DataError):  # another table, or something else asked of it
            assert "config.yaml" in what, (what, error)
        elif error is not None:
            assert isinstance(error, ValueError), (what, error)
            assert "has changed since" in str(error), (what, error)
    assert refused > count // 4


def raised_by(use: Callable[[Path], Any], run: Path) -> BaseException | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use(run)
    except BaseException as error:
        return error
    return None


def test_damaged_runs_are_refused(run: tables.Run, mixed: Path, tmp_path: Path, user_view: None) -> None:
    check(predicting(mixed), run.path, USED, tmp_path, count=12, seed=0)
    check(loading, run.path, ["config.json", "model.safetensors"], tmp_path, count=8, seed=0)
    check(in_words, run.path, ["metrics.json", "input_spec.json", "warnings.json"], tmp_path, count=8, seed=0)


KEPT = ["config.yaml", "checkpoints/last.ckpt", "input_spec.json", "table.json", "history.csv"]


def test_damaged_runs_are_not_resumed(stopped: Path, tmp_path: Path, user_view: None) -> None:
    check(resuming, stopped, KEPT, tmp_path, count=10, seed=0)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 6))
def test_many_damaged_runs_are_refused(
    seed: int, run: tables.Run, stopped: Path, mixed: Path, tmp_path: Path, user_view: None
) -> None:
    check(predicting(mixed), run.path, USED, tmp_path, count=200, seed=seed)
    check(loading, run.path, ["config.json", "model.safetensors"], tmp_path, count=200, seed=seed)
    check(in_words, run.path, ["metrics.json", "input_spec.json", "warnings.json"], tmp_path, count=100, seed=seed)
    check(resuming, stopped, KEPT, tmp_path, count=100, seed=seed)


def change(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: change(run / "input_spec.json", '"light"', '"light", "dim"'), r"input_spec\.json: "),
        (lambda run: change(run / "input_spec.json", '"here",', '"here", "elsewhere",'), r"input_spec\.json: "),
        (
            lambda run: change(run / "config.json", '"latent_dim": 16', '"latent_dim": 8'),
            r"does not fit config\.json: ",
        ),
        (lambda run: (run / "config.yaml").write_text("data: {}\n"), r"config\.yaml must have model, training"),
        (lambda run: (run / "config.yaml").write_text("[" * 9000), r"config\.yaml is no YAML file: it is nested too"),
    ],
)
def test_files_that_do_not_fit_each_other_are_named(
    damage: Callable[[Path], Any], message: str, run: tables.Run, mixed: Path, tmp_path: Path, user_view: None
) -> None:
    ((_, copied),) = damages(run.path, ["report.html"], tmp_path, count=1, seed=0)
    damage(copied)
    with pytest.raises(DamagedFileError, match=message):
        tables.Run.open(copied).predict(mixed)


def test_a_checkpoint_of_another_program_is_told(stopped: Path, tmp_path: Path) -> None:
    ((_, copied),) = damages(stopped, ["table.json"], tmp_path, count=1, seed=0)
    (copied / "table.json").write_bytes((stopped / "table.json").read_bytes())
    last, good = copied / "checkpoints" / "last.ckpt", torch.load(stopped / "checkpoints" / "last.ckpt")
    for other in ({"state_dict": {}}, [1], good | {"loops": {}}, good | {"state_dict": {}}, good | {"callbacks": 3}):
        torch.save(other, last)
        with pytest.raises(DamagedFileError, match=r"last\.ckpt is damaged or of another run .* start the run again"):
            resuming(copied)
    last.write_bytes(changed(torch.load(stopped / "checkpoints" / "last.ckpt"), last))
    with pytest.raises(DamagedFileError, match="has another checksum than when it was written"):
        resuming(copied)


def changed(checkpoint: Any, path: Path) -> bytes:
    """The file of a checkpoint in which one bit of a weight is another."""
    torch.save(checkpoint, path)
    weight = next(iter(checkpoint["state_dict"].values()))
    content, numbers = path.read_bytes(), weight.numpy().tobytes()
    return content.replace(numbers, bytes([numbers[0] ^ 1]) + numbers[1:], 1)


def test_a_folder_without_a_run_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"is not a run folder: it has no config\.yaml"):
        tables.Run.open(tmp_path / "none")
