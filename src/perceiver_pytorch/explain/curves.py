"""Are maps true? What counts most is taken away first, or given back first, and compared with a random order.

Deletion and insertion (Petsiuk et al. 2018, arXiv 1806.07421): where a map is right, the evidence falls at once when
the pieces that it names are hidden, and comes back at once when they alone are shown.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from perceiver_pytorch.explain.pieces import Pieces
from perceiver_pytorch.explain.subject import Question


@dataclass(frozen=True, eq=False)
class Curves:
    """The evidence while pieces go, and while they come.

    Attributes:
        deletion, insertion: float ``(points,)``: with 0 to all pieces hidden, or shown, by the map's order.
        random_deletion, random_insertion: ``(orders, points)``: by random orders.
    """

    deletion: np.ndarray
    insertion: np.ndarray
    random_deletion: np.ndarray
    random_insertion: np.ndarray

    @property
    def areas(self) -> dict[str, float]:
        """By how much the mean evidence is lower while pieces go, and higher while they come, than by random orders, as
        shares of the difference between all pieces and none. Above 0 a map says something; 0 is what chance says."""
        span = abs(float(self.deletion[0] - self.deletion[-1])) or 1.0
        return {
            "deletion": float(self.random_deletion.mean() - self.deletion.mean()) / span,
            "insertion": float(self.insertion.mean() - self.random_insertion.mean()) / span,
        }


def curves(pieces: Pieces, question: Question, scores: Tensor, *, orders: int = 8, points: int = 17) -> Curves:
    """Args:
    pieces: of the row.
    question: whose evidence is followed.
    scores: float ``(pieces,)``: what the map says of each, most for the answer first.
    orders: random ones.
    points: of each curve, at most.
    """
    count = len(pieces)
    places = np.unique(np.linspace(0, count, min(points, count + 1)).round().astype(int))
    rng = np.random.default_rng(0)
    ranked = [scores.argsort(descending=True).numpy(), *(rng.permutation(count) for _ in range(orders))]
    gone = torch.zeros(len(ranked), len(places), count, dtype=torch.bool)
    for row, order in enumerate(ranked):
        for column, place in enumerate(places):
            gone[row, column, order[:place].copy()] = True
    hidden = torch.cat([gone, ~gone]).flatten(0, 1).to(pieces.subject.device)
    found = pieces.evidence(question, hidden).view(2, len(ranked), len(places)).cpu().numpy()
    return Curves(found[0, 0], found[1, 0], found[0, 1:], found[1, 1:])
