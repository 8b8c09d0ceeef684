"""Regularisation by hiding: tokens and whole modalities that a training step does not see."""

import dataclasses

import torch
from torch import Tensor

from perceiver_pytorch.data import Batch
from perceiver_pytorch.training.table.build import token_shapes
from perceiver_pytorch.training.table.settings import TrainingConfig


def thinned(batch: Batch, config: TrainingConfig) -> Batch:
    """The batch with more tokens masked, as ``token_dropout`` and ``modality_dropout`` say.

    A row keeps one of its modalities at least.
    """
    if not (config.token_dropout or config.modality_dropout):
        return batch
    shapes, device = token_shapes(batch), next(iter(batch.inputs.values())).device
    masks = {
        name: batch.masks.get(name, torch.ones((), dtype=torch.bool, device=device)).expand(shape)
        for name, shape in shapes.items()
    }
    if config.modality_dropout:
        kept = _kept_modalities(torch.stack([mask.flatten(1).any(1) for mask in masks.values()]), config)
        for (name, mask), keep in zip(masks.items(), kept, strict=True):
            masks[name] = mask & keep.view(-1, *[1] * (mask.dim() - 1))
    if config.token_dropout:
        for name, mask in masks.items():
            masks[name] = mask & (torch.rand(shapes[name], device=device) >= config.token_dropout)
    return dataclasses.replace(batch, masks=masks)


def _kept_modalities(present: Tensor, config: TrainingConfig) -> Tensor:
    """Which modalities each row keeps, ``(modalities, rows)`` bool, of those it has."""
    chance = torch.rand(present.shape, device=present.device).masked_fill(~present, -1.0)
    keep = present & (chance >= config.modality_dropout)
    last = torch.zeros_like(keep).scatter_(0, chance.argmax(0, keepdim=True), True)  # kept where all would go
    return torch.where(keep.any(0), keep, last & present)
