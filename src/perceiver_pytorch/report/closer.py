"""Rows that the report looks at more closely: those answered worst, and those that the model is least sure of."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from perceiver_pytorch.data import Predictions
from perceiver_pytorch.data.kinds.base import Part

COUNT = 4
"""Rows of each sort."""


@dataclass(frozen=True)
class Closer:
    """Rows and what the model looked at in them.

    Attributes:
        target: whose answers they are.
        worst, least_sure: places among the predictions; the worst, and the least sure, first.
        maps: {place: its maps, as the kinds draw them}; rows that there was no time for have none.
    """

    target: str
    worst: Sequence[int]
    least_sure: Sequence[int]
    maps: dict[int, list[Part]] = field(default_factory=dict)


def closer_rows(predictions: Predictions) -> list[Closer]:
    """The rows of each target, without maps. Where answers are right or wrong, the worst are some of the wrong ones."""
    found = []
    for target in predictions.targets:
        encoded, outputs = predictions.encoded[target.name], predictions.outputs[target.name].float()
        right, known = target.right(outputs, encoded), target.known(encoded)
        known = (known if right is None else known & ~right).nonzero().flatten()
        worst: list[int] = []
        if len(known):
            losses = target.row_losses(outputs[known], encoded[known])
            worst = known[losses.argsort(descending=True, stable=True)[:COUNT]].tolist()
        sure = target.certainty(predictions.values(target))
        least = [] if sure is None else torch.argsort(sure, stable=True)[:COUNT].tolist()
        found.append(Closer(target.name, worst, least))
    return found
