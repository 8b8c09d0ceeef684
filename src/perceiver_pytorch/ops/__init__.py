"""Operators on structured contexts: the input array that is attended to without ever being built."""

from perceiver_pytorch.ops.choose import backend_names, use_backend
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.cross_attend import attend, cross_attend

__all__ = ["Context", "attend", "backend_names", "cross_attend", "use_backend"]
