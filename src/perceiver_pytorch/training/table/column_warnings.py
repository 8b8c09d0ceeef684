"""Warnings about columns that may have been recognised wrongly."""

from collections.abc import Sequence

import numpy as np

from perceiver_pytorch.data import (
    InputSpec,
    Table,
    outlying,
    pandas_indices,
    split_column,
    unnamed_splits,
    unopened,
    unread_parts,
)
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.settings import DataConfig
from perceiver_pytorch.training.table.suspects import Suspect

_NAMED = 3  # cells that a warning names


def warn_about_columns(
    table: Table, spec: InputSpec, rows: np.ndarray, data: DataConfig, suspects: Sequence[Suspect], reporter: Reporter
) -> None:
    """Warns of inputs that give the answer away, of cells that are far from all others, of a split that is read as an
    input, of classes that differ in spelling alone, and of files and sounds that are not read.

    Args:
        table: what was looked at.
        spec: what was recognised.
        rows: int64 row numbers of the train split.
        data: what was asked for.
        suspects: of `find_suspects`.
        reporter: how to tell it.
    """
    for suspect in suspects:
        if suspect.is_answer:
            reporter.warn(f"{suspect.says}; if it is the answer itself, leave it out with {suspect.option}")
    for target in spec.targets:
        for text in target.warnings():
            reporter.warn(text)
    for name, cells in outlying(table, spec.kinds, rows).items():
        some = ", ".join(f"row {row}: {value}" for row, value in cells[:_NAMED])
        reporter.warn(
            f"column {name!r}: {len(cells):,} cells ({some}{' ..' * (len(cells) > _NAMED)}) are so far from the others "
            "that the model can hardly tell those apart; if they stand for a missing value, leave them empty"
        )
    for name in unnamed_splits(table, spec.kinds) if split_column(table, data.split) is None else ():
        if name not in data.columns:
            reporter.warn(
                f"column {name!r} looks like a split, but is read as an input; if it is one, give --split {name}"
            )
    for name in unopened(table, spec.kinds, rows):
        if name not in data.columns:
            reporter.warn(
                f"column {name!r} has paths of files that are not opened: the paths are read as text. "
                "To have their content read, put it into the table"
            )
    for name in pandas_indices(table):
        if spec.kinds.get(name) == "ignore" and name not in data.columns:
            reporter.say(
                f"column {name!r} is the index of a data frame, and no input; "
                f"--column {name}=number reads it all the same"
            )
    for name, hint in unread_parts(table, spec.kinds, rows, allow_outside=data.allow_outside).items():
        if name not in data.columns:
            reporter.say(hint)
