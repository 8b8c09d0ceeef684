"""A trained run explained on rows of a table."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.explain.apart import Apart
from perceiver_pytorch.explain.maps import WAYS
from perceiver_pytorch.explain.rows import Explanation, explain_row
from perceiver_pytorch.tables.rows import ChosenRows, warn_about_rows
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.explained import subject_of
from perceiver_pytorch.training.table.settings import DataConfig

USUAL_ROWS = 5
"""Rows that are explained where none are named, spread over the table."""


def explain(
    model: nn.Module,
    spec: InputSpec,
    data: DataConfig,
    table: Any,
    *,
    rows: Sequence[int] | None,
    split: str,
    targets: Sequence[str] | None,
    ways: Sequence[str],
    steps: int,
    pieces: int,
    apart: Apart,
    root: str | Path | None,
    reporter: Reporter,
) -> tuple[str, list[Explanation]]:
    """The table's name and what `perceiver_pytorch.tables.Run.explain` gives; ``data`` says how the table is read."""
    subject = subject_of(model, spec)
    names = [subject.target(name).name for name in targets or [target.name for target in spec.targets]]
    if unknown := sorted({*ways} - WAYS.keys()):
        raise ValueError(f"ways must be some of {', '.join(WAYS)}, got {', '.join(unknown)}")
    chosen = ChosenRows.load(table, data, split, "all", root, reporter, spec)
    chosen = dataclasses.replace(chosen, rows=_asked(chosen, rows))
    dataset = chosen.dataset(spec, data, 0, reporter, require_target=False)
    warn_about_rows(dataset, reporter)
    explained = partial(explain_row, subject, ways=ways, steps=steps, pieces=pieces, apart=apart)
    found = []
    with reporter.step("explaining") as progress:
        for place in range(len(dataset)):
            sample = dataset[place]
            where = dataset.where(sample.row)
            cells = dataset.table.row(sample.row)
            found += [explained(sample, cells, where, target=name) for name in names]
            if progress is not None:
                progress(place + 1, len(dataset))
    return chosen.table.source, found


def _asked(chosen: ChosenRows, rows: Sequence[int] | None) -> np.ndarray:
    """The numbers of the rows to explain.

    Raises:
        ValueError: if there is no such row.
    """
    there = chosen.rows
    if rows is None:
        return there[np.unique(np.linspace(0, len(there) - 1, USUAL_ROWS).round().astype(np.int64))]
    asked = np.array(sorted({int(row) for row in rows}), dtype=np.int64)
    if not len(asked):
        raise ValueError("rows must name one row at least, got none")
    missing = asked[~np.isin(asked, there)]
    if len(missing):
        some = "" if chosen.split == "all" else f" of the split {chosen.split}"
        raise ValueError(
            f"rows must be numbers of rows{some} of {chosen.table.source}, whose rows are 0 to {len(chosen.table) - 1}"
            f", got {', '.join(map(str, missing.tolist()))}"
        )
    return asked
