"""Logits stretched and shifted until probabilities are right as often as they say, by rows that were kept back.

Temperature scaling (Guo and others 2017, arXiv 1706.04599) divides all logits by one number and changes no prediction.
Vector scaling gives every output a factor and a shift of its own. What is learned is kept only if it does better on
rows that it was not learned from: few rows would else be learned by heart.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perceiver_pytorch._lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

LEAST_ROWS = 50
"""Of fewer rows nothing is learned: outputs stay as they are."""
VECTOR_ROWS = 20
"""Rows per output that vector scaling is tried with."""
FOLDS = 5
_PRIOR_ROWS = 1.0
_ITERATIONS = 40
_WIDEST, _NEAR = 5.0, 1e-3  # logarithms of factors: how far they may lie from 0, and how near they are found
_DROP = 1e-6  # of the loss: less is rounding

ROUNDING = 1e-6
"""By which a misfit may be larger than its limit: the truth of a row that is one is held by its own set."""
Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""From logits and encoded cells, ``(rows, ..)`` both, to a loss per row."""


@dataclass(frozen=True)
class Fitted:
    """What was learned about a target's outputs from rows that were kept back.

    Attributes:
        scale, bias: a number per output: calibrated outputs are ``outputs * scale + bias``; both empty: they stay as
            they are.
        at, spread: of a number, its usual error ``spread`` where ``at`` is predicted, both in standard deviations of
            the train rows, to be interpolated; both empty: it is 1 everywhere.
    """

    scale: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()
    at: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.scale) != len(self.bias) or min(self.scale, default=1.0) <= 0:
            raise ValueError("scale and bias must have one number per output, those of scale above 0")
        if len(self.at) != len(self.spread) or min(self.spread, default=1.0) <= 0 or sorted({*self.at}) != [*self.at]:
            raise ValueError("at must ascend, and spread have a number above 0 for each of its numbers")

    @property
    def method(self) -> str:
        """How outputs are calibrated: ``none``, ``temperature`` or ``vector``."""
        if not self.scale:
            return "none"
        return "vector" if any(self.bias) or len(set(self.scale)) > 1 else "temperature"

    def calibrated(self, outputs: np.ndarray) -> np.ndarray:
        """Calibrated outputs ``(.., outputs)``, of their type."""
        if not self.scale:
            return outputs
        return outputs * np.array(self.scale, outputs.dtype) + np.array(self.bias, outputs.dtype)

    def spread_at(self, predicted: np.ndarray) -> np.ndarray:
        """The usual error ``(rows,)`` where ``predicted`` is."""
        return np.interp(predicted, self.at, self.spread) if self.at else np.ones_like(predicted)


def fitted_scaling(
    outputs: "Tensor", encoded: "Tensor", loss: Loss, like: Fitted | None = None, *, vector: bool = True
) -> Fitted:
    """The scaling that does best on rows that it was not learned from, or none.

    Args:
        outputs: logits ``(rows, outputs)``.
        encoded: ``(rows, ..)``, all known.
        loss: of which the mean is to be small.
        like: its method is used, whatever it is; None: the one that does best.
        vector: whether vector scaling may be tried.
    """
    rows, size = outputs.shape
    if like is not None:
        method = like.method
        return Fitted() if method == "none" else _fit(outputs, encoded, loss, vector=method == "vector")
    if rows < LEAST_ROWS:
        return Fitted()
    outputs = outputs.double()
    plain, once = loss(outputs, encoded), held_out(outputs, encoded, loss, vector=False)
    if float(plain.mean() - once.mean()) < _DROP:
        return Fitted()
    if vector and rows >= VECTOR_ROWS * size:
        gain = once - held_out(outputs, encoded, loss, vector=True)
        if float(gain.mean()) > float(gain.std()) / math.sqrt(rows):
            return _fit(outputs, encoded, loss, vector=True)
    return _fit(outputs, encoded, loss, vector=False)


def held_out(outputs: "Tensor", encoded: "Tensor", loss: Loss, *, vector: bool) -> "Tensor":
    """The loss of every row ``(rows,)``, by a scaling that was learned from others."""
    found = torch.empty(len(outputs), dtype=torch.float64)
    for part in folds(len(outputs)):
        others = np.setdiff1d(np.arange(len(outputs)), part)
        scaling = _fit(outputs[others], encoded[others], loss, vector=vector)
        found[part] = loss(torch.from_numpy(scaling.calibrated(outputs[part].numpy())), encoded[part])
    return found


def folds(rows: int) -> Sequence[np.ndarray]:
    """Places of rows in `FOLDS` parts drawn at random, always the same."""
    return np.array_split(np.random.default_rng(0).permutation(rows), min(FOLDS, rows))


def _fit(outputs: "Tensor", encoded: "Tensor", loss: Loss, *, vector: bool, prior_rows: float = _PRIOR_ROWS) -> Fitted:
    """The scaling of the least mean loss; a prior of one row keeps it finite where all rows are right."""
    rows, size = outputs.shape
    outputs = outputs.double()

    def value(log: "Tensor", bias: "Tensor") -> "Tensor":
        prior = log.square().sum() + bias.square().sum()
        return loss(outputs * log.exp() + bias, encoded).mean() + prior_rows / rows * prior

    none = torch.zeros((), dtype=torch.float64)
    log, bias = _least(lambda x: float(value(none + x, none))), none
    if vector:
        log, bias = _descended(value, torch.full((size,), float(log), dtype=torch.float64))
    if not (log.isfinite().all() and bias.isfinite().all()):
        return Fitted()
    return Fitted(tuple(log.exp().expand(size).tolist()), tuple(bias.expand(size).tolist()))


def _least(value: Callable[[float], float]) -> "Tensor":
    """Where a function with one valley is least between -`_WIDEST` and `_WIDEST`: golden sections."""
    share = (math.sqrt(5) - 1) / 2
    low, high = -_WIDEST, _WIDEST
    left, right = high - share * (high - low), low + share * (high - low)
    at_left, at_right = value(left), value(right)
    while high - low > _NEAR:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - share * (high - low)
            at_left = value(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + share * (high - low)
            at_right = value(right)
    return torch.tensor((low + high) / 2, dtype=torch.float64)


def _descended(value: "Callable[[Tensor, Tensor], Tensor]", log: "Tensor") -> "tuple[Tensor, Tensor]":
    """Logarithms of factors, and shifts, of the least value, from the factors of one temperature."""
    log = log.clone().requires_grad_(True)
    bias = torch.zeros_like(log, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [log, bias], max_iter=_ITERATIONS, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def step() -> "Tensor":
        optimizer.zero_grad()
        found = value(log, bias)
        found.backward()
        return found

    with torch.enable_grad():
        optimizer.step(step)
    return log.detach(), bias.detach()
