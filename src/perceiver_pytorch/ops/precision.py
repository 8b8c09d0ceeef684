"""Precision of the computation inside an operator."""

import contextlib

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)
"""Dtypes that operators read, and never compute in."""


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Switches autocast off on ``device``, where it exists (it does not on "meta")."""
    # Asked in a graph, PyTorch 2.6 breaks off; what compiles has autocast.
    if device.type != "meta" and (torch.compiler.is_compiling() or torch.amp.is_autocast_available(device.type)):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def computed_in(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which numbers of ``dtype`` are worked with, and results are given: float32 or more."""
    return torch.promote_types(dtype, torch.float32)


def rows_of(queries: torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype of the rows that queries are folded into.

    bfloat16 serves the tensor cores of a GPU alone: elsewhere nothing is faster with it. Rounding a row moves a score
    by about a thousandth of what scores differ by, as rounding the keys does in attention of half precision. float16
    could not hold the gradients of rows, nor all rows.
    """
    return queries if queries == torch.bfloat16 and device.type == "cuda" else computed_in(queries)


def in_full(values: Tensor) -> Tensor:
    """Values in the dtype in which they are worked with."""
    return values.to(computed_in(values.dtype))
