"""What a model says about rows of a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from perceiver_pytorch.data.targets import Target


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's outputs for a number of rows.

    Attributes:
        rows: int64 ``(rows,)``, row numbers in the table.
        targets: what was predicted.
        outputs: {target: float32 ``(rows, size)``}, the model's.
        encoded: {target: of the rows, as in a `Batch`}, unknown where it is missing.
        present: {modality: bool ``(rows,)``}, which rows have it.
    """

    rows: Tensor
    targets: tuple[Target, ...]
    outputs: dict[str, Tensor]
    encoded: dict[str, Tensor]
    present: dict[str, Tensor]

    def values(self, target: Target) -> Tensor:
        """float ``(rows, ..)``: probabilities of classes or labels, or numbers in their unit."""
        return target.values(self.outputs[target.name].float())

    def metrics(self) -> dict[str, dict[str, Any]]:
        """{target: `Target.measured`}, of the targets that are known in some row.

        Raises:
            ValueError: if no row has a known target.
        """
        measured = [target for target in self.targets if target.known(self.encoded[target.name]).any()]
        if not measured:
            raise ValueError("no row has a target that the model knows; there is nothing to measure against")
        return {
            target.name: target.measured(self.outputs[target.name], self.encoded[target.name]) for target in measured
        }

    def intervals(self, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """{target: `Target.intervals`}, of the targets in ``metrics``, which is that of `metrics`."""
        found = {}
        for target in (target for target in self.targets if target.name in metrics):
            outputs, encoded = self.outputs[target.name], self.encoded[target.name]
            keep = target.known(encoded)
            found[target.name] = target.intervals(metrics[target.name], outputs[keep].float(), encoded[keep])
        return found

    def columns(self) -> dict[str, Any]:
        """{column of a file of predictions: its cells}: ``row`` (number in the table, from 0) and each target's.

        With several targets ``TARGET_`` stands before the names of their columns.
        """
        columns: dict[str, Any] = {"row": self.rows.numpy()}
        for target in self.targets:
            prefix = f"{target.name}_" if len(self.targets) > 1 else ""
            for name, values in target.columns(self.values(target)).items():
                columns[_free_name(prefix + name, columns)] = values
        return columns


def _free_name(name: str, taken: dict[str, Any]) -> str:
    """``name``, or with underscores behind it where another target's columns have it already."""
    while name in taken:
        name += "_"
    return name
