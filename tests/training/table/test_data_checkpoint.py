from types import SimpleNamespace

import torch

from perceiver_pytorch.data import BadRow
from perceiver_pytorch.data.loading import Waiting
from perceiver_pytorch.data.losses import Change, Losses
from perceiver_pytorch.training.table.data_checkpoint import DataCheckpoint
from perceiver_pytorch.training.table.datasets import bad_rows


def callback(waiting, **bad):
    return DataCheckpoint(
        SimpleNamespace(waiting=waiting),
        {name: SimpleNamespace(bad=entries, prepared=True) for name, entries in bad.items()},
    )


def test_a_resumed_run_knows_of_the_waiting_and_bad_rows_before_it():
    saved = callback(Waiting(1.5, 6.0), train={7: BadRow(7, "picture", "broken")}, val={}).state_dict()
    resumed = callback(Waiting(), train={2: BadRow(2, None, "empty")}, val={})
    resumed.load_state_dict(saved)
    assert resumed.loader.waiting == Waiting(1.5, 6.0)
    assert bad_rows(resumed.datasets) == [BadRow(2, None, "empty"), BadRow(7, "picture", "broken")]


def late(prepared=False):
    modality = SimpleNamespace(name="m", changes={"cut": "lost their end"}, harmless=frozenset())
    return SimpleNamespace(bad={}, prepared=prepared, losses=Losses([modality], 9))


def test_a_resumed_run_knows_what_rows_lost_that_are_decoded_late(tmp_path):
    before, after = late(), late()
    before.losses.count(4, [("m", Change("cut"))])
    watch = DataCheckpoint(SimpleNamespace(waiting=Waiting()), {"train": before, "val": late(prepared=True)})
    torch.save(watch.state_dict(), tmp_path / "state")
    DataCheckpoint(SimpleNamespace(waiting=Waiting()), {"train": after}).load_state_dict(
        torch.load(tmp_path / "state", weights_only=True)
    )
    assert after.losses.lines() == ["1 of 1 rows: cells of 'm' lost their end"]
    again = DataCheckpoint(SimpleNamespace(waiting=Waiting()), {"train": late(prepared=True)})
    again.load_state_dict(watch.state_dict())
    assert again.datasets["train"].losses.lines() == []


def test_a_split_that_is_gone_is_not_missed():
    saved = callback(Waiting(), test={3: BadRow(3, "x", "bad")}).state_dict()
    resumed = callback(Waiting(), train={})
    resumed.load_state_dict(saved)
    assert bad_rows(resumed.datasets) == []
