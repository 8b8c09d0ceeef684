"""Learn every modality's spec from the train rows of a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from perceiver_pytorch.data.cell_memory import CELL_BYTES
from perceiver_pytorch.data.errors import DataError, listed
from perceiver_pytorch.data.kinds import kinds
from perceiver_pytorch.data.kinds.base import ModalitySpec
from perceiver_pytorch.data.kinds.clock import on_clocks
from perceiver_pytorch.data.kinds.words import sharing_words
from perceiver_pytorch.data.spec_options import SpecOptions
from perceiver_pytorch.data.table import Table
from perceiver_pytorch.data.train_rows import TrainRows


def fit_modalities(
    table: Table,
    kind_of: Mapping[str, str],
    rows: np.ndarray,
    options: SpecOptions,
    *,
    allow_outside: bool,
    cell_bytes: int = CELL_BYTES,
) -> tuple[ModalitySpec, ...]:
    """What is learned from each column that makes modalities of its own, in the table's order, then from the columns of
    each kind that share one.

    Raises:
        DataError: no column is left to learn from, or a column has no cell that can be read.
    """
    for name in options.column_options:
        table.require(name)
    known = kinds()
    beside = {
        other
        for name, kind in kind_of.items()
        if kind in known
        for other in known[kind].reads_beside(name, options.of(name))
    }
    columns = {name: known[kind] for name, kind in kind_of.items() if name not in beside and kind in known}
    single = {name: kind for name, kind in columns.items() if not kind.together}
    train = TrainRows(table, rows, options, allow_outside=allow_outside, taken=single, cell_bytes=cell_bytes)
    learned = [spec for name, kind in single.items() for spec in kind.learn([name], train)]
    modalities = sharing_words(on_clocks(learned, options), options.max_words)
    for kind in (kind for kind in known.values() if kind.together):
        names = [name for name, own in columns.items() if own is kind]
        modalities += kind.learn(names, train) if names else []
    if not modalities:
        raise DataError(f"{table.source}: no column is left to learn from: {_why_none(table, list(kind_of), rows)}")
    return tuple(modalities)


def _why_none(table: Any, names: list[str], rows: np.ndarray) -> str:
    """Why columns are of no kind, and what to do."""
    if not names:
        return "there is none besides the target and the split; add the columns that the target depends on"
    first = table.row(int(rows[0])) if len(rows) else {}
    objects = [name for name in names if isinstance(first.get(name), dict)]
    if objects:
        return (
            f"{listed(objects)} hold objects, such as {str(first[objects[0]])[:60]}; give each of their values "
            "a column (in pandas: json_normalize)"
        )
    return (
        f"{listed(names)} look like identifiers, or are empty, constant or of no known kind; --column NAME=KIND reads "
        "one all the same"
    )


def unread_parts(
    table: Any, kind_of: Mapping[str, str], rows: np.ndarray, *, allow_outside: bool = False
) -> dict[str, str]:
    """{column: what its kind leaves unread of it, and how it can be read}, as far as some of the train rows tell."""
    train, known = TrainRows(table, rows, None, allow_outside=allow_outside), kinds()
    found = {name: known[kind].left_unread(name, train) for name, kind in kind_of.items() if kind in known}
    return {name: hint for name, hint in found.items() if hint is not None}
