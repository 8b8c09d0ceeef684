"""The Triton kernels compile for GPUs that are not here, in a process that does not interpret them."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from perceiver_pytorch.ops.backends import triton

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")

CAPABILITIES = ("80", "90", "100")
"""A100, H100, B200."""


def compiled(*options: str) -> list[dict[str, Any]]:
    file = Path(__file__).with_name("triton_compiles.py")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(file), *options], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("rows", "data"), [("float32", "bfloat16"), ("bfloat16", "uint8")])
def test_a_kernel_of_bfloat16_compiles_for_tensor_cores(rows: str, data: str) -> None:
    options = ("--capabilities", "90", "--dtypes", data, "--rows", rows, "--kernels", "find_peaks")
    (found,) = compiled(*options)
    assert found["binary"] > 0
    assert found["tensor_cores"]


@pytest.mark.nightly
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("channels", "rows"), [("3", "float32"), ("40", "float32"), ("3", "bfloat16")])
def test_every_kernel_compiles(capability: str, channels: str, rows: str) -> None:
    dtypes = ("float32", "float16", "bfloat16", "uint8")
    found = compiled("--capabilities", capability, "--dtypes", *dtypes, "--rows", rows, "--channels", channels)
    passes = {(one["kernel"], one["dtype"], one["gradient"]) for one in found}
    for dtype in dtypes:
        assert {("find_peaks", dtype, None), ("collect", dtype, False), ("collect", dtype, True)} <= passes
        assert ("token_gradients", dtype, None) in passes
    for one in found:
        assert one["binary"] > 0
        assert one["tensor_cores"] == ("bfloat16" in (rows, one["dtype"]) or one["dtype"] == "float16"), one


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.uint8], ids=str)
def test_half_precision_data_go_through_tensor_cores(dtype: torch.dtype) -> None:
    expected = "tf32x3" if dtype in (torch.float16, torch.bfloat16) else "ieee"
    assert triton.products(torch.float32, torch.zeros(2, 3).to(dtype)) == expected


@pytest.mark.parametrize("rows", [torch.float16, torch.bfloat16], ids=str)
def test_rows_of_half_precision_take_one_product_whatever_the_data(rows: torch.dtype) -> None:
    for data in (torch.float32, torch.bfloat16, torch.uint8):
        assert triton.products(rows, torch.zeros(2, 3).to(data)) == "tf32"


def in_tf32(values: torch.Tensor) -> torch.Tensor:
    """Rounded down to the ten bits behind the point that TF32 has."""
    return (values.view(torch.int32) & ~0x1FFF).view(torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_factor_in_two_parts_loses_nothing_that_float32_keeps(dtype: torch.dtype) -> None:
    """What the kernels do on tensor cores: data as they are, rows as the sum of two TF32 numbers."""
    rows, data = torch.randn(50, 64), torch.randn(64, 70).to(dtype).float()
    assert torch.equal(in_tf32(data), data)
    first = in_tf32(rows)
    second = in_tf32(rows - first)
    exact = rows.double() @ data.double()
    parts = first.double() @ data.double() + second.double() @ data.double()
    assert (parts - exact).norm() <= (rows @ data - exact).norm()
    assert (first.double() @ data.double() - exact).norm() > 100 * (rows @ data - exact).norm()  # one part would not do
