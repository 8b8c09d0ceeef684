"""Rows that were sent, as a data set: they are read already, and one after another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch.data.dataset import BadRow, Sample, TableDataset
from perceiver_pytorch.data.input_spec import InputSpec
from perceiver_pytorch.data.table import Table


class SentRows(TableDataset):
    """A data set that gives what it was made of.

    Args:
        spec: what the model reads.
        rows: {modality: its arrays, None where it is missing} of each, read by ``spec``.
    """

    def __init__(self, spec: InputSpec, rows: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow

        cells = pyarrow.table({name: pyarrow.nulls(len(rows)) for name in spec.columns})
        table = Table("request", Path("/nonexistent"), cells)
        super().__init__(table, np.arange(len(rows)), spec, require_target=False, workers=0)
        unknown = {target.name: target.unknown() for target in spec.targets}
        self._given = [Sample(dict(row), unknown, i) for i, row in enumerate(rows)]
        self.prepared = True

    def samples(self, places: Sequence[int]) -> tuple[list[Sample], list[BadRow]]:
        """The samples at some places; none is bad."""
        return [self._given[place] for place in places], []
