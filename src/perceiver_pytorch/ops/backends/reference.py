"""The dense backend: builds the input array, normalises it and attends to it. Slow, and obviously right.

`cross_attend` reads short contexts by `together`, which is neither: it computes the same of all of them at once, in
fewer passes, with a backward pass of its own.
"""

from perceiver_pytorch.ops.backend import Backend, Rows
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.cost import Count, Size, dense_calls
from perceiver_pytorch.ops.dense import attend_dense
from perceiver_pytorch.ops.together import attend_together


def _unsupported(rows: Rows, context: Context) -> str | None:
    """Takes every problem that fits in memory."""
    return None


def _counts(context: Context, num_rows: int, inner_dim: int) -> tuple[Count, ...]:
    """Calls, pairs, and pairs and tokens times channels."""
    size = Size.of(context, num_rows)
    return (
        Count(dense_calls(context, num_rows), 213, 500),
        Count(size.pairs, 1.84e-3, 3.34e-3),
        Count(size.pairs * context.num_channels, 0.0269e-3, 0.0437e-3),
        Count(size.tokens * context.num_channels, 0.932e-3, 1.06e-3),
    )


BACKEND = Backend("reference", _unsupported, attend_dense, None, _counts, together=attend_together)
