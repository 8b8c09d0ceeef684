"""Maps of the rows that the report looks at more closely."""

from collections.abc import Sequence

import numpy as np
from torch import nn

from perceiver_pytorch.data import Predictions, TableDataset
from perceiver_pytorch.data.kinds.base import Part
from perceiver_pytorch.explain.maps import maps_of_row
from perceiver_pytorch.explain.rows import drawn
from perceiver_pytorch.report.closer import Closer, closer_rows
from perceiver_pytorch.training.run.durations import Deadline, now
from perceiver_pytorch.training.table.explained import subject_of

STEPS = 16
"""Of the integrated gradients that the report shows."""


def with_maps(
    model: nn.Module, dataset: TableDataset, predictions: Predictions, deadline: Deadline | None = None
) -> list[Closer]:
    """The rows of each target, with integrated gradients of as many as there is time for."""
    found, subject, longest = closer_rows(predictions), subject_of(model, dataset.spec), 0.0
    for closer in found:
        for place in dict.fromkeys([*closer.worst, *closer.least_sure]):
            if deadline is not None and deadline.left() < 2 * longest:
                return found
            began = now()
            sample = dataset[int(np.searchsorted(dataset.rows, int(predictions.rows[place])))]
            if sample.in_pieces:
                continue
            maps = maps_of_row(subject, sample, target=closer.target, ways=["integrated"], steps=STEPS)
            where = dataset.where(sample.row)
            parts = drawn(subject, sample, maps["integrated"], dataset.table.row(sample.row), where)
            closer.maps[place] = _for_cards([part for each in parts.values() for part in each])
            longest = max(longest, now() - began)
    return found


def _for_cards(parts: Sequence[Part]) -> list[Part]:
    """Without what a card has no room for."""
    return [part for part in parts if part["kind"] in ("image", "drawing")]
