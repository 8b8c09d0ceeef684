"""Parts whose operations are so small that one thread does them, forward and backward."""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Variable

from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.ops import threads

_largest_weights: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


def run(part: nn.Module, x: Float[Tensor, "batch latents dim"]) -> Float[Tensor, "batch latents dim"]:
    """``part(x)``, in one thread where the latents are few and narrow; see `perceiver_pytorch.ops.threads`."""
    if not is_eager(x) or not _takes(part, x):
        return part(x)
    if torch._C._current_graph_task_id() == -1:
        threads.end_single_threaded()  # left over where a backward pass broke off
    follows = torch.is_grad_enabled() and x.requires_grad
    with threads.single_threaded():
        x = part(_Mark.apply(x, False) if follows else x)
    return _Mark.apply(x, True) if follows else x


def _takes(part: nn.Module, x: Tensor) -> bool:
    if x.device.type != "cpu":
        return False
    if part not in _largest_weights:
        _largest_weights[part] = max((weight.numel() for weight in part.parameters()), default=0)
    return x.shape[:-1].numel() * _largest_weights[part] <= threads.SMALL


class _Mark(torch.autograd.Function):
    """In front of the part and behind it: the backward pass begins behind."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, behind: bool) -> Tensor:
        ctx.behind = behind
        return x.clone()  # a view, made here, might not be changed in place

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        if not ctx.behind:
            threads.end_single_threaded()
        elif threads.begin_single_threaded():
            # However much of the part is asked for: at the end of the pass at the latest all is as it was.
            Variable._execution_engine.queue_callback(threads.end_single_threaded)
        return grad, None
