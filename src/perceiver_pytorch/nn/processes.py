"""The rows of a training step may be spread over processes. What depends on all of them asks here."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from perceiver_pytorch.ops.split import chosen

_selection: dict[str, Any] = {"group": None}  # a plain global: threads that compute some of the rows see it, too


def rows_over(group: Any) -> AbstractContextManager[None]:
    """Within the block each process of a group has some rows of every batch."""
    return chosen(_selection, group)


def are_shared() -> bool:
    """Whether other processes have rows of the batch, too."""
    return _selection["group"] is not None


def moments(values: Tensor) -> tuple[Tensor, Tensor] | None:
    """Variance and mean over the first axis, without gradients, of the values of all processes that share the rows.

    Args:
        values: float ``(count, channels)``; the count may differ between processes.

    Returns:
        Two tensors ``(channels,)``; None where there are no values.
    """
    count = len(values)
    var, mean = torch.var_mean(values, dim=0, correction=0) if count else values.new_zeros(2, values.shape[1])
    return _of_all_processes(count, var, mean)


def moments_of_parts(parts: Iterable[Tensor], like: Tensor) -> tuple[Tensor, Tensor] | None:
    """`moments` of values that come in parts, of which one is in memory at a time.

    Args:
        parts: float ``(any number, channels)``.
        like: ``(channels,)``, for device and dtype.
    """
    count, var, mean = 0, torch.zeros_like(like), torch.zeros_like(like)
    for part in parts:
        if more := len(part):
            own_var, own_mean = torch.var_mean(part, dim=0, correction=0)
            share, apart = more / (count + more), own_mean - mean
            var = (1 - share) * var + share * own_var + share * (1 - share) * apart.square()
            mean, count = mean + share * apart, count + more
    return _of_all_processes(count, var, mean)


def _of_all_processes(count: int, var: Tensor, mean: Tensor) -> tuple[Tensor, Tensor] | None:
    """Variance and mean of the values of all processes; this one has ``count``, with these moments."""
    if _selection["group"] is None:
        return (var, mean) if count else None
    whole = int(_total(torch.tensor(count, device=var.device)))
    if not whole:
        return None
    center = _total(mean * (count / whole))
    return _total((var + (mean - center).square()) * (count / whole)), center


def _total(tensor: Tensor) -> Tensor:
    from torch import distributed

    found = tensor.detach().clone()
    distributed.all_reduce(found, group=_selection["group"])
    return found
