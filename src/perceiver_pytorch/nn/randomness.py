"""Random numbers of a training step, the same whether its rows are computed together or apart.

A thread or process that computes some rows of a batch draws what the whole batch would have drawn, and keeps what
belongs to its rows; a thread from a generator of its own. Elsewhere PyTorch's generator is the source.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Draw = Callable[[Sequence[int], torch.Generator | None], Tensor]


@dataclass(frozen=True)
class Share:
    """Rows ``start`` to ``stop`` of a batch of ``total``, and the generator that their thread draws from.

    None: PyTorch's, where one process of several computes these rows.
    """

    start: int
    stop: int
    total: int
    generator: torch.Generator | None = None

    def part(self, rows: slice, generator: torch.Generator) -> "Share":
        """Some of these rows, for a thread."""
        return Share(self.start + rows.start, self.start + rows.stop, self.total, generator)


class _Current(threading.local):
    """The share of the calling thread; None: it computes whole batches."""

    share: Share | None = None


_current = _Current()


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """Within the block this thread draws for these rows of a batch; None: for whole batches."""
    before, _current.share = _current.share, share
    try:
        yield
    finally:
        _current.share = before


def current_share() -> Share | None:
    """What this thread draws for; None: for whole batches."""
    return _current.share


def uniform(shape: Sequence[int], device: torch.device, *, rows: int = 0) -> Float[Tensor, "*shape"]:
    """Numbers from 0 to 1.

    Args:
        shape: of the result.
        device: of the result.
        rows: the axis of the batch's rows.
    """
    return _drawn(lambda whole, generator: torch.rand(tuple(whole), generator=generator, device=device), shape, rows)


def integers(high: int, shape: Sequence[int], device: torch.device) -> Int[Tensor, "*shape"]:
    """Integers from 0 to ``high - 1``; the rows are the first axis of ``shape``, if it has any."""
    return _drawn(
        lambda whole, generator: torch.randint(high, tuple(whole), generator=generator, device=device), shape, 0
    )


class Dropout(nn.Dropout):
    """PyTorch's dropout; rows are the first axis."""

    def forward(self, input: Tensor) -> Tensor:
        return dropped(input, self.p) if self.training else input


def dropped(x: Tensor, p: float) -> Tensor:
    """``x`` with a share ``p`` of its numbers set to zero, and the others enlarged by as much."""
    if not p or _current.share is None:
        return nn.functional.dropout(x, p)
    if p == 1:
        return x * 0
    keep = _drawn(lambda whole, generator: x.new_empty(whole).bernoulli_(1 - p, generator=generator), x.shape, 0)
    return x * (keep / (1 - p))


def _drawn(draw: Draw, shape: Sequence[int], rows: int) -> Tensor:
    share = _current.share
    if share is None:
        return draw(shape, None)
    if not shape:
        return draw(shape, share.generator)
    each = shape[rows] // (share.stop - share.start)  # some layers fold another axis into the rows
    whole = [*shape[:rows], share.total * each, *shape[rows + 1 :]]
    return draw(whole, share.generator).narrow(rows, share.start * each, shape[rows])
