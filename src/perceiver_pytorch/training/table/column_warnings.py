"""What was recognised, and may be meant otherwise."""

import numpy as np

from perceiver_pytorch.data import (
    InputSpec,
    Table,
    hints,
    leaks,
    split_column,
    unnamed_splits,
    unopened,
)
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.settings import DataConfig


def warn_about_columns(table: Table, spec: InputSpec, rows: np.ndarray, data: DataConfig, reporter: Reporter) -> None:
    """Tells of answers among the inputs, of a split that is none, of classes that are one, and of files left unread.

    Args:
        table: what was looked at.
        spec: what was recognised.
        rows: int64 row numbers of the train split.
        data: what was asked for.
        reporter: how to tell it.
    """
    for target in spec.targets:
        for name in leaks(table, spec.kinds, target.name, rows):
            reporter.warn(
                f"column {name!r} settles {target.name!r} in every train row; if it is the answer itself, "
                f"leave it out with --column {name}=ignore"
            )
        for text in target.warnings():
            reporter.warn(text)
    for name in unnamed_splits(table, spec.kinds) if split_column(table, data.split) is None else ():
        if name not in data.columns:
            reporter.warn(f"column {name!r} tells train rows from others, but is read as input; is it --split {name}?")
    for name in unopened(table, spec.kinds, rows):
        if name not in data.columns:
            reporter.warn(
                f"column {name!r} has paths of files that are not opened: the paths are read as text. "
                "Put the texts themselves into the table"
            )
    for name, hint in hints(table, spec.kinds, rows, allow_outside=data.allow_outside).items():
        if name not in data.columns:
            reporter.say(hint)
