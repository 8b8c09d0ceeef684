"""The rows of a step, gathered from all ranks, so that a loss is computed of all of them.

Every rank then has the loss of the whole batch, and sends back the gradients of its own rows. DistributedDataParallel
takes the mean over ranks, so these are as many times as large: the mean is the gradient of the whole batch, whatever
the loss is, and however the rows are divided.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from perceiver_pytorch.nn.processes import rows_over
from perceiver_pytorch.nn.randomness import Share, current_share, sharing
from perceiver_pytorch.training.run.ranks import rank, world


@dataclass(frozen=True)
class Rows:
    """How many rows of something each rank has."""

    counts: Sequence[int]

    @property
    def total(self) -> int:
        """How many all of them have."""
        return sum(self.counts)

    @property
    def start(self) -> int:
        """How many the ranks before this one have."""
        return sum(self.counts[: rank()])

    @classmethod
    def of(cls, count: int) -> "Rows":
        """Asks all ranks; this one has ``count``."""
        if world() == 1:
            return cls([count])
        from torch import distributed

        found = [torch.zeros((), dtype=torch.int64) for _ in range(world())]
        distributed.all_gather(found, torch.tensor(count))
        return cls([int(each) for each in found])

    def gathered(self, tensor: Tensor) -> Tensor:
        """The rows of all ranks, one rank after another, of the first ones of this rank's ``tensor``. Gradients go back
        to the rank that they belong to."""
        if world() == 1:
            return tensor
        return _Gathered.apply(tensor[: self.counts[rank()]], self.counts)

    def partners(self, tensor: Tensor, of_all: Tensor) -> Tensor:
        """For each row of this rank's ``tensor`` the row of any rank that stands in its place in ``of_all``.

        Args:
            tensor: its first axis are this rank's rows; the others are as long in all ranks.
            of_all: int64 ``(total,)``, the same in all ranks.
        """
        count = self.counts[rank()]
        own = (
            of_all[self.start : self.start + count] if count else of_all[: len(tensor)]
        )  # a row that counts for nothing
        return self.gathered(tensor)[own.to(tensor.device)]


def largest(numbers: Sequence[int]) -> list[int]:
    """Of each number the largest that a rank has."""
    if world() == 1:
        return list(numbers)
    from torch import distributed

    found = torch.tensor(numbers, dtype=torch.int64)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return found.tolist()


def of_first(tensor: Tensor) -> Tensor:
    """The first rank's tensor in the place of this one's, which has its shape and is on the CPU."""
    if world() > 1:
        from torch import distributed

        distributed.broadcast(tensor, 0)
    return tensor


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, counts: Sequence[int]) -> Tensor:
        ctx.start, ctx.count = Rows(counts).start, len(tensor)
        parts = _padded(tensor, max(counts))
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].narrow(0, ctx.start, ctx.count) * world(), None


def _padded(tensor: Tensor, length: int) -> list[Tensor]:
    """What each rank has, filled up to a length."""
    from torch import distributed

    own = tensor.detach()
    own = torch.cat([own, own.new_zeros(length - len(own), *own.shape[1:])])
    carried = own.to(torch.uint8) if own.dtype == torch.bool else own  # gloo carries no bool
    found = [torch.empty_like(carried) for _ in range(world())]
    distributed.all_gather(found, carried)
    return [part.to(own.dtype) for part in found]


@contextmanager
def rows_of_a_step(count: int, device: torch.device) -> Iterator[Rows]:
    """Within the block, what depends on the whole batch is computed of it: random numbers, and statistics of the first
    batch. On GPUs random numbers are each rank's own.

    Args:
        count: rows of this rank; 0 for one whose only row stands for none.
        device: of the model.
    """
    rows = Rows.of(count)
    if world() == 1:
        yield rows
        return
    from torch import distributed

    with rows_over(distributed.group.WORLD):
        if device.type != "cpu":
            yield rows
            return
        here, total = max(1, count), max(1, rows.total)
        start = min(rows.start, total - here)
        with sharing(Share(start, start + here, total)):
            yield rows


@contextmanager
def drawing_for_the_batch() -> Iterator[None]:
    """Within the block PyTorch's functions that draw numbers for each row draw those of the whole batch, as in
    `perceiver_pytorch.nn.randomness`."""
    share = current_share()
    if share is None:
        yield
        return
    with _WholeBatch(share):
        yield


class _WholeBatch(TorchFunctionMode):
    def __init__(self, share: Share) -> None:
        super().__init__()
        self.share = share

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, rows = kwargs or {}, self.share.stop - self.share.start
        if func in (torch.rand, torch.randn) and args:
            size = args if isinstance(args[0], int) else tuple(args[0])
            if size and size[0] == rows:
                return func((self.share.total, *size[1:]), **kwargs).narrow(0, self.share.start, rows)
        if func in (torch.rand_like, torch.randn_like) and len(args[0]) == rows:
            plain = torch.rand if func is torch.rand_like else torch.randn
            options = {"dtype": args[0].dtype, "device": args[0].device, **kwargs}
            size = (self.share.total, *args[0].shape[1:])
            return plain(size, **options).narrow(0, self.share.start, rows)
        return func(*args, **kwargs)
