"""Samples to batches: one tensor per modality, and masks only where something is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .dataset import Sample
from .decoders import ModalitySpec
from .errors import DataError
from .input_spec import InputSpec


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of samples.

    Attributes:
        inputs: {modality: (batch, *axes, channels)}, uint8 for images, float32 for sounds and numbers; for text and
            categories int64 ids (batch, length) or (batch, columns). Every modality is there; missing cells are zeros.
        masks: {modality: bool (batch, *axes)}, True where a token is real, for modalities where some are not.
        targets: {target: int64 (batch,) classes, -1 where unknown; float32 (batch, labels) of 0 and 1 or (batch,)
            standardised numbers, NaN where unknown}.
        rows: int64 (batch,), row numbers in the table; stays on the CPU.
    """

    inputs: dict[str, Tensor]
    masks: dict[str, Tensor]
    targets: dict[str, Tensor]
    rows: Tensor

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The batch on another device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; the data loader calls this by its name."""
        return self._mapped(Tensor.pin_memory)

    def _mapped(self, move: Callable[[Tensor], Tensor]) -> Batch:
        inputs = {name: move(tensor) for name, tensor in self.inputs.items()}
        masks = {name: move(tensor) for name, tensor in self.masks.items()}
        targets = {name: move(tensor) for name, tensor in self.targets.items()}
        return Batch(inputs, masks, targets, self.rows)


def collate(samples: Sequence[Sample], spec: InputSpec) -> Batch:
    """Stack samples; a missing modality becomes zeros with a mask that is False throughout.

    Raises:
        DataError: there is no sample.
    """
    if not samples:
        raise DataError("a batch needs one sample at least, got none")
    inputs: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for modality in spec.modalities:
        inputs[modality.name] = torch.from_numpy(_values(samples, modality))
        mask = _mask(samples, modality)
        if not mask.all():
            masks[modality.name] = torch.from_numpy(mask)
    targets = {}
    for target in spec.targets:
        values = np.stack([sample.targets[target.name] for sample in samples])
        targets[target.name] = torch.from_numpy(values.astype(target.dtype))
    rows = torch.tensor([sample.row for sample in samples], dtype=torch.int64)
    return Batch(inputs, masks, targets, rows)


def _values(samples: Sequence[Sample], modality: ModalitySpec) -> np.ndarray:
    values = np.zeros((len(samples), *modality.shape), dtype=modality.dtype)
    for i, sample in enumerate(samples):
        encoded = sample.inputs[modality.name]
        if encoded is not None:
            values[i] = encoded.values
    return values


def _mask(samples: Sequence[Sample], modality: ModalitySpec) -> np.ndarray:
    mask = np.ones((len(samples), *modality.axes), dtype=bool)
    for i, sample in enumerate(samples):
        encoded = sample.inputs[modality.name]
        if encoded is None:
            mask[i] = False
        elif encoded.mask is not None:
            mask[i] = encoded.mask
    return mask
