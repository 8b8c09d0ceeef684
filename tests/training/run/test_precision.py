"""Which precision a run trains in where that is left open."""

import dataclasses

import pytest
import torch

from perceiver_pytorch.training.run import precision
from perceiver_pytorch.training.run.precision import precision_of
from perceiver_pytorch.training.run.settings import TrainingSettings

LEFT_OPEN = TrainingSettings()


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


def test_what_gains_by_it_trains_in_bfloat16() -> None:
    assert precision_of(LEFT_OPEN, gains=True) == "bf16-mixed"
    assert precision_of(dataclasses.replace(LEFT_OPEN, accelerator="cpu"), gains=True) == "bf16-mixed"
    assert precision_of(LEFT_OPEN, gains=False) == "32-true"


@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("asked", ["32-true", "16-mixed", "bf16-mixed"])
def test_what_is_asked_for_is_done(asked: str, gains: bool) -> None:
    assert precision_of(dataclasses.replace(LEFT_OPEN, precision=asked), gains=gains) == asked


def test_gpus_and_ranks_compute_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch.accelerator, "is_available", lambda: True)
        assert precision_of(LEFT_OPEN, gains=True) == "32-true"
        assert precision_of(dataclasses.replace(LEFT_OPEN, accelerator="gpu"), gains=True) == "32-true"
        assert precision_of(dataclasses.replace(LEFT_OPEN, accelerator="cpu"), gains=True) == "bf16-mixed"
    for asked in ({"devices": 2}, {"nodes": 2}):  # they will be several, as where a plan is made for them
        assert precision_of(dataclasses.replace(LEFT_OPEN, **asked), gains=True) == "32-true"
    monkeypatch.setattr(precision, "world", lambda: 2)
    assert precision_of(LEFT_OPEN, gains=True) == "32-true"
