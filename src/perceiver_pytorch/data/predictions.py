"""What a model says about rows of a table."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perceiver_pytorch.data.calibration import Calibration
from perceiver_pytorch.data.prediction_columns import prediction_columns
from perceiver_pytorch.data.targets import Target
from perceiver_pytorch.data.unusual import Oddities, Unusual


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's outputs for a number of rows.

    Attributes:
        rows: int64 ``(rows,)``, row numbers in the table.
        targets: what was predicted.
        outputs: {target: float32 ``(rows, size)``}, the model's, or calibrated ones.
        encoded: {target: of the rows, as in a `Batch`}, unknown where it is missing.
        present: {modality: bool ``(rows,)``}, which rows have it.
        left_out: modalities that were taken from all rows.
        calibration: by which the outputs are calibrated; None: they are the model's.
        latents: float32 ``(rows, width)``, what the heads read; None for models that do not show it.
    """

    rows: Tensor
    targets: tuple[Target, ...]
    outputs: dict[str, Tensor]
    encoded: dict[str, Tensor]
    present: dict[str, Tensor]
    left_out: tuple[str, ...] = ()
    calibration: Calibration | None = None
    latents: Tensor | None = None

    def calibrated(self, calibration: Calibration | None) -> "Predictions":
        """The same with calibrated outputs, of outputs that are not."""
        if calibration is None:
            return self
        outputs = {
            target.name: torch.from_numpy(
                calibration.calibrated(target, self.outputs[target.name].float().numpy(), self.has, self.left_out)
            )
            for target in self.targets
        }
        return replace(self, outputs=outputs, calibration=calibration)

    def unusual(self, unusual: Unusual, oddities: Oddities) -> list[str]:
        """`Unusual.reasons` of the rows; ``oddities`` are those of their data set."""
        latents = None if self.latents is None else self.latents.numpy()
        return unusual.reasons(self.rows.numpy(), oddities, latents, self.has)

    @property
    def has(self) -> dict[str, np.ndarray]:
        """``present`` as arrays."""
        return {name: there.numpy() for name, there in self.present.items()}

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

    def columns(self, coverage: float | None = None) -> dict[str, Any]:
        """`prediction_columns` of the rows, with sets of a coverage where one is given."""
        values = {target.name: self.values(target).numpy() for target in self.targets}
        regions: dict[str, np.ndarray] = {}
        if coverage is not None and self.calibration is not None:
            for target in self.targets:
                found = self.calibration.regions(target, values[target.name], coverage, self.has, self.left_out)
                regions |= {} if found is None else {target.name: found}
        return prediction_columns(self.rows.numpy(), self.targets, values, regions)
