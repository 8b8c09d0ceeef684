"""Sizes of the Triton kernels' tiles: measured once on a GPU, by `tune`, and kept in a file for all later runs.

Nothing is measured unasked. A first call that tried sizes could not be recorded in a CUDA graph, and sums in another
order would give other bits from run to run. Without a file the kernels have sizes that need few registers.
``python -m benchmarks.gpu --parts tune`` measures.
"""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perceiver_pytorch._files import write_json
from perceiver_pytorch._saved_files import DamagedFileError, read_json
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.structured import StructuredAttend

CHOICES = {"rows": (16, 32, 64), "tokens": (16, 32, 64, 128), "warps": (4, 8)}
SIDE, ROWS, REPEATS = 512, 64, 10
"""What `tune` measures on: two images of so many pixels a side and so many rows; the median of so many calls."""


@dataclass(frozen=True)
class Tiles:
    """Rows and tokens that a program takes at once, at most, and its warps."""

    rows: int
    tokens: int
    warps: int

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if type(value) is not int or value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}")


CANDIDATES = [
    Tiles(rows, tokens, warps) for rows in CHOICES["rows"] for tokens in CHOICES["tokens"] for warps in CHOICES["warps"]
]
_tried: list[Tiles] = []


def kept(device: torch.device, half: bool) -> Tiles | None:
    """The sizes that were measured on such a GPU for data of half precision, or for others; None if there are none."""
    return _tried[-1] if _tried else _read(_file(), key(device, half))


@functools.cache
def key(device: torch.device, half: bool) -> str:
    """What the sizes depend on: the GPU, the compiler, and whether products go through tensor cores."""
    from importlib.metadata import version

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{name}, triton {version('triton')}, {'half' if half else 'single'} precision"


@contextlib.contextmanager
def trying(tiles: Tiles) -> Iterator[None]:
    """Within the block the kernels have these sizes."""
    _tried.append(tiles)
    try:
        yield
    finally:
        _tried.pop()


def tune(
    attend: type[StructuredAttend],
    device: torch.device,
    half: bool,
    *,
    side: int = SIDE,
    candidates: list[Tiles] | None = None,
    repeats: int = REPEATS,
) -> dict[Tiles, float]:
    """Measures sizes on a device, and keeps the fastest for later contexts of every process.

    Args:
        attend: what runs the kernels, `TritonAttend`.
        half: for data of half precision, or for others.
        side: pixels a side of what is measured on.
        candidates: sizes to measure; by default all.
        repeats: calls, of which the median counts.

    Returns:
        Seconds of a forward and a backward pass by size; those that the GPU has no room for are left out.

    Raises:
        RuntimeError: if the kernels run with none of them.
    """
    found, reason = {}, ""
    for tiles in CANDIDATES if candidates is None else candidates:
        try:
            with trying(tiles):
                found[tiles] = _seconds(_passes(attend, device, half, side), device, repeats)
        except Exception as error:  # compilers and drivers have no class of errors in common
            reason = " ".join(str(error).split())[:200]
    if not found:
        raise RuntimeError(f"the Triton kernels run with none of these sizes: {reason}")
    _keep(_file(), key(device, half), min(found, key=lambda tiles: found[tiles]))
    return found


def _passes(attend: type[StructuredAttend], device: torch.device, half: bool, side: int) -> Callable[[], object]:
    """A forward and a backward pass over two images, without a way out where the kernels fail."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device)

    data = normal(2, side, side, 3)
    context = Context(data.bfloat16() if half else data, (normal(side, 13), normal(side, 13)), normal(2))
    shape = (2, ROWS, context.num_channels)
    rows, grads = normal(*shape) / context.num_channels**0.5, normal(*shape)

    def both() -> None:
        mixed, lse = attend.forward(rows, context, 1e-5)
        attend.backward(rows, context, 1e-5, mixed, lse, grads, torch.zeros_like(lse), False, True)

    return both


def _seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The median of some calls, after one that compiles."""

    def done() -> float:
        began = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    done()
    return sorted(done() for _ in range(repeats))[repeats // 2]


def _file() -> Path:
    folder = os.environ.get("PERCEIVER_CACHE")
    return (Path(folder) if folder else Path.home() / ".cache" / "perceiver_pytorch") / "triton-tiles.json"


@functools.cache
def _read(file: Path, name: str) -> Tiles | None:
    """Once per process: a context's tiles stay what they were. A file that nobody can read says nothing."""
    try:
        return Tiles(**read_json(file)[name])
    except (DamagedFileError, KeyError, TypeError, ValueError):
        return None


def _keep(file: Path, name: str, tiles: Tiles) -> None:
    known: dict[str, Any] = {}
    with contextlib.suppress(DamagedFileError):
        known = read_json(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, known | {name: asdict(tiles)})
    _read.cache_clear()
