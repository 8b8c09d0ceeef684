"""Random changes of log-mel energies below their peak: other voices, tempos, rooms and noises.

All take energies ``(batch, sides, steps, bands)``, 0 at a sound's peak and -`RANGE` in silence, and its length in steps
``(batch,)``; what lies behind a sound's end stays.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch.data.media.mel import RANGE
from perceiver_pytorch.data.random_changes import stretch, uniform

_NATS = math.log(10) / 10  # of energy per decibel
_NODES = 5  # of the equaliser's curve


def another_take(energies: Tensor, lengths: Tensor, settings: Any) -> Tensor:
    """The same sound by another voice, faster or slower, earlier or later, in another room, in more noise."""
    changed = warped(energies, lengths, settings)
    size = (len(energies), 1, 1)
    if settings.audio_equaliser:
        reach = settings.audio_equaliser * _NATS
        nodes = uniform((len(energies), 1, _NODES), energies, -reach, reach)
        changed = changed + F.interpolate(nodes, energies.shape[-1], mode="linear", align_corners=True).unsqueeze(2)
    if settings.audio_floor:
        level = uniform((*size, 1), energies, -1.0, settings.audio_floor - 1.0) * RANGE
        changed = torch.logaddexp(changed, level.clamp_min(-RANGE))
    real = _real(energies, lengths)
    peak = changed.masked_fill(~real, -torch.inf).amax((1, 2, 3), keepdim=True)
    return torch.where(real, (changed - peak).clamp_min(-RANGE), energies)


def warped(energies: Tensor, lengths: Tensor, settings: Any) -> Tensor:
    """Bands stretched or squeezed from the lowest on, time stretched and shifted; silence where nothing was."""
    batch, _, steps, bands = energies.shape
    faster = uniform((batch, 1), energies, -settings.audio_stretch, settings.audio_stretch) + 1
    higher = uniform((batch, 1), energies, -settings.audio_warp, settings.audio_warp) + 1
    later = uniform((batch, 1), energies, -settings.audio_shift, settings.audio_shift) * lengths[:, None]
    middle = (lengths[:, None] - 1) / 2
    time = (torch.arange(steps, device=energies.device) - middle) * faster + middle - later
    band = (torch.arange(bands, device=energies.device) * higher).clamp_max(bands - 1)
    outside = (time < 0) | (time > lengths[:, None] - 1)
    places = torch.stack(
        torch.broadcast_tensors(_from_minus_one(band, bands)[:, None], _from_minus_one(time, steps)[:, :, None]), -1
    )
    there = F.grid_sample(energies, places.to(energies.dtype), padding_mode="border", align_corners=True)
    return there.masked_fill(outside[:, None, :, None], -RANGE)


def blanked(energies: Tensor, lengths: Tensor, settings: Any) -> Tensor:
    """Standardised energies with a stretch of time and a range of bands at their mean, 0 (SpecAugment, Park et al.
    2019, arXiv 1904.08779)."""
    time = stretch(lengths, energies.shape[2], settings.spec_time)[:, None, :, None]
    every = torch.full_like(lengths, energies.shape[3])
    bands = stretch(every, energies.shape[3], settings.spec_bands)[:, None, None, :]
    return energies.masked_fill(time | bands, 0.0)


def _real(energies: Tensor, lengths: Tensor) -> Tensor:
    """bool ``(batch, 1, steps, 1)``: before a sound's end."""
    return (torch.arange(energies.shape[2], device=lengths.device) < lengths[:, None])[:, None, :, None]


def _from_minus_one(places: Tensor, length: int) -> Tensor:
    """Places from 0 to ``length - 1`` as numbers from -1 to 1."""
    return 2 * places / max(1, length - 1) - 1
