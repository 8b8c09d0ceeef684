"""What the machine can do at best: memory bandwidth, exponentials, matrix products."""

from collections.abc import Callable

import torch

from benchmarks.timing import repeated

EXP_BLOCKS = (1 << 15, 1 << 16, 1 << 17)
"""Values per thread: 128 KB to 512 KB, read and written, which the second cache level holds."""


def measure(quick: bool) -> dict[str, dict[str, float]]:
    """Per floor its unit, median and best."""
    size = 1 << (22 if quick else 28)  # float32 values: 16 MB or 1 GB
    side = 256 if quick else 2048
    repeats = 3 if quick else 9
    return {
        "memory read": _rate(*_read(size), repeats, "GB/s"),
        "memory copy (read + write)": _rate(*_copy(size), repeats, "GB/s"),
        "exp, float32, in cache": _best(
            [_rate(*_exponentials(block, 20 if quick else 500), repeats, "G/s") for block in EXP_BLOCKS]
        ),
        "matrix product, float32": _rate(*_product(side, torch.float32), repeats, "GFLOP/s"),
        "matrix product, bfloat16": _rate(*_product(side, torch.bfloat16), repeats, "GFLOP/s"),
    }


def _read(size: int) -> tuple[Callable[[], object], float]:
    values = torch.ones(size)
    return (lambda: torch.sum(values)), 4e-9 * size


def _copy(size: int) -> tuple[Callable[[], object], float]:
    source, target = torch.ones(size), torch.zeros(size)
    return (lambda: target.copy_(source)), 8e-9 * size


def _exponentials(block: int, rounds: int) -> tuple[Callable[[], object], float]:
    """As in a softmax: values below zero, in blocks that stay in the cache of each core."""
    values = torch.rand(block * torch.get_num_threads()) * -10.0
    out = torch.empty_like(values)

    def call() -> None:
        for _ in range(rounds):
            torch.exp(values, out=out)

    return call, 1e-9 * values.numel() * rounds


def _product(side: int, dtype: torch.dtype) -> tuple[Callable[[], object], float]:
    left, right = torch.rand(side, side).to(dtype), torch.rand(side, side).to(dtype)
    return (lambda: left @ right), 2e-9 * side**3


def _rate(call: Callable[[], object], amount: float, repeats: int, unit: str) -> dict[str, float]:
    with torch.no_grad():
        call()
        times = sorted(repeated(call, repeats, budget=30.0))
    return {"unit": unit, "median": amount / times[len(times) // 2], "best": amount / times[0]}


def _best(rates: list[dict[str, float]]) -> dict[str, float]:
    return max(rates, key=lambda rate: rate["median"])
