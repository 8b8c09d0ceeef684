"""Compiles beforehand the loops that common inputs need: pictures, films and sounds; and those of latents."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from perceiver_pytorch._waiting import waiting
from perceiver_pytorch.ops import latents
from perceiver_pytorch.ops.backends import compiled, loop_files
from perceiver_pytorch.ops.context import Context

COMMON = (
    (torch.uint8, 3, (4, 4)),
    (torch.float32, 3, (4, 4)),
    (torch.uint8, 1, (4, 4)),
    (torch.float32, 1, (4, 4)),
    (torch.float32, 1, (16,)),
)
"""Dtype, channels and axes of data. Of several axes their number makes no difference, so films are among them; with one
axis, the features of 6 frequencies are channels, as in the sound of release 1.4.0's example."""

FEATURES = 13


def warm_up(progress: Callable[[int, int], None] | None = None) -> Path | None:
    """Compiles the loops of `COMMON` inputs, forward and backward, and of latents, unless the disk has them.

    Args:
        progress: called with (inputs done, inputs in all); an input of the worst case takes some ten seconds.

    Returns:
        The folder in which loops are kept; None if no folder can be written to: then each process compiles its own.

    Raises:
        ValueError: if nothing can be compiled here, with the reason.
    """
    if not compiled.is_installed():
        raise ValueError(f"there is nothing to compile: {compiled.NEEDED}")
    problems = [*_problems()]
    with waiting(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it would say is raised below
        for done, (rows, context) in enumerate(problems):
            if progress is not None:
                progress(done, len(problems))
            mixed, lse = compiled.BACKEND.attend(rows, context, 1e-5)
            (mixed.sum() + lse.sum()).backward()
        latents.compile_loops()
    failures = [*compiled.failures(), *latents.failures()]
    if failures:
        raise ValueError(f"the loops cannot be compiled here: {failures[0]}")
    if progress is not None:
        progress(len(problems), len(problems))
    return loop_files.place()


def _problems() -> Iterator[tuple[Tensor, Context]]:
    """Each of `COMMON` with fixed positions, and with gradients of positions and data."""
    for dtype, channels, axes in COMMON:
        for learned in (False, True):
            tables = tuple(torch.ones(length, FEATURES, requires_grad=learned) for length in axes)
            data = torch.ones(1, *axes, channels).to(dtype)
            if data.is_floating_point():
                data.requires_grad_(learned)
            rows = torch.ones(1, 1, channels + len(axes) * FEATURES, requires_grad=True)
            yield rows, Context(data, tables)
