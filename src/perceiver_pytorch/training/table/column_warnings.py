"""Warnings about columns that may have been recognised wrongly."""

import numpy as np

from perceiver_pytorch.data import (
    InputSpec,
    Table,
    leaks,
    outlying,
    pandas_indices,
    proportional,
    split_column,
    unnamed_splits,
    unopened,
    unread_parts,
)
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.settings import DataConfig

_NAMED = 3  # cells that a warning names


def warn_about_columns(table: Table, spec: InputSpec, rows: np.ndarray, data: DataConfig, reporter: Reporter) -> None:
    """Warns of inputs that give the answer away, of cells that are far from all others, of a split that is read as an
    input, of classes that differ in spelling alone, and of files and sounds that are not read.

    Args:
        table: what was looked at.
        spec: what was recognised.
        rows: int64 row numbers of the train split.
        data: what was asked for.
        reporter: how to tell it.
    """
    for target in spec.targets:
        settled = leaks(table, spec.kinds, target.name, rows)
        for name in settled:
            reporter.warn(
                f"column {name!r} determines {target.name!r} in every train row; if it is the answer itself, "
                f"leave it out with --column {name}=ignore"
            )
        for name in proportional(table, spec.kinds, target.name, rows):
            if name not in settled:
                reporter.warn(
                    f"column {name!r} is proportional to {target.name!r} in the train rows, but for a constant; if it "
                    f"is the answer itself, leave it out with --column {name}=ignore"
                )
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
