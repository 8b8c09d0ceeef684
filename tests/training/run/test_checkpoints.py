import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from perceiver_pytorch.training.run.checkpoints import (
    Checkpoints,
    Progress,
    WholeCheckpoints,
    load_state,
    read_checkpoint,
    recover,
)
from perceiver_pytorch.training.run.durations import Every


def checkpoint(step=4, batch=0, **progress):
    return {"global_step": step, "batch_in_epoch": batch, "progress": progress, "state_dict": {"weight": torch.ones(2)}}


class Trainer(SimpleNamespace):
    """As much of a trainer as a callback asks for."""

    def __init__(self, callback, scores, losses=()):
        super().__init__(callback_metrics={}, max_epochs=len(scores), should_stop=False, global_step=0)
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
            self.callback.on_train_epoch_end(self, None)
            yield Progress.of(read_checkpoint(self.callback.last)), Progress.of(read_checkpoint(self.callback.best))


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
