"""Batches of samples as tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from perceiver_pytorch.data.dataset import Sample
from perceiver_pytorch.data.input_spec import InputSpec
from perceiver_pytorch.data.stacking import stack


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of samples: what `perceiver_pytorch.data.stacking.Stacked` has, as tensors. ``rows`` stays on the CPU."""

    inputs: dict[str, Tensor]
    masks: dict[str, Tensor]
    targets: dict[str, Tensor]
    rows: Tensor
    coordinates: dict[str, tuple[Tensor | None, ...]] = field(default_factory=dict)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """The batch on another device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def of_rows(self, rows: slice) -> "Batch":
        """Some of its rows, as long as the batch's longest."""
        return Batch(
            {name: tensor[rows] for name, tensor in self.inputs.items()},
            {name: tensor[rows] for name, tensor in self.masks.items()},
            {name: tensor[rows] for name, tensor in self.targets.items()},
            self.rows[rows],
            {
                name: tuple(axis if axis is None or axis.dim() == 1 else axis[rows] for axis in axes)
                for name, axes in self.coordinates.items()
            },
        )

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory; the data loader calls this by its name."""
        return self._mapped(Tensor.pin_memory)

    def _mapped(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        inputs = {name: move(tensor) for name, tensor in self.inputs.items()}
        masks = {name: move(tensor) for name, tensor in self.masks.items()}
        targets = {name: move(tensor) for name, tensor in self.targets.items()}
        coordinates = {
            name: tuple(None if axis is None else move(axis) for axis in axes)
            for name, axes in self.coordinates.items()
        }
        return Batch(inputs, masks, targets, self.rows, coordinates)


def collate(samples: Sequence[Sample], spec: InputSpec) -> Batch:
    """A batch of samples, see `stack`.

    Raises:
        DataError: there is no sample.
    """
    arrays = stack(samples, spec)
    coordinates = {
        name: tuple(None if axis is None else torch.from_numpy(axis) for axis in axes)
        for name, axes in arrays.coordinates.items()
    }
    inputs, masks, targets = _tensors(arrays.inputs), _tensors(arrays.masks), _tensors(arrays.targets)
    return Batch(inputs, masks, targets, torch.from_numpy(arrays.rows), coordinates)


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
