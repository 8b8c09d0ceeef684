"""Linear maps. On x86 CPUs the larger ones in float32 go through oneDNN, which PyTorch brings along.

PyTorch calls MKL for these and adds the bias in a pass of its own. oneDNN's product is a tenth faster where that was
measured (docs/performance.md), and takes bias, GELU and a factor along while its results are in the cache.
"""

import platform
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.ops.precision import HALF

FEWEST_OPERATIONS = 1 << 25
"""Multiply-adds below which MKL, whose calls are shorter, is ahead."""

_X86 = platform.machine().lower() in ("x86_64", "amd64")


def linear(
    x: Float[Tensor, "*shape in_features"],
    weight: Float[Tensor, "out_features in_features"],
    bias: Float[Tensor, " out_features"] | None = None,
) -> Float[Tensor, "*shape out_features"]:
    """``F.linear``, the same to float32's rounding."""
    if x.dtype != torch.float32 or torch.is_autocast_enabled("cpu") or not takes(x, weight, bias):
        return F.linear(x, weight, bias)  # in bfloat16 it calls oneDNN, too
    if needs_gradients(x, weight, bias):
        return _Product.apply(x, weight, bias)
    return product(x, weight, bias)


def takes(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether `product` may, and should, compute this layer, after `as_autocast`."""
    # In a graph a size may be a symbol, which a comparison would bind.
    if torch.compiler.is_compiling() or x.numel() * weight.shape[0] < FEWEST_OPERATIONS:
        return False
    if not is_eager(x, weight, bias) or not _available():
        return False
    given = (x, weight) if bias is None else (x, weight, bias)
    if any(t.device.type != "cpu" for t in given):
        return False
    dtypes = {t.dtype for t in given}
    if torch.is_autocast_enabled("cpu") and dtypes <= {torch.float32, torch.bfloat16}:
        dtypes = {torch.get_autocast_dtype("cpu")}
    if dtypes != {torch.float32} and not (dtypes == {torch.bfloat16} and _bfloat16()):
        return False
    # A wrong shape is left to the error of `F.linear`.
    return x.dim() >= 2 and weight.dim() == 2 and x.shape[-1] == weight.shape[1]


def as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors in the dtype that autocast, where it is on, would give a linear layer."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    return tuple(_cast(t, torch.get_autocast_dtype("cpu")) for t in tensors)


def casting_once() -> AbstractContextManager[object]:
    """Within the block `as_autocast` casts a weight once, however often it is used, where nobody asks for gradients.

    Autocast does the same for its own casts; nobody may change weights meanwhile.
    """
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or not torch.is_autocast_enabled("cpu"):
        return nullcontext()
    return nullcontext() if _casts.kept is not None else _keeping_casts()


def needs_gradients(*tensors: Tensor | None) -> bool:
    """Whether autograd will ask for any of them."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    """``activation(x @ weight.T + bias)`` without gradients; ``activation`` is ``"none"`` or ``"gelu"`` (exact)."""
    return _operator()(x, weight, bias, activation, [], "none")


def product_times(factor: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``(x @ weight.T + bias) * factor`` without gradients."""
    return _operator().binary(x, factor, weight, bias, "mul")


def _available() -> bool:
    usable = _X86 and torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)
    return usable and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def bfloat16_products() -> bool:
    """Whether oneDNN multiplies matrices in bfloat16 by this processor's own instructions."""
    return _available() and _bfloat16()


@cache
def _bfloat16() -> bool:
    # oneDNN takes bfloat16 with any AVX-512, and widens it where the processor does not multiply it.
    own = any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("avx512_bf16", "amx_tile"))
    return own and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _operator() -> Any:
    """oneDNN's linear layer, as PyTorch's own compiler calls it."""
    return torch.ops.mkldnn._linear_pointwise


class _Casts(threading.local):
    """Weights of the calling thread, and what they were cast to, by their id and its dtype; None: they are not kept."""

    kept: dict[tuple[int, torch.dtype], tuple[Tensor, Tensor]] | None = None


_casts = _Casts()


@contextmanager
def _keeping_casts() -> Iterator[None]:
    _casts.kept = {}
    try:
        yield
    finally:
        _casts.kept = None


def _cast(values: Tensor, dtype: torch.dtype) -> Tensor:
    if values.device.type != "cpu" or values.dtype not in (torch.float32, *HALF):
        return values
    kept = _casts.kept
    if kept is None or torch.is_grad_enabled() or not (values.requires_grad and values.is_leaf):
        return values.to(dtype)
    if (id(values), dtype) not in kept:
        kept[id(values), dtype] = values, values.to(dtype)
    return kept[id(values), dtype][1]


class _Product(torch.autograd.Function):
    """`product` with its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        multiply = F.linear if torch.is_grad_enabled() else product  # gradients of gradients are asked for, or not
        rows = grad.flatten(0, -2)
        grad_x = grad_weight = grad_bias = None
        if needs_x:
            grad_x = multiply(grad, weight.mT)
        if needs_weight:
            grad_weight = multiply(rows.mT, x.flatten(0, -2).mT)
        if needs_bias:
            grad_bias = rows.sum(0)
        return grad_x, grad_weight, grad_bias
