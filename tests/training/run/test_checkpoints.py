import errno
import math
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from perceiver_pytorch.training.run import checkpoints
from perceiver_pytorch.training.run.checkpoints import (
    Checkpoints,
    Progress,
    WholeCheckpoints,
    _save,
    load_state,
    read_checkpoint,
    recover,
)
from perceiver_pytorch.training.run.divergence import DivergedError
from perceiver_pytorch.training.run.durations import Every
from perceiver_pytorch.training.run.planning import Plan


def checkpoint(step=4, batch=0, **progress):
    return {"global_step": step, "batch_in_epoch": batch, "progress": progress, "state_dict": {"weight": torch.ones(2)}}


class Trainer(SimpleNamespace):
    """As much of a trainer as a callback asks for."""

    def __init__(self, callback, scores, losses=()):
        super().__init__(callback_metrics={}, max_epochs=len(scores), should_stop=False, global_step=0)
        self.early_stopping_callback = SimpleNamespace(wait_count=0)
        self.callback, self.scores, self.losses = callback, scores, losses

    def save_checkpoint(self, path):
        saved = {"global_step": self.global_step, "state_dict": {}}
        self.callback.on_save_checkpoint(self, nn.Module(), saved)
        WholeCheckpoints().save_checkpoint(saved, path)

    def run(self):
        for epoch, score in enumerate(self.scores):
            self.current_epoch = epoch
            self.global_step += 10
            loss = self.losses[epoch] if self.losses else math.nan
            self.callback_metrics = {"score": torch.tensor(score), "val_loss": torch.tensor(loss)}
            self.early_stopping_callback.wait_count += 1
            self.callback.on_train_epoch_end(self, None)
            yield Progress.of(read_checkpoint(self.callback.last)), Progress.of(read_checkpoint(self.callback.best))


def test_patience_begins_anew_where_the_loss_falls_at_an_equal_score(tmp_path):
    callback = Checkpoints(tmp_path / "last.ckpt", tmp_path / "best.ckpt", Every(), "score", "max", ties_by_loss=True)
    trainer = Trainer(callback, [0.7, 0.7, 0.7, 0.6], [0.5, 0.4, 0.4, 0.3])
    assert [trainer.early_stopping_callback.wait_count for _ in trainer.run()] == [0, 0, 1, 2]


@pytest.mark.parametrize(("mode", "best"), [("max", [1, 2, 2, 2]), ("min", [1, 1, 3, 3])])
def test_the_best_epoch_is_the_first_of_the_best_score(tmp_path, mode, best):
    callback = Checkpoints(tmp_path / "last.ckpt", tmp_path / "best.ckpt", Every(), "score", mode)
    told = list(Trainer(callback, [0.5, 0.7, 0.2, 0.2 if mode == "min" else 0.7]).run())
    assert [last.best_epoch for last, _ in told] == best
    assert [kept.epoch for _, kept in told] == best
    assert [last.epoch for last, _ in told] == [1, 2, 3, 4]
    assert [last.complete for last, _ in told] == [False, False, False, True]
    assert told[-1][0].step == 40


@pytest.mark.parametrize(("ties_by_loss", "best"), [(True, [1, 2, 2, 4]), (False, [1, 1, 1, 4])])
def test_equal_scores_are_told_apart_by_loss(tmp_path, ties_by_loss, best):
    files = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    callback = Checkpoints(*files, Every(), "score", ties_by_loss=ties_by_loss)
    told = [last for last, _ in Trainer(callback, [0.5, 0.5, 0.5, 0.6], [2.0, 1.0, 1.5, 9.0]).run()]
    assert [progress.best_epoch for progress in told] == best


def test_what_was_not_measured_is_no_better(tmp_path):
    callback = Checkpoints(tmp_path / "last.ckpt", tmp_path / "best.ckpt", Every(), "score")
    told = [last for last, _ in Trainer(callback, [0.5, math.nan, 0.6]).run()]
    assert [progress.best_epoch for progress in told] == [1, 1, 3]


def test_the_best_is_made_again_where_a_run_was_killed_after_its_epoch(tmp_path):
    last, best = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    WholeCheckpoints().save_checkpoint(checkpoint(epoch=1, best_epoch=1, best_score=0.5), last)
    assert recover(last, best) == Progress(1, 1, 0.5, step=4)
    assert best.read_bytes() == last.read_bytes()


def test_the_best_stays_where_a_run_was_killed_within_an_epoch(tmp_path):
    last, best = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    best.write_bytes(b"of the first epoch")
    WholeCheckpoints().save_checkpoint(checkpoint(batch=3, epoch=1, best_epoch=1, best_score=0.5), last)
    recover(last, best)
    assert best.read_bytes() == b"of the first epoch"


def test_a_best_without_a_last_belongs_to_nothing(tmp_path):
    (tmp_path / "best.ckpt").touch()
    assert recover(tmp_path / "last.ckpt", tmp_path / "best.ckpt") is None
    assert not (tmp_path / "best.ckpt").exists()


class Code:
    def __reduce__(self):
        return print, ("run",)


def test_nothing_of_a_checkpoint_is_run(tmp_path, capsys):
    torch.save({"global_step": Code()}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"checkpoint .*last\.ckpt is damaged"):
        read_checkpoint(tmp_path / "last.ckpt")
    assert capsys.readouterr().out == ""


def test_half_a_checkpoint_is_damaged(tmp_path):
    WholeCheckpoints().save_checkpoint(checkpoint(), tmp_path / "last.ckpt")
    half = (tmp_path / "last.ckpt").read_bytes()[:200]
    (tmp_path / "last.ckpt").write_bytes(half)
    with pytest.raises(ValueError, match=r"is damaged .* start the run again in another folder"):
        read_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "nowhere.ckpt")


def test_the_best_weights_are_loaded_where_there_are_any(tmp_path):
    module = nn.ParameterDict({"weight": nn.Parameter(torch.zeros(2))})
    assert load_state(tmp_path / "best.ckpt", module) is None
    WholeCheckpoints().save_checkpoint(checkpoint(), tmp_path / "best.ckpt")
    assert load_state(tmp_path / "best.ckpt", module) == Progress.of(checkpoint())
    assert module["weight"].tolist() == [1, 1]


def test_a_checkpoint_tells_its_progress_and_its_plan():
    plan = {"begun": 3, "steps": 9, "whole": 18, "limit": 10.0, "step_seconds": 1.0, "validation_seconds": 0.0,
            "closing_seconds": 0.5}  # fmt: skip
    told = Progress.of(checkpoint(step=7, epoch=1, plan=plan))
    assert (told.step, told.epoch, told.plan) == (7, 1, Plan(**plan))
    assert (told.best_epoch, told.complete, math.isnan(told.best_score)) == (0, False, True)
    first = Progress.of({"global_step": 2})  # of an early version
    assert (first.step, first.epoch, first.best_epoch, first.plan) == (2, 0, 0, None)
    for wrong in ({"epoch": "one"}, {"plan": {**plan, "steps": "all"}}):
        with pytest.raises(TypeError, match="must be int"):
            Progress.of(checkpoint(**wrong))


@pytest.mark.parametrize(
    ("score", "loss", "sign", "ties_by_loss", "better"),
    [
        (0.6, 9.0, 1.0, True, True),
        (0.4, 0.0, 1.0, True, False),
        (0.4, 9.0, -1.0, True, True),
        (0.6, 0.0, -1.0, True, False),
        (0.5, 0.9, 1.0, True, True),
        (0.5, 1.0, 1.0, True, False),
        (0.5, 0.9, 1.0, False, False),
    ],
)
def test_what_is_better_depends_on_score_sign_and_loss(score, loss, sign, ties_by_loss, better):
    best = Progress(epoch=1, best_epoch=1, best_score=0.5, best_loss=1.0)
    assert best.is_beaten_by(score, loss, sign, ties_by_loss=ties_by_loss) == better
    assert Progress().is_beaten_by(score, loss, sign, ties_by_loss=ties_by_loss)


@pytest.mark.parametrize(
    ("every", "saved"),
    [
        (Every(steps=3), [4, 7]),
        (Every(seconds=4.0), [3, 5, 7]),
        (Every(seconds=5.0), [4, 7]),
        (Every(), []),
        (Every(seconds=0), [2, 3, 4, 5, 6, 7]),
    ],
)
def test_within_an_epoch_it_is_saved_every_so_often(tmp_path, monkeypatch, every, saved):
    """A step takes 2 seconds; nothing is saved twice without a step between."""
    time, found = [100.0], []
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: time[0]))
    callback = Checkpoints(tmp_path / "last.ckpt", tmp_path / "best.ckpt", every, "score")
    trainer = SimpleNamespace(global_step=1, save_checkpoint=lambda path: found.append((path, trainer.global_step)))
    callback.on_train_start(trainer, None)
    for trainer.global_step in range(1, 8):
        callback.on_train_batch_start(trainer, None, None, 0)
        callback.on_train_batch_start(trainer, None, None, 0)
        time[0] += 2.0
    assert found == [(tmp_path / "last.ckpt", step) for step in saved]


def test_training_that_is_asked_to_stop_is_complete_at_the_end_of_its_epoch(tmp_path):
    callback = Checkpoints(tmp_path / "last.ckpt", tmp_path / "best.ckpt", Every(), "score")
    trainer = Trainer(callback, [0.5, 0.6, 0.7])
    told = []
    for last, _ in trainer.run():
        told.append(last.complete)
        trainer.should_stop = True
    assert told == [False, True, True]
    assert callback.progress.best_loss != callback.progress.best_loss  # no loss was logged


def test_nothing_is_saved_of_weights_that_are_not_finite_or_into_another_folder(tmp_path):
    callback = Checkpoints(tmp_path / "last.ckpt", tmp_path / "best.ckpt", Every(), "score")
    module = nn.ParameterDict({"weight": nn.Parameter(torch.tensor(math.nan))})
    group = {"lr": 0.1}
    module.trainer = SimpleNamespace(global_step=5, optimizers=[SimpleNamespace(param_groups=[group])])
    with pytest.raises(DivergedError, match=r"a weight is not finite in step 5, at a learning rate of 0\.1"):
        callback.on_save_checkpoint(module.trainer, module, {})

    def gone():
        raise FileNotFoundError("removed")

    callback.check_held = gone
    with pytest.raises(FileNotFoundError, match="removed"):
        callback.on_save_checkpoint(module.trainer, nn.Linear(1, 1), {})
    callback.on_load_checkpoint(None, None, checkpoint(step=8, epoch=2, best_epoch=1))
    assert callback.progress == Progress.of(checkpoint(step=8, epoch=2, best_epoch=1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_in_epoch": -1}, "batch_in_epoch must be a whole number, got -1"),
        ({"order_epoch": 1.5}, r"order_epoch must be a whole number, got 1\.5"),
        ({"state_dict": {"weight": "one"}}, "state_dict must hold tensors"),
        ({"progress": {"steps": 3}}, "is damaged or of another run"),
    ],
)
def test_a_file_that_is_no_checkpoint_of_a_run_is_refused(tmp_path, wrong, message):
    path = tmp_path / "last.ckpt"
    torch.save(checkpoint() | {"order_epoch": 0}, path)
    assert read_checkpoint(path)["order_epoch"] == 0
    torch.save(checkpoint() | wrong, path)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(path)


def test_a_weight_that_changed_on_the_disk_is_noticed(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save(checkpoint() | {"state_dict": {"weight": torch.arange(1000.0)}}, path)
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(1000.0).numpy().tobytes())
    content[place + 400] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="has another checksum than when it was written"):
        read_checkpoint(path)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_disk_that_is_full_is_told_as_the_system_tells_it(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught:
        _save({"weight": torch.ones(1 << 16)}, checkpoints.Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(Exception, match=r"(?i)pickle.*lambda"):
        _save({"code": lambda: 0}, tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    ("batch", "progress", "copied"),
    [
        (0, {"epoch": 2, "best_epoch": 2}, True),
        (0, {"epoch": 2, "best_epoch": 1}, False),
        (0, {"epoch": 0, "best_epoch": 0}, False),
        (1, {"epoch": 1, "best_epoch": 1}, False),
        (1, {"epoch": 1, "best_epoch": 1, "complete": True}, True),  # ended by a time limit, within an epoch
    ],
)
def test_the_last_is_the_best_at_the_end_of_the_best_epoch_alone(tmp_path, batch, progress, copied):
    last, best = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    WholeCheckpoints().save_checkpoint(checkpoint(batch=batch, **progress), last)
    recover(last, best)
    assert best.exists() == copied


def test_weights_that_do_not_fit_or_are_not_finite_are_not_loaded(tmp_path):
    module = nn.ParameterDict({"weight": nn.Parameter(torch.zeros(3))})
    torch.save(checkpoint(), tmp_path / "best.ckpt")
    with pytest.raises(ValueError, match=r"is damaged or of another run .*size mismatch.* in another folder"):
        load_state(tmp_path / "best.ckpt", module)
    torch.save(checkpoint() | {"state_dict": {"weight": torch.tensor([1.0, math.inf, 0.0])}}, tmp_path / "best.ckpt")
    with pytest.raises(ValueError, match=r"best\.ckpt are not finite: this run diverged; .* a smaller --lr"):
        load_state(tmp_path / "best.ckpt", module)
