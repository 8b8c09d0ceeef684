"""What a cross-attend costs, by counted operations: how the way to compute it is chosen.

A way's cost is a sum of counts (calls, rows, (row, token) pairs, tokens, and the last two times channels) times what
each takes on a CPU. The factors were fitted to the choice over a grid of shapes on two cores; on other processors they
differ, but much less so their ratios, on which the choice depends. ``python -m benchmarks.choice`` measures the grid,
compares the choice with the best, and prints factors fitted anew.
"""

import math
from collections.abc import Sequence

from perceiver_pytorch.ops.backends.grid import features_as_channels
from perceiver_pytorch.ops.context import Context

DENSE_LIMIT = 1 << 24
"""Numbers that ways which form the input array and all scores may hold at a time: 64 MB, which training keeps."""

WAYS = ("compiled", "chunked", "reference", "projected")

# Microseconds per count of `counts`, without and with a backward pass.
FORWARD: dict[str, tuple[float, ...]] = {
    "compiled": (547, 144e-3, 0.136e-3, 0.0683e-3, 0.115e-3, 0.116e-3),
    "chunked": (709, 157e-3, 0.946e-3, 0.0332e-3, 0.952e-3),
    "reference": (213, 1.84e-3, 0.0269e-3, 0.932e-3),
    "projected": (156, 1.16e-3, 1.97e-3, 0.0130e-3),
}
TRAINING: dict[str, tuple[float, ...]] = {
    "compiled": (1220, 369e-3, 0.303e-3, 0.127e-3, 0.224e-3, 0.327e-3),
    "chunked": (1590, 551e-3, 2.14e-3, 0.0798e-3, 2.41e-3),
    "reference": (500, 3.34e-3, 0.0437e-3, 1.06e-3),
    "projected": (292, 4.38e-3, 3.04e-3, 0.0397e-3),
}


def counts(way: str, context: Context, num_rows: int, inner_dim: int = 0) -> tuple[float, ...]:
    """What a way counts, in the order of its factors.

    Args:
        way: one of `WAYS`.
        context: the tokens.
        num_rows: latents times heads.
        inner_dim: heads times their channels, for keys and values.
    """
    batch, channels = context.data.shape[0], context.data.shape[-1]
    tokens, rows = batch * context.num_tokens, batch * num_rows
    pairs = tokens * num_rows
    features = context.tables[-1].shape[-1] if context.tables else 0
    if way == "compiled":
        as_channels = features_as_channels(context)
        inside = channels + features if as_channels else channels
        outside = features if len(context.axes) == 1 and not as_channels else 0
        return 1, rows, pairs, pairs * inside, pairs * max(0, channels - 16), pairs * outside
    if way == "chunked":
        return 1, rows, pairs, pairs * (channels + features), tokens * (channels + features)
    if way == "reference":
        return 1, pairs, pairs * context.num_channels, tokens * context.num_channels
    return 1, pairs, tokens * context.num_channels, tokens * context.num_channels * inner_dim


def estimate(way: str, context: Context, num_rows: int, inner_dim: int = 0, *, training: bool) -> float:
    """Microseconds; infinite for a way that would hold more than `DENSE_LIMIT` numbers."""
    tokens = context.data.shape[0] * context.num_tokens
    if way in ("reference", "projected") and tokens * (context.num_channels + num_rows) > DENSE_LIMIT:
        return math.inf
    factors = (TRAINING if training else FORWARD)[way]
    terms = zip(factors, counts(way, context, num_rows, inner_dim), strict=True)
    return sum(factor * count for factor, count in terms)


def ranking(ways: Sequence[str], context: Context, num_rows: int, inner_dim: int = 0, *, training: bool) -> list[str]:
    """``ways``, the cheapest first."""
    return sorted(ways, key=lambda way: estimate(way, context, num_rows, inner_dim, training=training))
