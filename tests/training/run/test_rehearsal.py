"""What autograd keeps is counted; whole rehearsals are in cli/test_plan.py."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from perceiver_pytorch import _waiting
from perceiver_pytorch.training.run import rehearsal
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.run.loaders import Loaders
from perceiver_pytorch.training.run.rehearsal import saved_bytes
from perceiver_pytorch.training.run.settings import TrainingSettings


def test_what_a_backward_pass_needs_is_counted_once_and_without_the_weights():
    layer, x = nn.Linear(50, 70), torch.randn(40, 50)
    known = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    found = saved_bytes(lambda: layer(x).exp().sum(), known)
    assert found == x.nbytes + 40 * 70 * 4  # the input of the layer, and the output of the exponential
    assert saved_bytes(lambda: layer(x) + layer(x), known) == x.nbytes


def test_it_grows_with_the_rows():
    layer = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    few, more = (saved_bytes(lambda rows=rows: layer(torch.randn(rows, 8)), set()) for rows in (10, 20))
    weights = sum(p.nbytes for p in layer.parameters() if p.dim() > 1)
    assert more - few > 0.9 * (few - weights)


def test_steps_are_measured_with_loops_compiled_as_in_training(monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr(_waiting, "_blocks", [0])  # all tests are within `waiting`
    monkeypatch.setattr(rehearsal, "run_loop", lambda *given, **more: found.append(_waiting.must_wait()))
    loaders = Loaders(train=DataLoader([1]), val=DataLoader([1]), steps=1)
    rehearsal.rehearse(nn.Linear(1, 1), loaders, RunFolder.create(tmp_path / "r"), TrainingSettings())
    assert found == [True]
    assert not _waiting.must_wait()
