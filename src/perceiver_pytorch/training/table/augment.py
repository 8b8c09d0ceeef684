"""Random changes of train batches that leave their targets true: those of each kind, and mixtures of rows.

All of them draw from PyTorch's generator, which `Resumable` seeds anew for each step: a resumed run repeats them.
"""

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from perceiver_pytorch.data import Batch, ModalitySpec
from perceiver_pytorch.data.random_changes import in_type_of
from perceiver_pytorch.training.gathering import Rows, largest, of_first
from perceiver_pytorch.training.table.settings import AugmentConfig


@dataclass(frozen=True)
class Mixture:
    """Which rows of a step were mixed: row i has ``share`` of itself and the rest of row ``partner[i]``."""

    partner: Tensor
    share: float


def augmented(
    batch: Batch, modalities: Iterable[ModalitySpec], config: AugmentConfig, known: Collection[str] = ()
) -> Batch:
    """The batch with its values changed as each modality's kind says; masks, targets and other kinds stay.

    Args:
        batch: of train rows.
        modalities: of its values.
        config: what changes.
        known: modalities that other rows of the step have, if these have not: their random numbers are drawn all the
            same.
    """
    if not config.enabled:
        return batch
    inputs = dict(batch.inputs)
    for modality in modalities:
        name = modality.name
        there = batch.masks.get(name)
        if name in known or there is None or there.any():  # else its axes are of length 1, whatever the kind expects
            inputs[name] = modality.augmented(inputs[name], there, config)
    return dataclasses.replace(batch, inputs=inputs)


def mixed(batch: Batch, config: AugmentConfig, rows: Rows | None = None) -> tuple[Batch, Mixture | None]:
    """The batch with pairs of rows mixed (mixup, Zhang et al. 2018, arXiv 1710.09412), and which.

    Values are mixed where both rows have a token; ids, masks and coordinates stay those of the row with the larger
    share. The loss is that of both rows' targets, by their shares. A step with rows in pieces stays as it is.

    Args:
        batch: of train rows.
        config: how much is mixed.
        rows: of all ranks, whose axes are equally long; None: of this one alone.
    """
    rows = Rows([len(batch.rows)]) if rows is None else rows
    if not mixes(config) or rows.total < 2 or any(largest([bool(batch.pieces)])):
        return batch, None
    share = torch.distributions.Beta(config.mixup, config.mixup).sample().double()
    share, partner = of_first(torch.maximum(share, 1 - share)), of_first(torch.randperm(rows.total))
    masked = largest([name in batch.masks for name in batch.inputs])
    inputs = dict(batch.inputs)
    for (name, values), is_masked in zip(batch.inputs.items(), masked, strict=True):
        if values.dtype == torch.int64:
            continue
        other = values.float().lerp(rows.partners(values, partner).float(), 1 - float(share))
        if is_masked:
            mask = batch.masks.get(name)
            mask = values.new_ones(values.shape[:-1], dtype=torch.bool) if mask is None else mask
            other = torch.where(rows.partners(mask, partner)[..., None], other, values.float())
        inputs[name] = in_type_of(values, other)
    return dataclasses.replace(batch, inputs=inputs), Mixture(partner, float(share))


def mixes(config: AugmentConfig) -> bool:
    """Whether rows are mixed with one another."""
    return config.enabled and config.mixup > 0
