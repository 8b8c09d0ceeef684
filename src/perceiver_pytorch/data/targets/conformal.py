"""Sets and intervals that hold the truth as often as was asked for: split conformal prediction.

A target says by how much the truth of a row is missed (`Target.misfits`). Of n rows that were kept back, the misfit at
rank ceil((n + 1) * coverage) is the limit: a further row like them is missed by more with a probability of at most
1 - coverage, whatever the model is worth (Vovk and others 2005; Angelopoulos and Bates 2021, arXiv 2107.07511).
"""

import math
from collections.abc import Sequence

import numpy as np

from perceiver_pytorch._checks import within
from perceiver_pytorch.data.targets.scaling import Fitted, folds

MOST_KEPT = 1000
"""Misfits of a side that are kept: of more every so manieth, rounded so that sets become no smaller."""
_PARTS, _PART_ROWS, _LEAST_SPREAD = 10, 30, 0.1


def kept_misfits(misfits: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Misfits ``(rows, sides)`` as they are kept: per side in ascending order, `MOST_KEPT` at most."""
    rows = len(misfits)
    ranks = np.unique(np.ceil(np.arange(1, min(rows, MOST_KEPT) + 1) * rows / min(rows, MOST_KEPT)).astype(int)) - 1
    ordered = np.sort(misfits, axis=0)[ranks].T
    return tuple(tuple(float(f"{value:.9g}") for value in side) for side in ordered.tolist())


def limits(kept: Sequence[Sequence[float]], rows: int, coverage: float) -> list[float]:
    """The largest misfit per side that a set of this coverage allows; infinite where the rows are too few to say.

    Args:
        kept: of `kept_misfits`.
        rows: how many there were.
        coverage: the share of rows whose truth is to be held, above 0 and below 1. Sides share what is missed.
    """
    check_coverage(coverage)
    level = 1 - (1 - coverage) / max(1, len(kept))
    rank = math.ceil((rows + 1) * level - 1e-9)
    if rank > rows:
        return [math.inf] * len(kept)
    return [side[min(len(side), math.ceil(rank * len(side) / rows)) - 1] for side in kept]


def check_coverage(coverage: float) -> None:
    """Raises a ValueError unless it is above 0 and below 1."""
    within("coverage", coverage, above=0, below=1)


def rows_needed(coverage: float, sides: int) -> int:
    """Rows below which `limits` are infinite."""
    return math.ceil(sides / (1 - coverage) - 1 - 1e-9)


def local_spread(
    predicted: np.ndarray, errors: np.ndarray, like: Fitted | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Where numbers are predicted, and the usual size of the errors there, as it rises or falls with the prediction.

    Isotonic regression on the means of parts of the rows: prices are missed by more where they are high. Empty where it
    tells unseen rows no more than one size for all, or the rows are few.

    Args:
        predicted, errors: float64 ``(rows,)``.
        like: whether there is a spread is as in it; None: as unseen rows tell.
    """
    sizes = np.abs(errors)
    if like is not None:
        at, spread = _monotone(predicted, sizes) if like.at else (np.empty(0), np.empty(0))
        return _numbers(at), _numbers(spread)
    if len(sizes) < 2 * _PART_ROWS or not sizes.mean() > 0 or not np.ptp(predicted) > 0:
        return (), ()
    gains = np.empty(len(sizes))
    for part in folds(len(sizes)):
        others = np.setdiff1d(np.arange(len(sizes)), part)
        at, spread = _monotone(predicted[others], sizes[others])
        gains[part] = _surprise(sizes[part], sizes[others].mean()) - _surprise(
            sizes[part], np.interp(predicted[part], at, spread)
        )
    if not gains.mean() > gains.std() / math.sqrt(len(gains)):
        return (), ()
    at, spread = _monotone(predicted, sizes)
    return _numbers(at), _numbers(spread)


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(values.tolist())


def _surprise(sizes: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Minus the log-likelihood of errors of these sizes under Laplace's distribution."""
    return np.log(spread) + sizes / spread


def _monotone(predicted: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of parts, made to rise, or to fall if that fits better."""
    order = np.argsort(predicted, kind="stable")
    parts = np.array_split(order, max(2, min(_PARTS, len(order) // _PART_ROWS)))
    at = np.array([predicted[part].mean() for part in parts])
    means, weights = np.array([sizes[part].mean() for part in parts]), np.array([len(part) for part in parts], float)
    rising, falling = isotonic(means, weights), -isotonic(-means, weights)
    wrong = [float((weights * (means - fit) ** 2).sum()) for fit in (rising, falling)]
    fit = rising if wrong[0] <= wrong[1] else falling
    distinct = np.concatenate([[True], np.diff(at) > 0])  # equal predictions fill more than one part
    return at[distinct], np.maximum(fit[distinct], _LEAST_SPREAD * sizes.mean())


def isotonic(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The rising sequence that is nearest to the values by weighted squares: neighbours that fall are pooled."""
    blocks: list[list[float]] = []  # mean, weight, length
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, heavy, length = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * heavy) / (last[1] + heavy)
            last[1], last[2] = last[1] + heavy, last[2] + length
    return np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])
