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
from perceiver_pytorch.training.table.settings import AugmentConfig


@dataclass(frozen=True)
class Mixture:
    """Which rows were mixed: row i has ``share`` of itself and the rest of row ``partner[i]``."""

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


def mixed(batch: Batch, config: AugmentConfig) -> tuple[Batch, Mixture | None]:
    """The batch with pairs of rows mixed (mixup, Zhang et al. 2018, arXiv 1710.09412), and which.

    Values are mixed where both rows have a token; ids, masks and coordinates stay those of the row with the larger
    share. The loss is that of both rows' targets, by their shares. A batch with rows in pieces stays as it is.
    """
    if not config.enabled or config.mixup <= 0 or len(batch.rows) < 2 or batch.pieces:
        return batch, None
    share = float(torch.distributions.Beta(config.mixup, config.mixup).sample())
    share = max(share, 1 - share)
    partner = torch.randperm(len(batch.rows))
    inputs = dict(batch.inputs)
    for name, values in inputs.items():
        if values.dtype == torch.int64:
            continue
        partner = partner.to(values.device)
        other = values.float().lerp(values[partner].float(), 1 - share)
        there = batch.masks[name][partner][..., None] if name in batch.masks else True
        inputs[name] = in_type_of(
            values, torch.where(torch.as_tensor(there, device=values.device), other, values.float())
        )
    return dataclasses.replace(batch, inputs=inputs), Mixture(partner, share)
