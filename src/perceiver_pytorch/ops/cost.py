"""What a cross-attend costs, by counted operations: how the way to compute it is chosen.

A way's cost is a sum of counts (calls, rows, (row, token) pairs, tokens, and the last two times channels) times what
each takes on a CPU. The factors stand beside their counts, in each backend's file. They were fitted to the choice over
a grid of shapes on two cores; on other processors they differ, but much less so their ratios, on which the choice
depends. ``python -m benchmarks.choice`` measures the grid, compares the choice with the best, and prints factors fitted
anew.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from perceiver_pytorch.ops.context import Context

DENSE_LIMIT = 1 << 24
"""Numbers that ways which form the input array and all scores may hold at a time: 64 MB, which training keeps."""


class Count(NamedTuple):
    """How often a way does something, and the microseconds it takes each time, without and with a backward pass."""

    number: float
    forward: float
    training: float


Counts = Callable[[Context, int, int], Sequence[Count]]
"""``counts(context, num_rows, inner_dim)``: what a way does for a context.

``num_rows`` is latents times heads; ``inner_dim`` is heads times their channels, for keys and values. For every context
it gives equally many counts of the same kinds.
"""


class Size(NamedTuple):
    """What ways count by."""

    tokens: int
    rows: int
    pairs: int
    channels: int
    features: int

    @classmethod
    def of(cls, context: Context, num_rows: int) -> "Size":
        """Tokens, rows and pairs of the whole batch; channels of the data, and features of the last axis."""
        batch, channels = context.data.shape[0], context.data.shape[-1]
        tokens = batch * context.num_tokens
        features = context.tables[-1].shape[-1] if context.tables else 0
        return cls(tokens, batch * num_rows, tokens * num_rows, channels, features)


def dense_calls(context: Context, num_rows: int) -> float:
    """One call of a way that forms the input array and all scores; infinite beyond `DENSE_LIMIT` numbers."""
    tokens = context.data.shape[0] * context.num_tokens
    return math.inf if tokens * (context.num_channels + num_rows) > DENSE_LIMIT else 1


def estimate(counts: Counts, context: Context, num_rows: int, inner_dim: int = 0, *, training: bool) -> float:
    """Microseconds; infinite for what a way should not be used for."""
    found = counts(context, num_rows, inner_dim)
    return sum(count.number * (count.training if training else count.forward) for count in found)


def ranking(
    ways: Mapping[str, Counts], context: Context, num_rows: int, inner_dim: int = 0, *, training: bool
) -> tuple[str, ...]:
    """The names of ``ways``, the cheapest first."""
    costs = {name: estimate(counts, context, num_rows, inner_dim, training=training) for name, counts in ways.items()}
    return tuple(sorted(costs, key=costs.__getitem__))
