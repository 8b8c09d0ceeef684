"""Compiles the Triton backend's kernels for GPUs that are not here, and prints what came out, as JSON.

    python tests/ops/triton_compiles.py --capabilities 80 90 100 --dtypes bfloat16 --kernels collect

`test_triton_compiles.py` runs it: Triton decides when it is imported whether it compiles, and other tests interpret.
"""

import argparse
import json
import os
import time
from typing import Any

import torch

os.environ.pop("TRITON_INTERPRET", None)

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.backends import triton as backend
from perceiver_pytorch.ops.backends import triton_kernels

POINTERS = {
    torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.uint8: "*u8",
}  # fmt: skip
WARP = 32
Launch = tuple[str, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capabilities", nargs="+", type=int, required=True)
    parser.add_argument("--dtypes", nargs="+", required=True)
    parser.add_argument("--kernels", nargs="+", default=["find_peaks", "collect", "token_gradients"])
    parser.add_argument("--rows", default="float32")
    parser.add_argument("--channels", type=int, default=3)
    options = parser.parse_args()
    found = []
    for dtype in options.dtypes:
        for kernel, values in launches(getattr(torch, dtype), getattr(torch, options.rows), options.channels):
            if kernel in options.kernels:
                told = {"kernel": kernel, "dtype": dtype, "gradient": values.get("GRADIENT")}
                found += [told | compiled(kernel, values, capability) for capability in options.capabilities]
    print(json.dumps(found))


def launches(dtype: torch.dtype, of_rows: torch.dtype, channels: int) -> list[Launch]:
    """The kernels that a forward and a backward pass start, with what they are given."""
    seen: list[Launch] = []

    class Recorded(backend.TritonAttend):
        def launch(self, kernel: str, grid: tuple[int, int, int], *arguments: Any, **constants: Any) -> None:
            rows = self.batch, self.num_rows, self.parts_of_rows.near, self.parts_of_rows.constants
            given = zip(getattr(triton_kernels, kernel).arg_names, (*self.tokens, *rows, *arguments), strict=False)
            seen.append((kernel, dict(given) | constants | self.constants))

    data = torch.zeros(2, 70, 90, channels).to(dtype)
    tables = torch.zeros(70, 13), torch.zeros(90, 13)
    context = Context(data, tables, torch.zeros(2), mask=torch.ones(2, 70, 90, dtype=torch.bool))
    rows = torch.zeros(2, 40, context.num_channels).to(of_rows)
    attend = Recorded(rows, context, 1e-5)
    attend.peaks()
    attend.collect(torch.zeros(2, 40))
    column, grads = torch.zeros(2, 40), torch.zeros(rows.shape)
    attend.gradients((column, column, grads, column), needs_data=dtype != torch.uint8, needs_constants=True)
    return seen


def compiled(kernel: str, values: dict[str, Any], capability: int) -> dict[str, Any]:
    """Whether a kernel's products go through tensor cores, and the size of its binary."""
    function = getattr(triton_kernels, kernel)
    fixed = {name for name in function.arg_names if name.isupper()}
    signature = {name: "constexpr" if name in fixed else of(values[name]) for name in function.arg_names}
    source = ASTSource(function, signature, {name: values[name] for name in fixed})
    began = time.monotonic()
    result = triton.compile(source, target=GPUTarget("cuda", capability, WARP), options=dict(backend.OPTIONS))
    text = result.asm["ptx"]
    return {
        "capability": capability,
        "tensor_cores": any(word in text for word in ("mma.sync", "wgmma.mma_async", "tcgen05.mma")),
        "binary": len(result.asm["cubin"]),
        "seconds": round(time.monotonic() - began, 1),
    }


def of(value: Any) -> str:
    """Triton's name of an argument's type."""
    if isinstance(value, torch.Tensor):
        return POINTERS[value.dtype]
    return "fp32" if isinstance(value, float) else "i64" if value >= 1 << 31 else "i32"


if __name__ == "__main__":
    main()
