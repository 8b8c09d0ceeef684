"""Who follows a computation: whether values may be looked at, and functions used into which PyTorch cannot see.

Every check that looks at a tensor's values, every cache, and every operator of our own asks `execution`.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

Execution = Literal["eager", "graph", "export", "transform"]

_PLAIN = (Tensor, nn.Parameter)
# Looked up once: these are asked in every layer of every call.
_is_compiling, _is_tracing = torch.compiler.is_compiling, torch._C._is_tracing
_is_transformed = torch._C._are_functorch_transforms_active


def _is_not_strict() -> bool:
    """PyTorch 2.6 tells of an export only where it runs the model instead of reading its code."""
    return not torch.compiler.is_dynamo_compiling()


_is_exporting = getattr(torch.compiler, "is_exporting", _is_not_strict)


def execution(*tensors: Tensor | None) -> Execution:
    """How an operation on ``tensors`` is carried out here.

    Returns:
        ``"eager"``: at once, and autograd alone follows it. Values may be looked at, and a function opaque to PyTorch
        may compute.
        ``"graph"``: for shapes alone, or for a graph that runs here later (`torch.compile`, fake and meta tensors).
        There are no values; an operator that PyTorch knows may compute.
        ``"export"``: for a graph that may run without this package (`torch.export`, ONNX, `torch.jit.trace`).
        ``"transform"``: for somebody who goes through every operation (`torch.func`, forward-mode differentiation,
        tensors of a class of their own). In these two there are no values, and PyTorch's own operations alone may
        compute.
    """
    if _is_transformed():
        return "transform"
    if _is_compiling():
        return "export" if _is_exporting() else "graph"
    if _is_tracing():
        return "export"
    if forward_ad._current_level >= 0:  # whether or not these tensors have a tangent: weights behind them may
        return "transform"
    if is_in_torch_dispatch_mode():
        return "graph"
    for tensor in tensors:
        if tensor is not None and (type(tensor) not in _PLAIN or tensor.is_meta):
            return "graph" if tensor.is_meta or _is_fake(tensor) else "transform"
    return "eager"


def is_eager(*tensors: Tensor | None) -> bool:
    """Whether values of ``tensors`` may be looked at, see `execution`."""
    return execution(*tensors) == "eager"


def is_ordinary(tensor: Tensor | None) -> bool:
    """Whether a tensor is PyTorch's own, of no class that changes what operations do with it; or None."""
    return tensor is None or type(tensor) in _PLAIN or _is_compiling() or _is_fake(tensor)


def _is_fake(tensor: Tensor) -> bool:
    from torch._subclasses.fake_tensor import FakeTensor  # rarely needed, and slow to import

    return isinstance(tensor, FakeTensor)
