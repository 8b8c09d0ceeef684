"""Parts of random changes of batches, for kinds that augment.

All draw from PyTorch's generator. Masked tokens stay masked, and what lies behind a shorter row's end is never moved
into it.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def extents(values: Tensor, mask: Tensor | None, axes: int) -> list[Tensor]:
    """Per token axis, int64 ``(batch,)``: how many tokens each row has along it, at least 1."""
    if mask is None:
        return [torch.full((len(values),), length, device=values.device) for length in values.shape[1 : 1 + axes]]
    found = []
    for axis in range(1, 1 + axes):
        there = mask.any([other for other in range(1, mask.dim()) if other != axis]) if mask.dim() > 2 else mask
        places = torch.arange(1, there.shape[1] + 1, device=values.device)
        found.append((there * places).amax(1).clamp_min(1))
    return found


def moved(sizes: Tensor, length: int, shift: float, flip: float) -> Tensor:
    """int64 ``(batch, length)``: from where each pixel comes; the edge is repeated where nothing was."""
    places = torch.arange(length, device=sizes.device).expand(len(sizes), -1)
    furthest = (sizes * shift).long()
    offset = (torch.rand(len(sizes), device=sizes.device) * (2 * furthest + 1)).long() - furthest
    last = sizes[:, None] - 1
    source = (places + offset[:, None]).clamp_min(0).minimum(last)
    mirrored = torch.rand(len(sizes), device=sizes.device)[:, None] < flip
    return torch.where(places <= last, torch.where(mirrored, last - source, source), places)


def taken(values: Tensor, source: Tensor, axis: int) -> Tensor:
    """Values along an axis from the places that ``source`` ``(batch, length)`` says."""
    shape = [len(values)] + [1] * (values.dim() - 1)
    shape[axis] = source.shape[1]
    return values.gather(axis, source.view(shape).expand_as(values))


def turned(pixels: Tensor, heights: Tensor, widths: Tensor, settings: Any) -> Tensor:
    """Pixels ``(batch, ..., height, width, colors)`` moved, mirrored, scaled, and turned about the middle
    of each row's own picture, by interpolation and not rounded; its edge is repeated where nothing was.

    Args:
        pixels: uint8 or float.
        heights, widths: int64 ``(batch,)``, of each row's picture; what lies outside stays.
        settings: ``image_shift``, ``image_flip``, ``image_scale``, ``image_turn``.
    """
    batch, (rows, columns) = len(pixels), pixels.shape[-3:-1]
    like = torch.empty(0, device=pixels.device)
    size = (batch, 1, 1)
    angle = uniform(size, like, -settings.image_turn, settings.image_turn) * (math.pi / 180)
    zoom = uniform(size, like, 1 - settings.image_scale, 1 + settings.image_scale)
    mirror = 1 - 2 * (torch.rand(size, device=pixels.device) < settings.image_flip).float()
    last = [(sizes - 1).float().view(size) for sizes in (heights, widths)]
    places = [torch.arange(length, device=pixels.device).float() for length in (rows, columns)]
    y, x = places[0].view(1, -1, 1) - last[0] / 2, (places[1].view(1, 1, -1) - last[1] / 2)
    shift = [uniform(size, like, -settings.image_shift, settings.image_shift) * (end + 1) for end in last]
    from_y = (y * angle.cos() - x * angle.sin()) * zoom + shift[0] + last[0] / 2
    from_x = (y * angle.sin() + x * angle.cos()) * zoom * mirror + shift[1] + last[1] / 2
    source = [place.clamp_min(0).minimum(end) for place, end in ((from_x, last[1]), (from_y, last[0]))]
    grid = torch.stack([2 * source[0] / max(1, columns - 1) - 1, 2 * source[1] / max(1, rows - 1) - 1], dim=-1)
    planes = pixels.movedim((-3, -2), (-2, -1)).flatten(1, -3).float()
    found = F.grid_sample(planes, grid, padding_mode="border", align_corners=True)
    found = found.view(pixels.movedim((-3, -2), (-2, -1)).shape).movedim((-2, -1), (-3, -2))
    if bool((heights == rows).all() & (widths == columns).all()):
        return found
    inside = (places[0].view(1, -1, 1) <= last[0]) & (places[1].view(1, 1, -1) <= last[1])
    return torch.where(inside.view(batch, *[1] * (pixels.dim() - 4), rows, columns, 1), found, pixels)


def colored(pixels: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and, of colours, saturation, each by up to ``strength``; not rounded."""
    if not strength:
        return pixels
    size = (len(pixels), *[1] * (pixels.dim() - 1))
    x = pixels.float()
    mean = x.flatten(1).mean(1).view(size)
    contrast = uniform(size, x, 1 - strength, 1 + strength)
    added = mean * (1 - contrast)
    if pixels.shape[-1] == 3:
        saturation = uniform(size, x, 1 - strength, 1 + strength)
        grey = x.mean(-1, keepdim=True)
        added = grey * (contrast * (1 - saturation)) + added
        contrast = contrast * saturation
    return (x * contrast).add_(added + 128 * uniform(size, x, -strength, strength))


def shifted(samples: Tensor, lengths: Tensor, share: float) -> Tensor:
    """Sounds ``(batch, samples, sides)`` earlier or later by up to ``share`` of their length; silence fills in."""
    places = torch.arange(samples.shape[1], device=samples.device).expand(len(samples), -1)
    furthest = lengths.float() * share
    offset = ((torch.rand(len(samples), device=samples.device) * 2 - 1) * furthest).long()
    source = places - offset[:, None]
    inside = (source >= 0) & (source < lengths[:, None]) & (places < lengths[:, None])
    there = taken(samples, source.clamp(0, samples.shape[1] - 1), 1)
    kept = places >= lengths[:, None]
    return torch.where(kept[..., None], samples, there * inside[..., None])


def warped_in_time(values: Tensor, lengths: Tensor, share: float) -> Tensor:
    """Series ``(batch, steps, channels)`` with a smoothly changing tempo, slower or faster by up to ``share``; their
    first and last steps stay where they are.
    """
    steps = torch.arange(values.shape[1], device=values.device)
    last = (lengths[:, None] - 1).clamp_min(1)
    along = (steps / last).clamp_max(1)  # (batch, steps), from 0 to 1
    # The slope of along + share / (2 pi) * sin(2 pi along) * r is 1 + share * r * cos(2 pi along).
    strength = uniform((len(values), 1), values, -share, share)
    source = (along + strength / (2 * math.pi) * (2 * math.pi * along).sin()) * last
    before = source.floor().long().clamp_max(values.shape[1] - 1)
    after = (before + 1).minimum(last)
    rest = (source - before).unsqueeze(-1).to(values.dtype)
    there = taken(values, before, 1).lerp(taken(values, after, 1), rest)
    return torch.where((steps <= last).unsqueeze(-1), there, values)


def stretch(sizes: Tensor, length: int, share: float) -> Tensor:
    """bool ``(batch, length)``: a random stretch within each row's size, of up to ``share`` of it."""
    width = (torch.rand(len(sizes), device=sizes.device) * (sizes * share + 1)).long()
    start = (torch.rand(len(sizes), device=sizes.device) * (sizes - width + 1)).long()
    places = torch.arange(length, device=sizes.device)
    return (places >= start[:, None]) & (places < (start + width)[:, None])


def uniform(size: tuple[int, ...], like: Tensor, low: float, high: float) -> Tensor:
    """Random numbers from ``low`` to ``high`` of a shape, on the device of ``like``."""
    return torch.rand(size, device=like.device) * (high - low) + low


def in_type_of(original: Tensor, values: Tensor) -> Tensor:
    """Values in the dtype of the original, pixels rounded and within their range."""
    return values.round().clamp(0, 255).to(torch.uint8) if original.dtype == torch.uint8 else values.to(original.dtype)
