"""Tokens of one sample spread over processes: each attends to its own, and the results are joined.

With ``(mean_r, lse_r)`` of process r, ``Σ_r exp(lse_r - peak) mean_r / Σ_r exp(lse_r - peak)`` is attention over all
tokens. Peaks are found first, one number a row; then one all-reduce carries numerators and denominators. What crosses
the network is as large as the latents, however many tokens there are.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from perceiver_pytorch.ops.joining import Part, lse_of, shares_of

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

_selection: dict[str, "ProcessGroup | None"] = {"group": None}  # a plain global, as that of backends


@contextlib.contextmanager
def chosen(selection: dict[str, Any], group: "ProcessGroup | None") -> Iterator[None]:
    """Within the block the processes of a selection are those of ``group``."""
    before = selection["group"]
    selection["group"] = group
    try:
        yield
    finally:
        selection["group"] = before


def over(group: "ProcessGroup | None") -> contextlib.AbstractContextManager[None]:
    """Within the block every cross-attend's contexts are this process' part of the tokens; None: all of them."""
    return chosen(_selection, group)


def group() -> "ProcessGroup | None":
    """The processes that share the tokens here; None: tokens are not shared."""
    return _selection["group"]


def join_processes(part: Part) -> Part:
    """What rows get from the tokens of all processes of `group`, the same in each.

    Gradients are those of the sum of all processes' losses: averaged over the processes, as DistributedDataParallel
    does, they are those of the loss that all of them have.
    """
    from torch import distributed

    mean, lse = part
    peak = lse.detach().clone()
    distributed.all_reduce(peak, distributed.ReduceOp.MAX, group=group())
    share = shares_of(lse, peak).unsqueeze(-1)
    both = _Sum.apply(group(), torch.cat([mean * share, share], dim=-1))
    total = both[..., -1].clamp_min(torch.finfo(both.dtype).tiny)
    return both[..., :-1] / total.unsqueeze(-1), lse_of(total, peak)


class _Sum(torch.autograd.Function):
    """The sum over all processes; so is the gradient."""

    @staticmethod
    def forward(ctx: Any, processes: "ProcessGroup", tensor: Tensor) -> Tensor:
        from torch import distributed

        ctx.processes = processes
        result = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(result, group=processes)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, _Sum.apply(ctx.processes, grad)


def whole(function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    """Calls what attends to tokens that every process has as a whole, such as latents."""
    if group() is None:
        return function(*arguments)
    with over(None):
        return function(*arguments)


def refuse(what: str) -> None:
    """Raises where an attention cannot be joined.

    Raises:
        NotImplementedError: within `over`.
    """
    if group() is not None:
        raise NotImplementedError(f"{what} cannot read an input that is split over processes")
