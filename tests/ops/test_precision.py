"""Autocast is off inside an operator, on devices that have it; the dtype of rows."""

import contextlib

import pytest
import torch

from perceiver_pytorch.ops.precision import HALF, full_precision, rows_of


def test_autocast_is_off_within_and_on_again_afterwards() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with full_precision(torch.device("cpu")):
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")


def test_devices_without_autocast_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(full_precision(torch.device("meta")), contextlib.nullcontext)
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda device: False)
    assert isinstance(full_precision(torch.device("cpu")), contextlib.nullcontext)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # there PyTorch 2.6 cannot be asked
    assert isinstance(full_precision(torch.device("cpu")), torch.autocast)
    assert isinstance(full_precision(torch.device("meta")), contextlib.nullcontext)


def test_rows_are_of_half_precision_where_tensor_cores_read_them() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert rows_of(torch.bfloat16, cuda) == torch.bfloat16
    assert rows_of(torch.float16, cuda) == torch.float32  # which could not hold them all
    for dtype in HALF:
        assert rows_of(dtype, cpu) == torch.float32
    for device in (cuda, cpu):
        assert rows_of(torch.float32, device) == torch.float32
        assert rows_of(torch.float64, device) == torch.float64
