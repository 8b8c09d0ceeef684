"""Outputs and gradients of each backend on the device, against float64 there."""

import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers import ROOT

BACKENDS = ("triton", "chunked")
EPS = 1e-5


@dataclass(frozen=True)
class Check:
    """One problem by one backend.

    Args:
        error, allowed: of the result that comes closest to what is allowed, in parts of the largest result.
        result: which that is.
        refused: why the backend does not take the problem.
        failed: why the backend did not run; the chunked one then took its place.
    """

    problem: str
    backend: str
    error: float = 0.0
    allowed: float = 0.0
    result: str = ""
    refused: str = ""
    failed: str = ""

    @property
    def passed(self) -> bool:
        return not self.failed and (bool(self.refused) or self.error <= self.allowed)

    @property
    def verdict(self) -> str:
        if self.failed:
            return f"FAILED: {self.failed}"
        if self.refused:
            return f"does not take it: {self.refused}"
        return "ok" if self.passed else "TOO FAR"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed, "verdict": self.verdict}


def checks(device: torch.device, tokens: int, most: int | None = None) -> Iterator[Check]:
    """Every problem of tests/ops/problems.py by every backend, then one of so many ``tokens``.

    Args:
        most: how many of the problems; None: all.
    """
    sys.path.insert(0, str(ROOT / "tests"))
    from ops.problems import HARD, PROBLEMS

    catalogue = list((PROBLEMS | HARD).items())
    for name, (specs, options) in catalogue if most is None else catalogue[:: -(-len(catalogue) // most)]:
        for backend in BACKENDS:
            yield _unless_failed(_small(name, specs, options, backend, device))
    for rows in (torch.float32, torch.bfloat16):
        for data in (torch.float32, torch.bfloat16, torch.uint8):
            for backend in BACKENDS:
                yield _unless_failed(_long(tokens, rows, data, backend, device))


def _unless_failed(check: Check) -> Check:
    """Where kernels cannot be compiled or started, the chunked backend computes, and what it gives is right."""
    from perceiver_pytorch.ops.backends import triton

    if check.backend == "triton" and triton._failures:
        return Check(check.problem, check.backend, failed=triton._failures[0])
    return check


def _small(name: str, specs: Any, options: dict[str, Any], backend: str, device: torch.device) -> Check:
    from ops.errors import Errors
    from perceiver_pytorch.ops import use_backend

    try:
        with use_backend(backend):
            errors = Errors.of(specs, options, device)
    except ValueError as error:
        if "no backend takes this cross-attend" not in str(error):
            raise
        return Check(name, backend, refused=str(error).split(f"{backend}: ", 1)[-1])
    return _closest(name, backend, errors.allowed(options.get("score_scale", 1.0)), errors.largest)


def _long(tokens: int, rows: torch.dtype, data: torch.dtype, backend: str, device: torch.device) -> Check:
    """`attend` over an image of so many tokens, many blocks and programs, by the dense formula in float64.

    Rows of half precision may be off by what bfloat16 rounds, since their gradients are of it.
    """
    from perceiver_pytorch.ops import use_backend

    short = {dtype: str(dtype).removeprefix("torch.") for dtype in (rows, data)}
    name = f"{tokens:,} tokens, {short[data]}" + (f", rows {short[rows]}" if rows != torch.float32 else "")
    single, double = (_picture(tokens, rows, data, wide, device) for wide in (torch.float32, torch.float64))
    with use_backend("reference"):
        exact, plain = _results(*double), _results(*single)
    try:
        with use_backend(backend):
            ours = _results(*single)
    except ValueError as error:
        return Check(name, backend, refused=str(error).split(f"{backend}: ", 1)[-1])
    epsilon = torch.finfo(rows).eps
    errors = {}
    for key, value in exact.items():
        here, theirs = ((found[key].double() - value).norm().item() for found in (ours, plain))
        errors[key] = here, 2 * theirs + 4 * epsilon * value.norm().item()
    return _closest(name, backend, errors, max(value.norm().item() for value in exact.values()))


def _picture(
    tokens: int, of_rows: torch.dtype, dtype: torch.dtype, wide: torch.dtype, device: torch.device
) -> tuple[Tensor, Any]:
    """Rows (2, 32, channels) and an image of about so many tokens, the same for every ``wide`` dtype.

    Rows of half precision stay so where ``wide`` is float32, and are rounded as much in float64.
    """
    from perceiver_pytorch.ops import Context

    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    side = max(2, round((tokens / 2) ** 0.5))
    data = normal(2, side, side, 3)
    data = (data * 70 + 120).clamp(0, 255).to(dtype) if dtype == torch.uint8 else data.to(dtype)
    data = data.to(wide) if dtype == torch.float32 else data
    tables = tuple(normal(side, 13).float().to(wide).to(device) for _ in range(2))
    context = Context(data.to(device), tables, normal(2).float().to(wide).to(device))
    rows = (normal(2, 32, context.num_channels) / context.num_channels**0.5).to(of_rows)
    rows = rows if wide == torch.float32 else rows.to(wide)
    return rows.to(device).requires_grad_(), context


def _results(rows: Tensor, context: Any) -> dict[str, Tensor]:
    from perceiver_pytorch.ops import attend

    inputs = {"rows": rows, "table": context.tables[0].requires_grad_()}
    mixed, lse = attend(rows, context, eps=EPS)
    weights = torch.cos(torch.arange(mixed.numel(), dtype=mixed.dtype, device=mixed.device)).view_as(mixed)
    found = torch.autograd.grad((mixed * weights).sum() + lse.sum(), list(inputs.values()))
    return {"mixed": mixed.detach(), "lse": lse.detach()} | dict(zip(inputs, found, strict=True))


def _closest(name: str, backend: str, errors: dict[str, tuple[float, float]], largest: float) -> Check:
    """The result that is the nearest to what is allowed, or the farthest beyond."""

    def ratio(key: str) -> float:
        error, allowed = errors[key]
        return error / (allowed or 1e-300) if math.isfinite(error) else math.inf

    largest, key = largest or 1.0, max(errors, key=ratio)
    error, allowed = errors[key]
    return Check(name, backend, error / largest, allowed / largest, key)
