import logging
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import RichProgressBar
from torch import nn

from perceiver_pytorch.training.run import callbacks as run_callbacks
from perceiver_pytorch.training.run.callbacks import (
    FiniteScores,
    History,
    Stopper,
    TrainingStopped,
    build_callbacks,
    quiet_lightning,
)
from perceiver_pytorch.training.run.checkpoints import Checkpoints
from perceiver_pytorch.training.run.divergence import DivergedError
from perceiver_pytorch.training.run.durations import Every
from perceiver_pytorch.training.run.history import read_history, write_history


def trainer(step=0, epoch=0, **metrics):
    saved = []
    return SimpleNamespace(
        global_step=step,
        current_epoch=epoch,
        max_epochs=3,
        num_training_batches=8,
        callback_metrics={name: torch.tensor(value) for name, value in metrics.items()},
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.01}])],
        save_checkpoint=saved.append,
        saved=saved,
    )


def test_a_request_saves_before_the_next_step():
    stopper = Stopper(Path("last.ckpt"))
    stopper.on_train_batch_start(trainer(step=3), None, None, 0)
    stopper.request("enough")
    stopper.request("for another reason")
    now = trainer(step=1)
    with pytest.raises(TrainingStopped, match=r"^enough$"):
        stopper.on_train_batch_start(now, None, None, 0)
    assert now.saved == [Path("last.ckpt")]


def test_before_the_first_step_there_is_nothing_to_save():
    stopper, now = Stopper(Path("last.ckpt")), trainer()
    stopper.request("enough")
    with pytest.raises(TrainingStopped, match="enough"):
        stopper.on_train_batch_start(now, None, None, 0)
    assert now.saved == []


def test_handlers_are_installed_when_training_starts():
    installed = []
    stopper = Stopper(Path("last.ckpt"), install_handlers=lambda: installed.append(True))
    assert not stopper.begun
    stopper.on_train_start(trainer(), None)
    assert stopper.begun
    stopper.on_train_batch_start(trainer(), None, None, 0)
    assert installed == [True]


def test_a_row_per_epoch_and_a_line(tmp_path):
    said = []
    history = History(tmp_path / "history.csv", said.append, measure="val_accuracy", pass_steps=8)
    history.on_train_epoch_end(trainer(8, 0, train_loss_epoch=0.5, val_loss=0.25, val_accuracy=0.75), None)
    history.on_train_epoch_end(trainer(16, 1, train_loss_epoch=0.25), None)
    first, second = read_history(tmp_path / "history.csv")
    assert {name: first[name] for name in first if name != "seconds"} == {
        "epoch": 1, "step": 8, "train_loss": 0.5, "val_loss": 0.25, "val_accuracy": 0.75, "lr": 0.01,
    }  # fmt: skip
    assert str(second["val_loss"]) == "nan"
    assert said[0].startswith("epoch 1/3  loss 0.500  val loss 0.250  val accuracy 0.750  ")


def test_epochs_that_were_not_saved_are_forgotten_on_resuming(tmp_path):
    path = tmp_path / "history.csv"
    write_history(path, [{"epoch": float(epoch), "val_loss": 0.5} for epoch in (1, 2, 3)])
    History(path).on_train_start(trainer(epoch=2), None)
    assert [row["epoch"] for row in read_history(path)] == [1, 2]
    History(path).on_train_start(trainer(epoch=0), None)
    assert not path.exists()


@pytest.mark.parametrize(
    ("loss", "weight", "what"),
    [
        (float("nan"), 1.0, "the validation loss is nan"),
        (float("inf"), float("nan"), "the validation loss is inf"),
        (float("inf"), 1.0, None),  # an extreme value in a validation row
        (2.0, 1.0, None),
    ],
)
def test_a_validation_loss_that_no_finite_model_has_ends_training(loss, weight, what):
    module = nn.ParameterDict({"weight": nn.Parameter(torch.tensor(weight))})
    module.trainer = trainer(8, val_loss=loss, val_accuracy=0.5)
    scores = FiniteScores("val_accuracy")
    if what is None:
        scores.on_validation_end(module.trainer, module)
    else:
        with pytest.raises(DivergedError, match=f"{what} in step 8"):
            scores.on_validation_end(module.trainer, module)


@pytest.mark.parametrize("score", [float("nan"), float("-inf")])
def test_a_score_that_is_not_finite_ends_training(score):
    module = nn.Linear(1, 1)
    module.trainer = trainer(8, val_loss=0.5, val_accuracy=score)
    with pytest.raises(DivergedError, match=f"the val_accuracy is {score} in step 8"):
        FiniteScores("val_accuracy").on_validation_end(module.trainer, module)
    FiniteScores("val_other").on_validation_end(module.trainer, module)


def test_an_epoch_is_timed_from_its_start_and_written_once(tmp_path, monkeypatch):
    times, said = iter([1.0, 10.0, 12.5, 20.0, 21.0]), []
    monkeypatch.setattr(run_callbacks, "time", SimpleNamespace(monotonic=lambda: next(times)))
    history = History(tmp_path / "history.csv", said.append, pass_steps=8)
    for step in (8, 9):  # the second time as of a run that goes on from within this epoch
        history.on_train_epoch_start(trainer(), None)
        history.on_train_epoch_end(trainer(step, 0, train_loss_epoch=0.5), None)
    (row,) = read_history(tmp_path / "history.csv")
    assert (row["step"], row["seconds"]) == (9, 1.0)
    assert said[0].endswith("  val accuracy nan  2.5 s")


@pytest.mark.parametrize("bar", [False, True])
@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_run_stops_early_by_the_score_that_chooses_its_best_epoch(mode, bar):
    checkpoints = Checkpoints(Path("last.ckpt"), Path("best.ckpt"), Every(), "val_score", mode)
    history, stopper = History(Path("history.csv")), Stopper(Path("last.ckpt"))
    first, finite, early, *rest = build_callbacks(checkpoints, history, stopper, 3, bar=bar)
    assert first is stopper
    assert finite.monitor == early.monitor == "val_score"
    assert (early.mode, early.patience) == (mode, 3)
    assert rest[:2] == [history, checkpoints]
    assert [(isinstance(other, RichProgressBar), other._leave) for other in rest[2:]] == [(True, False)] * bar


def test_hints_that_concern_no_user_are_silenced_and_no_others(monkeypatch):
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    for logger in loggers:
        monkeypatch.setattr(logger, "level", logging.INFO)
    hints = [
        "The 'train_dataloader' does not have many workers which may be a bottleneck",
        "The number of training batches (6) is smaller than the logging interval",
        "Your dataloader is not resumable",
        "Checkpoint directory runs/a/checkpoints exists and is not empty.",
        "The dirpath has changed from 'a' to 'b'",
        "`isinstance(treespec, LeafSpec)` is deprecated",
        "Encountered `nan` values in tensor. Will be removed.",
    ]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        quiet_lightning()
        for text in [*hints, "a column is odd"]:
            warnings.warn(text, stacklevel=1)
    assert [str(one.message) for one in told] == ["a column is odd"]
    assert [logger.level for logger in loggers] == [logging.ERROR, logging.ERROR]
