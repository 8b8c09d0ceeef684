from types import SimpleNamespace

from perceiver_pytorch.data import BadRow
from perceiver_pytorch.data.loading import Waiting
from perceiver_pytorch.training.table.data_checkpoint import DataCheckpoint
from perceiver_pytorch.training.table.datasets import bad_rows


def callback(waiting, **bad):
    return DataCheckpoint(
        SimpleNamespace(waiting=waiting), {name: SimpleNamespace(bad=entries) for name, entries in bad.items()}
    )


def test_a_resumed_run_knows_of_the_waiting_and_bad_rows_before_it():
    saved = callback(Waiting(1.5, 6.0), train={7: BadRow(7, "picture", "broken")}, val={}).state_dict()
    resumed = callback(Waiting(), train={2: BadRow(2, None, "empty")}, val={})
    resumed.load_state_dict(saved)
    assert resumed.loader.waiting == Waiting(1.5, 6.0)
    assert bad_rows(resumed.datasets) == [BadRow(2, None, "empty"), BadRow(7, "picture", "broken")]


def test_a_split_that_is_gone_is_not_missed():
    saved = callback(Waiting(), test={3: BadRow(3, "x", "bad")}).state_dict()
    resumed = callback(Waiting(), train={})
    resumed.load_state_dict(saved)
    assert bad_rows(resumed.datasets) == []
