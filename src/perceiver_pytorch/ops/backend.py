"""What a backend is: one way to compute `attend`, with all there is to know of it in one value.

A new backend is a file that makes a `Backend`, and a line in `backends/__init__.py`, or in another package an entry
point of the group ``perceiver.backends``. docs/extending/backend.md shows one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.cost import Counts
from perceiver_pytorch.ops.operator import Backward, Forward, define


class Rows(NamedTuple):
    """What is known of rows before they are formed: shape ``(batch, rows, channels)``, dtype and device."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, eq=False)
class Backend:
    """A way to compute `attend`.

    Args:
        name: what `use_backend` calls it; a Python identifier.
        unsupported: ``unsupported(rows, context)`` gives the reason why it cannot take a problem, or None; see `Rows`.
        forward: ``forward(rows, context, eps) -> (mixed, lse)``, see `perceiver_pytorch.ops.attend`; without autograd
            if there is a ``backward``. The context's channels stand one part after the other.
        backward: gives the gradients, see `perceiver_pytorch.ops.operator.Backward`; None if ``forward`` is made of
            differentiable operations of PyTorch.
        counts: what it does for a context, and how long that takes, see `perceiver_pytorch.ops.cost.Counts`: by it a
            backend is chosen on a CPU. Elsewhere the first in the list that takes a problem is.
        reads_half: whether rows in bfloat16 are read faster; else they come in float32 or more.
        together: ``together(rows, contexts, eps) -> (mixed, lse)`` attends to several contexts at once, and autograd
            follows it; rows come in float32 or more. None: contexts are read one after the other, and joined.

    Raises:
        ValueError: if the name is not an identifier.
        TypeError: if a function is missing, ``counts`` included, without which the backend would never be chosen.
    """

    name: str
    unsupported: Callable[[Rows, Context], str | None]
    forward: Forward
    backward: Backward | None
    counts: Counts
    reads_half: bool = False
    together: Callable[[Tensor, Sequence[Context], float], tuple[Tensor, Tensor]] | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"name of a backend must be an identifier such as 'chunked', got {self.name!r}")
        for part in ("unsupported", "forward", "counts"):
            if not callable(getattr(self, part)):
                raise TypeError(
                    f"{part} of backend {self.name!r} must be a function, got {getattr(self, part)!r}; "
                    "docs/extending/backend.md says what each part does"
                )
        operator = self.forward if self.backward is None else define(self.name, self.forward, self.backward)
        object.__setattr__(self, "_operator", operator)

    def attend(self, rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
        """See `perceiver_pytorch.ops.attend`; for a context whose channels stand one part after the other."""
        return self._operator(rows, context, eps)  # type: ignore[attr-defined]

    def attend_to_all(self, rows: Tensor, contexts: Sequence[Context], eps: float) -> tuple[Tensor, Tensor]:
        """The same of several contexts at once, where there is ``together``; their channels may be in any order."""
        assert self.together is not None
        return self.together(rows, contexts, eps)
