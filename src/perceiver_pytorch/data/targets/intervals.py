"""How far a score can be trusted: 95 % intervals that hold on few rows, too, and where the score is 0 or 1."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

LEVEL = 0.95
_Z = 1.959964  # of the normal distribution, for this level
_HALVINGS = 60
_DRAWS = 400
_MOST_ROWS = 10_000  # for a bootstrap: scores of more rows are hardly in doubt

Interval = tuple[float, float]


def stated(interval: Interval | None, method: str) -> dict[str, Any] | None:
    """As ``metrics.json`` has it: ``low``, ``high``, ``level`` and ``method``; None stays None."""
    if interval is None or not all(map(math.isfinite, interval)):
        return None
    return {"low": float(interval[0]), "high": float(interval[1]), "level": LEVEL, "method": method}


def wilson(share: float, rows: float) -> Interval:
    """Of a share of rows: Wilson (1927), doi:10.1080/01621459.1927.10502953."""
    if rows <= 0:
        return 0.0, 1.0
    spread = _Z**2 / rows
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def auroc(area: float, positives: int, negatives: int) -> Interval:
    """Of the area under the ROC curve: Newcombe (2006), doi:10.1002/sim.2324, method 5: the areas that are no further
    from this one than their own standard error allows."""
    others = (positives + negatives) / 2 - 1

    def allows(true: float) -> bool:
        pairs = 1 + others * ((1 - true) / (2 - true) + true / (1 + true))
        return (area - true) ** 2 <= _Z**2 * true * (1 - true) * pairs / (positives * negatives)

    def end(outer: float) -> float:
        inner = area
        for _ in range(_HALVINGS):
            middle = (inner + outer) / 2
            inner, outer = (middle, outer) if allows(middle) else (inner, middle)
        return inner

    return end(0.0), end(1.0)


def f1(hits: float, misses: float) -> Interval:
    """Of F1 = 2J / (1 + J), where J is the share of hits among hits and misses of either sort: Wilson's, of J."""
    low, high = wilson(hits / (hits + misses) if hits + misses else 0.0, hits + misses)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def mean(values: Sequence[float], intervals: Sequence[Interval]) -> Interval | None:
    """Of a mean of scores, from their intervals: Zou and Donner (2008), doi:10.1002/sim.3095 (MOVER)."""
    if not values:
        return None
    middle = sum(values) / len(values)
    below = math.sqrt(sum((value - low) ** 2 for value, (low, _) in zip(values, intervals, strict=True)))
    above = math.sqrt(sum((high - value) ** 2 for value, (_, high) in zip(values, intervals, strict=True)))
    return max(0.0, middle - below / len(values)), min(1.0, middle + above / len(values))


def bootstrap(
    scores: Callable[[np.ndarray], Mapping[str, np.ndarray]], rows: int, *, seed: int = 0
) -> dict[str, Interval]:
    """Of any scores, by drawing the rows anew: the middle of what comes out. Empty for one row, and for very many.

    Args:
        scores: from how often each row was drawn, float64 ``(draws, rows)``, to {score: float64 ``(draws,)``}.
        rows: their number.
        seed: of the draws.
    """
    if not 1 < rows <= _MOST_ROWS:
        return {}
    drawn = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=_DRAWS).astype(np.float64)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    found = {name: values[np.isfinite(values)] for name, values in scores(drawn).items()}
    return {name: tuple(np.quantile(values, ends).tolist()) for name, values in found.items() if len(values)}
