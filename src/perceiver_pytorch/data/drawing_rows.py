"""Drawing validation rows from the train rows."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np


def draw_covering(groups: Sequence[Sequence[Any]], fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Draws in proportion, then moves rows until every class or label is where it has to be.

    The rows that stay have every group. The drawn ones have every group of two rows or more, unless each row of it is
    the last one left of another group.

    Args:
        groups: per row the classes and labels that it has, anything that can be sorted.
        fraction: share of the rows to draw, about.
        rng: chooses.

    Returns:
        int64 places, ascending.
    """
    having: dict[Any, list[int]] = defaultdict(list)
    for place, row in enumerate(groups):
        for group in row:
            having[group].append(place)
    by_name = sorted(having)
    by_rarity = sorted(by_name, key=lambda group: len(having[group]))
    rank, number = ({group: i for i, group in enumerate(order)} for order in (by_rarity, by_name))
    rarest = [number[min(row, key=rank.__getitem__)] if row else -1 for row in groups]
    drawn = np.zeros(len(groups), dtype=bool)
    drawn[draw_in_proportion(rarest, fraction, rng)] = True
    taken = Counter(group for place in np.flatnonzero(drawn).tolist() for group in groups[place])
    for group in by_rarity:
        if taken[group] == len(having[group]):
            place = rng.choice(having[group])
            drawn[place] = False
            taken.subtract(groups[place])
    for group in by_rarity:
        rows = having[group] if not taken[group] else ()
        spare = [place for place in rows if all(len(having[other]) - taken[other] > 1 for other in groups[place])]
        if spare:
            place = rng.choice(spare)
            drawn[place] = True
            taken.update(groups[place])
    if not drawn.any():  # something has to go, if it can be a row whose groups others have, too
        spare = [place for place, row in enumerate(groups) if all(len(having[group]) > 1 for group in row)]
        drawn[rng.choice(spare or len(groups))] = True
    return np.flatnonzero(drawn)


def draw_in_proportion(labels: Sequence[str] | Sequence[int], fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Ascending places of about `fraction` of the labels, in proportion from each class, from no class all."""
    _, classes = np.unique(np.array(labels), return_inverse=True)
    counts = np.bincount(classes)
    quota = counts * fraction
    take = np.floor(quota).astype(np.int64)
    wanted = max(1, round(len(labels) * fraction))
    # Largest remainders get the places that rounding down left over; the random number breaks ties.
    order = np.lexsort((rng.random(len(counts)), take - quota))
    for i in order[: max(0, wanted - int(take.sum()))]:
        take[i] += 1
    take = np.minimum(take, counts - 1)
    members = np.split(np.argsort(classes, kind="stable"), np.cumsum(counts)[:-1])
    chosen = [rng.permutation(rows)[:n] for rows, n in zip(members, take, strict=True)]
    rows = np.concatenate(chosen)
    if not len(rows):  # every class has one row: something has to go
        rows = rng.integers(len(labels), size=1)
    return np.sort(rows)
