"""What each modality is worth: Shapley values (1953), of a score of many rows or of the evidence of one.

A modality's value is what it adds to a set of others, averaged over all orders in which they may come together; the
values of all add up to what all are worth together beyond none. Up to six modalities every set is asked for (64 of
them); of more, random orders are, each followed by the opposite one, and the values have standard errors.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from perceiver_pytorch.data import Batch
from perceiver_pytorch.explain.pieces import AT_ONCE
from perceiver_pytorch.explain.subject import Question, Subject, present, repeated

MOST_EXACT = 6
"""Modalities of which all sets are asked for."""
ORDERS = 32
"""Random ones, of more modalities."""

Players = frozenset[str]
Value = Callable[[Sequence[Players]], Sequence[float]]
"""From sets of modalities to what each set is worth."""


@dataclass(frozen=True)
class Worth:
    """What each modality is worth.

    Attributes:
        values: {modality: its Shapley value}.
        nothing, whole: of no modality, and of all; the values add up to the difference.
        errors: {modality: standard error}; empty where the values are exact.
        orders: how many random orders they are from; 0 where they are exact.
    """

    values: dict[str, float]
    nothing: float
    whole: float
    errors: dict[str, float] = field(default_factory=dict)
    orders: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "nothing": self.nothing,
            "whole": self.whole,
            "exact": not self.orders,
            "orders": self.orders,
            "values": {
                name: {"value": value, "standard_error": self.errors.get(name)} for name, value in self.values.items()
            },
        }


def worth(players: Sequence[str], value: Value, *, orders: int = ORDERS, seed: int = 0) -> Worth:
    """Shapley values, exact of up to six players."""
    if len(players) > MOST_EXACT:
        return sampled(players, value, orders=orders, seed=seed)
    sets = subsets(players)
    return exact(players, dict(zip(sets, value(sets), strict=True)))


def subsets(players: Sequence[str]) -> list[Players]:
    """All sets of players, the empty one first."""
    return [
        frozenset(player for i, player in enumerate(players) if number >> i & 1) for number in range(1 << len(players))
    ]


def exact(players: Sequence[str], value: Mapping[Players, float]) -> Worth:
    """Shapley values of what every set is worth."""
    count, everybody = len(players), frozenset(players)
    values = dict.fromkeys(players, 0.0)
    for before in subsets(players):
        share = 0.0 if before == everybody else 1 / (count * math.comb(count - 1, len(before)))
        for player in everybody - before:
            values[player] += share * (value[before | {player}] - value[before])
    return Worth(values, value[frozenset()], value[everybody])


def sampled(players: Sequence[str], value: Value, *, orders: int = ORDERS, seed: int = 0) -> Worth:
    """Shapley values from random orders, each followed by its opposite, with their standard errors."""
    rng = np.random.default_rng(seed)
    drawn = [list(rng.permutation(len(players))) for _ in range(max(2, orders // 2))]
    chains = [[frozenset(players[i] for i in one[:k]) for k in range(len(one) + 1)]
              for order in drawn for one in (order, order[::-1])]  # fmt: skip
    wanted = list(dict.fromkeys(each for chain in chains for each in chain))
    known = dict(zip(wanted, value(wanted), strict=True))
    gains = np.zeros((len(chains), len(players)))
    for row, chain in zip(gains, chains, strict=True):
        for before, after in itertools.pairwise(chain):
            (player,) = after - before
            row[players.index(player)] = known[after] - known[before]
    pairs = gains.reshape(len(drawn), 2, -1).mean(1)
    errors = pairs.std(0, ddof=1) / math.sqrt(len(pairs))
    return Worth(
        dict(zip(players, gains.mean(0).tolist(), strict=True)),
        known[frozenset()],
        known[frozenset(players)],
        dict(zip(players, errors.tolist(), strict=True)),
        len(chains),
    )


@torch.no_grad()
def worth_in_row(subject: Subject, batch: Batch, question: Question, *, orders: int = ORDERS) -> Worth:
    """What each modality of a row adds to the evidence, beside an answer without any input."""

    def value(sets: Sequence[Players]) -> list[float]:
        found: list[float] = []
        for start in range(0, len(sets), AT_ONCE):
            part = _with_only(batch, sets[start : start + AT_ONCE])
            found += question.evidence(subject, part).tolist()
        return found

    return worth(present(batch), value, orders=orders)


def _with_only(batch: Batch, sets: Sequence[Players]) -> Batch:
    """The row once for each set, with the other modalities masked."""
    rows = repeated(batch, len(sets))
    masks = {}
    for name, values in rows.inputs.items():
        shape = values.shape if values.dim() == 2 else values.shape[:-1]
        mask = rows.masks.get(name, torch.ones(shape, dtype=torch.bool, device=values.device))
        kept = torch.tensor([name in each for each in sets], device=values.device)
        masks[name] = mask & kept.view(-1, *[1] * (mask.dim() - 1))
    return replace(rows, masks=masks)
