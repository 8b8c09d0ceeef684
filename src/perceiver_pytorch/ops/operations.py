"""How many operations a computation takes, those of our own operators and of PyTorch's."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

OPAQUE = ("compiled", "triton")
"""Backends whose kernels the counter does not see into; what others do, it counts."""

Shape = Sequence[int]


def count_operations(compute: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products, convolutions and attention; a multiplication and an addition are
    two. What else there is (norms, activations, exponentials) takes few.

    Args:
        compute: is called once, in this thread; what other threads compute is not seen.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False, custom_mapping=_formulas()) as counter:
        compute()
    return int(counter.get_total_flops())


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

    def attend(rows: Shape, data: Shape, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return of_pairs(rows, data)

    def attend_backward(mixed: Any, lse: Any, _: Any, __: Any, rows: Shape, data: Shape, *___: Any, **____: Any) -> int:
        return 2 * of_pairs(rows, data)

    def attention(query: Shape, key: Shape, value: Shape, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])

    def attention_backward(_: Any, query: Shape, key: Shape, value: Shape, *__: Any, **___: Any) -> int:
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
