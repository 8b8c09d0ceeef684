"""Regularisation by hiding: tokens and whole modalities that a training step does not see."""

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor

from perceiver_pytorch.data import Batch
from perceiver_pytorch.models.inputs import Tokens
from perceiver_pytorch.nn.randomness import uniform
from perceiver_pytorch.training.table.build import token_shapes
from perceiver_pytorch.training.table.settings import TrainingConfig

T = TypeVar("T")

USUAL = 0.3
"""Modality dropout where there are several and none is asked for: without it a model leans on one of them, and is lost
where that is missing."""


def thinned(batch: Batch, config: TrainingConfig) -> Batch:
    """The batch with more tokens masked, as ``token_dropout`` and ``modality_dropout`` say.

    A row keeps one of its modalities at least.
    """
    there = {name: batch.there(name) for name in batch.inputs}
    hidden = _hidden(batch.masks, token_shapes(batch), there, config)
    if hidden is None:
        return batch
    pieces = {name: _kept(long, hidden.rows[name]) for name, long in batch.pieces.items()}
    return dataclasses.replace(batch, masks=hidden.masks, pieces=pieces)


def thinned_tokens(tokens: Mapping[str, Tokens], config: TrainingConfig) -> dict[str, Tokens]:
    """`thinned`, of the tokens of a batch after their stems."""
    masks = {name: each.mask for name, each in tokens.items() if each.mask is not None}
    shapes = {name: each.data.shape[:-1] for name, each in tokens.items()}
    hidden = _hidden(masks, shapes, {name: each.there for name, each in tokens.items()}, config)
    if hidden is None:
        return dict(tokens)
    return {
        name: dataclasses.replace(each, mask=hidden.masks[name], rows=_kept(each.rows, hidden.rows[name]))
        for name, each in tokens.items()
    }


def modality_dropout(config: TrainingConfig, count: int) -> float:
    """The modality dropout that is asked for, or what suits so many modalities."""
    if config.modality_dropout is not None:
        return config.modality_dropout
    return USUAL if count > 1 else 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class _Hidden:
    """Masks with more tokens hidden, and of each modality the rows bool ``(batch,)`` that keep it."""

    masks: dict[str, Tensor]
    rows: Mapping[str, Tensor]


def _kept(pieces: Mapping[int, T], keep: Tensor) -> dict[int, T]:
    """What rows that keep a modality have in pieces."""
    return {row: each for row, each in pieces.items() if keep[row]}


def _hidden(
    masks: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], there: Mapping[str, Tensor], config: TrainingConfig
) -> _Hidden | None:
    """Masks of tokens of ``shapes`` ``(batch, *axes)`` with more of them hidden; None where nothing is to be hidden.

    Args:
        there: which rows have a modality, in memory or in pieces. Of those in pieces no single tokens are hidden.
    """
    rate = modality_dropout(config, len(shapes))
    if not (config.token_dropout or rate):
        return None
    device, rows = next(iter(there.values())).device, there
    found = {
        name: masks.get(name, torch.ones((), dtype=torch.bool, device=device)).expand(shape)
        for name, shape in shapes.items()
    }
    if rate:
        kept = _kept_modalities(torch.stack([*there.values()]), rate)
        rows = dict(zip(there, kept, strict=True))
        for name, mask in found.items():
            found[name] = mask & rows[name].view(-1, *[1] * (mask.dim() - 1))
    if config.token_dropout:
        for name, mask in found.items():
            found[name] = mask & (uniform(shapes[name], device) >= config.token_dropout)
    return _Hidden(found, rows)


def _kept_modalities(present: Tensor, rate: float) -> Tensor:
    """Which modalities each row keeps, ``(modalities, rows)`` bool, of those it has."""
    chance = uniform(present.shape, present.device, rows=1).masked_fill(~present, -1.0)
    keep = present & (chance >= rate)
    last = torch.zeros_like(keep).scatter_(0, chance.argmax(0, keepdim=True), True)  # kept where all would go
    return torch.where(keep.any(0), keep, last & present)
