"""DNA sequences as a kind of column: texts like ``ACGTTGCN``, a token per base.

This file is all that there is of it. `perceiver fit` recognises such columns once the package is installed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from perceiver_pytorch.data import drawing
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.column import NEARLY_ALL, Column
from perceiver_pytorch.data.kinds.base import CUT, ColumnSpec, Encoded, Kind, ModalitySpec, Part, Settings, knob
from perceiver_pytorch.data.train_rows import TrainRows
from perceiver_pytorch.data.values import is_missing

if TYPE_CHECKING:
    from torch import Tensor

BASES = "ACGT"  # in this order the complement of a base is its mirror image: A and T, C and G
ONE_HOT = dict(zip(BASES, np.eye(4, dtype=np.float32), strict=True))
ONE_HOT["N"] = np.full(4, 0.25, dtype=np.float32)  # any of them
SHORTEST = 8  # bases: a shorter text of these letters may be a word


@dataclass(frozen=True, kw_only=True)
class DnaSettings(Settings):
    """What can be set: `--set data.max_dna_length=1000`, or for one column `data.column_options`."""

    max_dna_length: int = knob(512, "longer DNA sequences lose their end (bases)", above=0)


@dataclass(frozen=True, kw_only=True)
class DnaAugmentation(Settings):
    """What can be set of random changes: `--set augment.dna_flip=0.5`."""

    dna_flip: float = knob(0.0, "share of DNA sequences to read from the other strand", least=0, most=1)


@dataclass(frozen=True)
class DnaSpec(ColumnSpec):
    """One column of DNA as at most `length` tokens of four values.

    Attributes:
        name: the modality's and the column's name.
        length: bases; longer sequences lose their end.
    """

    name: str
    length: int

    kind: ClassVar[str] = "dna"
    changes: ClassVar[Mapping[str, str]] = {"cut": CUT}

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def channels(self) -> int:
        return 4

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """float32 (bases, 4)."""
        if is_missing(row[self.name]):
            return None
        bases = str(row[self.name]).upper()
        wrong = sorted(set(bases) - set(ONE_HOT))
        if wrong:
            raise where.error(self.name, f"must be DNA (A, C, G, T or N), got {wrong[0]!r}")
        values = np.stack([ONE_HOT[base] for base in bases[: self.length]])
        return Encoded(values, changes=("cut",) if len(bases) > self.length else ())

    def note(self) -> str:
        return f"at most {self.length} bases"

    def augmented(self, values: "Tensor", mask: "Tensor | None", settings: DnaAugmentation) -> "Tensor":
        """Some sequences as the other strand has them: backwards, and each base's complement."""
        import torch

        from perceiver_pytorch.data.random_changes import extents, taken

        (lengths,) = extents(values, mask, axes=1)
        places = torch.arange(values.shape[1], device=values.device)
        backwards = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
        other = taken(values, backwards, 1).flip(-1)
        chosen = torch.rand(len(values), device=values.device) < settings.dna_flip
        return torch.where(chosen[:, None, None], other, values)

    def example(self, encoded: Encoded, row: Mapping[str, Any]) -> list[Part]:
        """A stripe per base."""
        width = drawing.WIDTH / len(encoded.values)
        stripes = [
            f'<rect x="{i * width:.2f}" y="0" width="{width:.2f}" height="24" fill="{drawing.COLORS[base]}"/>'
            for i, base in enumerate(encoded.values.argmax(axis=1))
        ]
        return [{"kind": "drawing", "name": self.name, "value": drawing.svg(stripes, drawing.WIDTH)}]


class DnaKind(Kind):
    """Texts of the letters A, C, G, T and N."""

    name = "dna"
    spec = DnaSpec
    settings = DnaSettings
    augmentation = DnaAugmentation

    def recognises(self, column: Column) -> bool:
        dna = sum(len(word) >= SHORTEST and set(word.upper()) <= set(ONE_HOT) for word in column.words)
        return bool(column.words) and dna >= NEARLY_ALL * len(column.words)

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        (name,) = columns
        longest = max((len(str(cell)) for cell in rows.cells(name) if not is_missing(cell)), default=1)
        return [DnaSpec(name, min(longest, rows.options(name).max_dna_length))]


KIND = DnaKind()
