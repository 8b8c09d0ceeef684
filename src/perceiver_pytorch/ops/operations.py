"""How many operations a computation takes, those of our own operators and of PyTorch's."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

OPAQUE = ("compiled", "triton")
"""Backends whose kernels the counter does not see into; what others do, it counts."""

Shape = Sequence[int]


def count_operations(compute: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products, convolutions and attention; a multiplication and an addition are
    two. What else there is (norms, activations, exponentials) takes few.

    PyTorch's own counter hangs itself on every module, which would be a reason to read inputs by keys and values.

    Args:
        compute: is called once, in this thread; what other threads compute is not seen.
    """
    with _Counter() as counter:
        compute()
    return counter.total


class _Counter(TorchDispatchMode):
    """Counts what operators take, by the formulas that PyTorch has for them, and ours."""

    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry

        super().__init__()
        self.known, self.ours, self.total = flop_registry, _formulas(), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        operator = func._overloadpacket
        if operator in self.ours:
            self.total += self.ours[operator](*(arg.shape if isinstance(arg, torch.Tensor) else arg for arg in args))
        elif operator in self.known:
            self.total += int(self.known[operator](*args, **(kwargs or {}), out_val=out))
        return out


def of_pairs(rows: Shape, data: Shape) -> int:
    """Of a structured cross-attend: per row and token a score, and its part of the weighted sum, by the token's data
    and by its place along each axis (docs/design.md).

    Args:
        rows: ``(batch, rows, channels)``.
        data: ``(batch, *axes, data channels)``.
    """
    axes = len(data) - 2
    return 2 * (2 * data[-1] + 2 * axes) * rows[0] * rows[1] * math.prod(data[1:-1])


def _formulas() -> dict[Any, Callable[..., int]]:
    """What the counter does not know: the operators of opaque backends, and PyTorch's own attention on the CPU."""

    def attend(rows: Shape, data: Shape, *_: Any) -> int:
        return of_pairs(rows, data)

    def attend_backward(mixed: Any, lse: Any, _: Any, __: Any, rows: Shape, data: Shape, *___: Any) -> int:
        return 2 * of_pairs(rows, data)

    def attention(query: Shape, key: Shape, value: Shape, *_: Any) -> int:
        return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])

    def attention_backward(_: Any, query: Shape, key: Shape, value: Shape, *__: Any) -> int:
        return 5 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])

    found: dict[Any, Callable[..., int]] = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
    }
    for name in OPAQUE:
        for suffix, formula in (("", attend), ("_backward", attend_backward)):
            operator = getattr(torch.ops.perceiver_pytorch, f"attend_{name}{suffix}", None)
            if operator is not None:
                found[operator] = formula
    return found
