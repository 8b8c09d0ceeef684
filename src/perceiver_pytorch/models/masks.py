"""Masks and missing modalities, brought into one form: ``{modality: (batch, *axes) bool}``, True = attend."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from perceiver_pytorch import _checks
from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.ops.streamed import AnyContext, in_memory

Masks = Tensor | Mapping[str, Tensor] | None
"""One flat mask over all tokens, one mask per modality, or none."""


def combine_masks(
    shapes: Mapping[str, Sequence[int]],
    mask: Masks,
    present: Mapping[str, Tensor] | None,
    *,
    declared: Sequence[str],
) -> dict[str, Tensor]:
    """One mask per modality that needs one.

    Args:
        shapes: ``(batch, *axes)`` of each modality in the batch, in the order of the flat mask.
        mask: flat ``(batch, tokens)`` (any shape of that many values per sample), or per modality, or None.
        present: per modality ``(batch,)``, False where a sample lacks it; None: all present.
        declared: names of the model's modalities.

    Raises:
        ValueError, TypeError: for unknown names, wrong shapes or dtypes, or a modality marked present but not given.
    """
    if present is not None and not isinstance(present, Mapping):
        raise TypeError(f"present must be a mapping of modality names to (batch,) masks, got {type(present).__name__}")
    masks = _per_modality(shapes, mask, declared)
    for name, here in (present or {}).items():
        _checks.choice("a modality of present", name, declared)
        batch = next(iter(shapes.values()))[0]
        _checks.boolean_mask(f"present[{name!r}]", here, (batch,))
        if name not in shapes:
            if is_eager(here) and here.any():
                raise ValueError(f"present[{name!r}] is True for some samples, but the input has no {name!r}")
            continue
        here = here.view(-1, *[1] * (len(shapes[name]) - 1)).expand(*shapes[name])
        masks[name] = here & masks[name] if name in masks else here
    return masks


def _per_modality(shapes: Mapping[str, Sequence[int]], mask: Masks, declared: Sequence[str]) -> dict[str, Tensor]:
    if mask is None:
        return {}
    if isinstance(mask, Mapping):
        masks = {}
        for name, value in mask.items():
            _checks.choice("a modality of mask", name, declared)
            if name not in shapes:
                raise ValueError(f"mask[{name!r}] was given, but the input has no {name!r}")
            masks[name] = _checks.boolean_mask(f"mask[{name!r}]", value, shapes[name])
        return masks
    tokens = {name: math.prod(shape[1:]) for name, shape in shapes.items()}
    batch = next(iter(shapes.values()))[0]
    flat = _checks.tensor("mask", mask)
    if flat.dim() < 2 or flat.shape[0] != batch or math.prod(flat.shape[1:]) != sum(tokens.values()):
        raise ValueError(
            f"a flat mask must be (batch={batch}, tokens={sum(tokens.values())}), tokens in the order "
            f"{', '.join(f'{name} ({n})' for name, n in tokens.items())}; got {tuple(flat.shape)}"
        )
    _checks.boolean_mask("mask", flat, flat.shape)
    parts = torch.split(flat.flatten(1), list(tokens.values()), dim=1)
    return {name: part.reshape(*shapes[name]) for name, part in zip(shapes, parts, strict=True)}


def drop_tokens(contexts: Sequence[Sequence[AnyContext]], share: float) -> list[list[AnyContext]]:
    """The contexts of every layer, with about ``share`` of each sample's tokens masked: the same in all layers.

    Masked tokens stay where they are, so that nothing is copied. A sample that would lose all its tokens keeps them.
    """
    held = [in_memory(layer) for layer in contexts]
    first = held[0]
    keeps = [torch.rand(context.data.shape[:-1], device=context.data.device) >= share for context in first]
    masks = [keep if c.mask is None else keep & c.mask for keep, c in zip(keeps, first, strict=True)]
    some = torch.stack([mask.flatten(1).any(1) for mask in masks]).any(0)
    thinned = []
    for context, keep, mask in zip(first, keeps, masks, strict=True):
        lost = ~some.view(-1, *[1] * (keep.dim() - 1))
        thinned.append(mask | lost if context.mask is None else mask | (lost & context.mask))
    return [[replace(c, mask=mask) for c, mask in zip(layer, thinned, strict=True)] for layer in held]
