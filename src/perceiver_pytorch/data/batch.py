"""Batches of samples as tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from perceiver_pytorch.data.dataset import Sample
from perceiver_pytorch.data.input_spec import InputSpec
from perceiver_pytorch.data.kinds.base import ModalitySpec
from perceiver_pytorch.data.stacking import Long, common_places, stack


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of samples: what `perceiver_pytorch.data.stacking.Stacked` has, as tensors. ``rows`` stays on the CPU."""

    inputs: dict[str, Tensor]
    masks: dict[str, Tensor]
    targets: dict[str, Tensor]
    rows: Tensor
    coordinates: dict[str, tuple[Tensor | None, ...]] = field(default_factory=dict)
    pieces: dict[str, dict[int, Long]] = field(default_factory=dict)

    def there(self, name: str) -> Tensor:
        """bool ``(batch,)``: which rows have a real token of a modality."""
        values = self.inputs[name]
        if name not in self.masks:
            return torch.ones(len(values), dtype=torch.bool, device=values.device)
        found = self.masks[name].flatten(1).any(1)
        if long := self.pieces.get(name):
            found[list(long)] = True
        return found

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """The batch on another device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def of_rows(self, rows: slice) -> "Batch":
        """Some of its rows, as long as the batch's longest."""
        start, stop, _ = rows.indices(len(self.rows))
        pieces = {
            name: {place - start: each for place, each in long.items() if start <= place < stop}
            for name, long in self.pieces.items()
        }
        return Batch(
            {name: tensor[rows] for name, tensor in self.inputs.items()},
            {name: tensor[rows] for name, tensor in self.masks.items()},
            {name: tensor[rows] for name, tensor in self.targets.items()},
            self.rows[rows],
            {
                name: tuple(axis if axis is None or axis.dim() == 1 else axis[rows] for axis in axes)
                for name, axes in self.coordinates.items()
            },
            {name: long for name, long in pieces.items() if long},
        )

    def lengthened(self, lengths: Mapping[str, Sequence[int]], spec: InputSpec) -> "Batch":
        """The batch with longer axes, filled up with masked tokens, as if it were part of one with longer rows.

        Args:
            lengths: {modality: the length of each axis}, no shorter than they are.
            spec: of the rows.
        """
        inputs, masks, coordinates = dict(self.inputs), dict(self.masks), dict(self.coordinates)
        for modality in spec.modalities:
            name, wanted = modality.name, tuple(lengths[modality.name])
            there = inputs[name].shape[1 : 1 + len(wanted)]
            if there == wanted:
                continue
            region = (slice(None), *map(slice, there))
            mask = torch.zeros(len(self.rows), *wanted, dtype=torch.bool, device=inputs[name].device)
            mask[region] = masks.get(name, torch.ones((), dtype=torch.bool, device=mask.device))
            longer = inputs[name].new_zeros(len(self.rows), *wanted, *inputs[name].shape[1 + len(wanted) :])
            longer[region] = inputs[name]
            inputs[name], masks[name] = longer, mask
            own = coordinates.pop(name, (None,) * len(wanted))
            places = tuple(_lengthened(axis, modality, i, wanted[i]) for i, axis in enumerate(own))
            if any(axis is not None for axis in places):
                coordinates[name] = tuple(None if axis is None else axis.to(mask.device) for axis in places)
        return replace(self, inputs=inputs, masks=masks, coordinates=coordinates)

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
        return Batch(inputs, masks, targets, self.rows, coordinates, self.pieces)


def _lengthened(axis: Tensor | None, modality: ModalitySpec, number: int, length: int) -> Tensor | None:
    """Coordinates of a longer axis."""
    if not modality.own_coordinates[number]:
        places = common_places(modality, number, length)
        return None if places is None else torch.from_numpy(places)
    assert axis is not None
    longer = axis.new_zeros(len(axis), length, *axis.shape[2:])
    longer[:, : axis.shape[1]] = axis
    return longer


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
    return Batch(inputs, masks, targets, torch.from_numpy(arrays.rows), coordinates, arrays.pieces)


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
