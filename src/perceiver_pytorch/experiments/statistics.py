"""What differences between cells say: intervals, probabilities, corrections, decisions. Numbers in, numbers out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

HELPS, HARMS, NO_DIFFERENCE, UNDECIDED = "helps", "harms", "no difference", "undecided"
RESAMPLES = 4000
_SEED = 14


@dataclass(frozen=True)
class Estimate:
    """A mean difference and what is known about it.

    Attributes:
        mean: mean over the groups of the means within them.
        low, high: interval of the confidence asked for; None with fewer than two units.
        error: standard error; None with fewer than two units.
        units: what was resampled first: groups, or within a single group its values.
        p: two-sided probability of so large a mean where there is no difference; None with fewer than two units.
    """

    mean: float
    low: float | None
    high: float | None
    error: float | None
    units: int
    p: float | None


def student_cdf(t: float, df: int) -> float:
    """P(T <= t) of Student's distribution, by the finite sums for whole degrees of freedom.

    Source: Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    theta = math.atan(t / math.sqrt(df))
    cosine, total = math.cos(theta) ** 2, 0.0
    if df % 2:
        term = math.cos(theta)
        for k in range(1, (df - 1) // 2 + 1):
            total += term
            term *= cosine * 2 * k / (2 * k + 1)
        return 0.5 + (theta + math.sin(theta) * total) / math.pi
    term = 1.0
    for k in range(df // 2):
        total += term
        term *= cosine * (2 * k + 1) / (2 * k + 2)
    return 0.5 + math.sin(theta) * total / 2


def student_quantile(probability: float, df: int) -> float:
    """The t with P(T <= t) = ``probability``, in (0, 1)."""
    if probability < 0.5:
        return -student_quantile(1 - probability, df)
    low, high = 0.0, 1.0
    while student_cdf(high, df) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, df) < probability else (low, middle)
    return (low + high) / 2


def estimate(groups: Sequence[Sequence[float]], confidence: float = 0.95, resamples: int = RESAMPLES) -> Estimate:
    """The mean difference over groups (sets) of differences (one per seed), by a hierarchical bootstrap.

    Groups are drawn first, then values within those drawn. With a single group only its values are drawn. The
    percentiles are expanded for few units, since a bootstrap of n units has (n - 1) / n of their variance (Hesterberg,
    "What Teachers Should Know About the Bootstrap", 2015, section 5.3). p is that of Student's t with the bootstrap's
    standard error; of a single group it is that of the paired t-test.

    Args:
        groups: differences; a group has at least one.
        confidence: of the interval.
        resamples: how often to draw.

    Raises:
        ValueError: without a group, or with an empty one.
    """
    if not groups or any(len(group) == 0 for group in groups):
        raise ValueError("a mean difference needs groups of at least one difference each")
    arrays = [np.asarray(group, dtype=np.float64) for group in groups]
    mean = float(np.mean([values.mean() for values in arrays]))
    units = len(arrays) if len(arrays) > 1 else len(arrays[0])
    if units < 2:
        return Estimate(mean, None, None, None, units, None)
    means = _resampled(arrays, resamples)
    error = _error(arrays, means)
    z = student_quantile((1 + confidence) / 2, units - 1) * math.sqrt(units / (units - 1))
    share = NormalDist().cdf(-z)
    low, high = (float(value) for value in np.quantile(means, [share, 1 - share]))
    if error < 1e-12 * max(1.0, abs(mean)):  # all differences are equal
        p = 0.0 if mean else 1.0
    else:
        p = 2 * student_cdf(-abs(mean) / error, units - 1)
    return Estimate(mean, low, high, error, units, p)


def _resampled(arrays: Sequence[np.ndarray], resamples: int) -> np.ndarray:
    """Means of bootstrap samples."""
    rng = np.random.default_rng(_SEED)
    within = np.stack(
        [values[rng.integers(len(values), size=(resamples, len(arrays), len(values)))].mean(-1) for values in arrays]
    )
    if len(arrays) == 1:
        return within[0, :, 0]
    drawn = rng.integers(len(arrays), size=(resamples, len(arrays)))
    return within[drawn, np.arange(resamples)[:, None], np.arange(len(arrays))].mean(-1)


def _error(arrays: Sequence[np.ndarray], means: np.ndarray) -> float:
    """Standard error of the mean: exact for a single group, else the bootstrap's, for few groups."""
    if len(arrays) == 1:
        return float(arrays[0].std(ddof=1)) / math.sqrt(len(arrays[0]))
    return float(means.std()) * math.sqrt(len(arrays) / (len(arrays) - 1))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Holm's adjusted probabilities (1979): each is as if its comparison had been the only one."""
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__)
    adjusted, largest = [0.0] * len(order), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * probabilities[place]))
        adjusted[place] = largest
    return adjusted


def decide(found: Estimate, margin: float, alpha: float, adjusted: float | None) -> str:
    """Whether something helps, harms, makes no difference, or is undecided.

    Args:
        found: differences, larger being better. Its interval has the confidence that the comparisons together need,
            1 - alpha / their number.
        margin: differences that are smaller do not matter.
        alpha: how often one of the comparisons may err.
        adjusted: the probability, corrected for the number of comparisons.

    Returns:
        ``"no difference"`` where the whole interval is within the margin, whether or not it has 0; else ``"helps"`` or
        ``"harms"`` where the probability is below alpha; else ``"undecided"``.
    """
    if found.low is None or found.high is None or adjusted is None:
        return UNDECIDED
    if -margin < found.low and found.high < margin:
        return NO_DIFFERENCE
    if adjusted < alpha:
        return HELPS if found.mean > 0 else HARMS
    return UNDECIDED


def seeds_needed(deviation: float, difference: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Pairs with which a difference is found with the probability ``power``.

    Args:
        deviation: standard deviation of the differences, over seeds.
        difference: the mean difference that is to be found.
    """
    if deviation < 0 or difference <= 0:
        raise ValueError(f"deviation must be at least 0 and difference above 0, got {deviation} and {difference}")
    pairs = 2
    while pairs < 10_000:
        needed = student_quantile(1 - alpha / 2, pairs - 1) + NormalDist().inv_cdf(power)
        if pairs >= (needed * deviation / difference) ** 2:
            break
        pairs += 1
    return pairs


def paired(
    baseline: Mapping[tuple[str, ...], float], contestant: Mapping[tuple[str, ...], float]
) -> dict[tuple[str, ...], float]:
    """Contestant less baseline, wherever both have a value."""
    return {key: value - baseline[key] for key, value in contestant.items() if key in baseline}
