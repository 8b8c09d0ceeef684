"""Random changes of train batches that leave their targets true: pictures, sounds, and mixtures of rows.

All of them draw from PyTorch's generator, which `Resumable` seeds anew for each step: a resumed run repeats them.
Masked tokens stay masked, and what lies behind a shorter row's end is never moved into it.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from perceiver_pytorch.data import Batch, ModalitySpec
from perceiver_pytorch.training.table.settings import AugmentConfig


@dataclass(frozen=True)
class Mixture:
    """Which rows were mixed: row i has ``share`` of itself and the rest of row ``partner[i]``."""

    partner: Tensor
    share: float


def augmented(batch: Batch, modalities: Iterable[ModalitySpec], config: AugmentConfig) -> Batch:
    """The batch with its images, videos and sounds changed as the configuration says; other kinds stay."""
    if not config.enabled:
        return batch
    inputs = dict(batch.inputs)
    for modality in modalities:
        change = _CHANGES.get(modality.kind)
        if change is not None:
            inputs[modality.name] = change(inputs[modality.name], batch.masks.get(modality.name), modality, config)
    return dataclasses.replace(batch, inputs=inputs)


def mixed(batch: Batch, config: AugmentConfig) -> tuple[Batch, Mixture | None]:
    """The batch with pairs of rows mixed (mixup, Zhang et al. 2018, arXiv 1710.09412), and which.

    Values are mixed where both rows have a token; ids, masks and coordinates stay those of the row with the larger
    share. The loss is that of both rows' targets, by their shares.
    """
    if not config.enabled or config.mixup <= 0 or len(batch.rows) < 2:
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
        inputs[name] = _like(torch.where(torch.as_tensor(there, device=values.device), other, values.float()), values)
    return dataclasses.replace(batch, inputs=inputs), Mixture(partner, share)


def _picture(values: Tensor, mask: Tensor | None, spec: Any, config: AugmentConfig) -> Tensor:
    """Shift, flip and colour of images ``(batch, h, w, patch²·colors)`` or videos ``(batch, frames, h, w, ..)``.

    All frames of a video change alike.
    """
    p = spec.patch
    pixels = rearrange(values, "b ... h w (p q c) -> b ... (h p) (w q) c", p=p, q=p)
    rows, columns = pixels.shape[-3:-1]
    heights, widths = _extents(values, mask, axes=values.dim() - 2)[-2:]
    y = _moved(heights * p, rows, config.image_shift, 0.0)
    x = _moved(widths * p, columns, config.image_shift, config.image_flip)
    pixels = _taken(_taken(pixels, y, pixels.dim() - 3), x, pixels.dim() - 2)
    pixels = _colored(pixels, config.image_color)
    return rearrange(pixels, "b ... (h p) (w q) c -> b ... h w (p q c)", p=p, q=p)


def _sound(values: Tensor, mask: Tensor | None, spec: Any, config: AugmentConfig) -> Tensor:
    """SpecAugment of log-mel tokens; shift, gain and noise of samples."""
    (lengths,) = _extents(values, mask, axes=1)
    if spec.mel_bands:
        return _spec_augmented(values, lengths, spec, config)
    samples = rearrange(values, "b n (p s) -> b (n p) s", s=spec.sides)
    if config.audio_shift:
        samples = _shifted(samples, lengths * spec.patch, config.audio_shift)
    size = (len(values), 1, 1)
    gain = 10 ** (_uniform(size, values, -config.audio_gain, config.audio_gain) / 20)
    noise = torch.randn_like(samples) * _uniform(size, values, 0.0, config.audio_noise)
    real = (torch.arange(samples.shape[1], device=values.device) < (lengths * spec.patch)[:, None])[..., None]
    return rearrange(torch.where(real, samples * gain + noise, samples), "b (n p) s -> b n (p s)", p=spec.patch)


_CHANGES: dict[str, Callable[[Tensor, Tensor | None, Any, AugmentConfig], Tensor]] = {
    "image": _picture,
    "video": _picture,
    "audio": _sound,
}


def _extents(values: Tensor, mask: Tensor | None, axes: int) -> list[Tensor]:
    """Per token axis, int64 ``(batch,)``: how many tokens each row has along it, at least 1."""
    if mask is None:
        return [torch.full((len(values),), length, device=values.device) for length in values.shape[1 : 1 + axes]]
    found = []
    for axis in range(1, 1 + axes):
        there = mask.any([other for other in range(1, mask.dim()) if other != axis]) if mask.dim() > 2 else mask
        places = torch.arange(1, there.shape[1] + 1, device=values.device)
        found.append((there * places).amax(1).clamp_min(1))
    return found


def _moved(sizes: Tensor, length: int, shift: float, flip: float) -> Tensor:
    """int64 ``(batch, length)``: from where each pixel comes; the edge is repeated where nothing was."""
    places = torch.arange(length, device=sizes.device).expand(len(sizes), -1)
    furthest = (sizes * shift).long()
    offset = (torch.rand(len(sizes), device=sizes.device) * (2 * furthest + 1)).long() - furthest
    last = sizes[:, None] - 1
    source = (places + offset[:, None]).clamp_min(0).minimum(last)
    mirrored = torch.rand(len(sizes), device=sizes.device)[:, None] < flip
    return torch.where(places <= last, torch.where(mirrored, last - source, source), places)


def _taken(pixels: Tensor, source: Tensor, axis: int) -> Tensor:
    """Pixels along an axis from the places that ``source`` ``(batch, length)`` says."""
    shape = [len(pixels)] + [1] * (pixels.dim() - 1)
    shape[axis] = source.shape[1]
    return pixels.gather(axis, source.view(shape).expand_as(pixels))


def _colored(pixels: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and, of colours, saturation, each by up to ``strength``."""
    if not strength:
        return pixels
    size = (len(pixels), *[1] * (pixels.dim() - 1))
    x = pixels.float()
    mean = x.flatten(1).mean(1).view(size)
    x = (x - mean) * _uniform(size, x, 1 - strength, 1 + strength) + mean
    if pixels.shape[-1] == 3:
        grey = x.mean(-1, keepdim=True)
        x = (x - grey) * _uniform(size, x, 1 - strength, 1 + strength) + grey
    return _like(x + 128 * _uniform(size, x, -strength, strength), pixels)


def _shifted(samples: Tensor, lengths: Tensor, share: float) -> Tensor:
    """Sounds ``(batch, samples, sides)`` earlier or later by up to ``share`` of their length; silence fills in."""
    places = torch.arange(samples.shape[1], device=samples.device).expand(len(samples), -1)
    furthest = lengths.float() * share
    offset = ((torch.rand(len(samples), device=samples.device) * 2 - 1) * furthest).long()
    source = places - offset[:, None]
    inside = (source >= 0) & (source < lengths[:, None]) & (places < lengths[:, None])
    moved = _taken(samples, source.clamp(0, samples.shape[1] - 1), 1)
    kept = places >= lengths[:, None]
    return torch.where(kept[..., None], samples, moved * inside[..., None])


def _spec_augmented(values: Tensor, lengths: Tensor, spec: Any, config: AugmentConfig) -> Tensor:
    """A stretch of time and a range of bands set to the mean (SpecAugment, Park et al. 2019, arXiv 1904.08779)."""
    energies = rearrange(values, "b n (s f) -> b n s f", s=spec.sides)
    time = _stretch(lengths, values.shape[1], config.spec_time)[:, :, None, None]
    bands = _stretch(torch.full_like(lengths, spec.mel_bands), spec.mel_bands, config.spec_bands)[:, None, None, :]
    return rearrange(energies.masked_fill(time | bands, 0.0), "b n s f -> b n (s f)")


def _stretch(sizes: Tensor, length: int, share: float) -> Tensor:
    """bool ``(batch, length)``: a random stretch within each row's size, of up to ``share`` of it."""
    width = (torch.rand(len(sizes), device=sizes.device) * (sizes * share + 1)).long()
    start = (torch.rand(len(sizes), device=sizes.device) * (sizes - width + 1)).long()
    places = torch.arange(length, device=sizes.device)
    return (places >= start[:, None]) & (places < (start + width)[:, None])


def _uniform(size: tuple[int, ...], like: Tensor, low: float, high: float) -> Tensor:
    return torch.rand(size, device=like.device) * (high - low) + low


def _like(values: Tensor, original: Tensor) -> Tensor:
    """Values in the dtype of the original, pixels rounded and within their range."""
    return values.round().clamp(0, 255).to(torch.uint8) if original.dtype == torch.uint8 else values.to(original.dtype)
