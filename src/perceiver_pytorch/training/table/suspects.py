"""Columns that may not be what they seem: the answer in another form, or an identifier."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perceiver_pytorch.data import Table, Target, identifiers, leaks, proportional


@dataclass(frozen=True)
class Suspect:
    """A column that should perhaps not be read.

    Attributes:
        column: its name.
        says: what is the matter with it.
        is_answer: whether it gives a target away; else it tells rows apart.
    """

    column: str
    says: str
    is_answer: bool

    @property
    def option(self) -> str:
        """What leaves it out."""
        return f"--column {self.column}=ignore"


def find_suspects(table: Table, kinds: dict[str, str], targets: Sequence[Target], rows: np.ndarray) -> list[Suspect]:
    """Those of a table, as far as some of its train rows tell.

    Args:
        table: what was looked at.
        kinds: of each column.
        targets: what is predicted.
        rows: int64 row numbers of the train split.
    """
    found = [suspect for target in targets for suspect in _answers(table, kinds, target.name, rows)]
    return [*found, *(Suspect(name, f"column {name!r} {why}", False) for name, why in identifiers(table, kinds, rows))]


def _answers(table: Table, kinds: dict[str, str], target: str, rows: np.ndarray) -> list[Suspect]:
    settled = leaks(table, kinds, target, rows)
    units = [name for name in proportional(table, kinds, target, rows) if name not in settled]
    return [
        *(Suspect(name, f"column {name!r} determines {target!r} in every train row", True) for name in settled),
        *(
            Suspect(name, f"column {name!r} is proportional to {target!r} in the train rows, but for a constant", True)
            for name in units
        ),
    ]
