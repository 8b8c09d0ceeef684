"""Maps by gradients: how much each value of the input adds to the evidence.

Gradients times input (Shrikumar et al. 2017, arXiv 1605.01713) cost one pass back, and say what a small change does.
Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) go from what stands for nothing
(`ModalitySpec.blank`) to the input, and add up to the difference of the evidence. Both reach through stems to the raw
values; an id is no number, so its part is that of its vector.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from perceiver_pytorch.data import Batch
from perceiver_pytorch.explain.subject import Question, Subject, has_ids, present, repeated, with_inputs

STEPS = 32
"""Of the path of integrated gradients."""
_BEND = 3
_AT_ONCE = 16  # steps of a pass


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each value adds.

    Attributes:
        parts: {modality: float32 ``(batch, *axes, channels)``, or ``(batch, *axes)`` of ids}.
        gap: ``(batch,)``: how far the sum of all parts is from the difference of the evidence that it should be.
        difference: ``(batch,)``: between the input and what stands for nothing.
    """

    parts: dict[str, Tensor]
    gap: Tensor
    difference: Tensor


def gradients_times_input(subject: Subject, batch: Batch, question: Question) -> Attribution:
    """Each value's distance from what stands for nothing, times the gradient of the evidence."""
    return _attributed(subject, batch, question, torch.ones(1), torch.ones(1))


def integrated_gradients(subject: Subject, batch: Batch, question: Question, steps: int = STEPS) -> Attribution:
    """The same, with the mean gradient along the straight path from what stands for nothing.

    Args:
        steps: gradients that the mean is taken of. They are nearer to one another at the beginning of the path, where
            norms of nearly nothing change fastest.
    """
    even = (torch.arange(steps) + 0.5) / steps
    return _attributed(subject, batch, question, even**_BEND, _BEND * even ** (_BEND - 1) / steps)


def _attributed(subject: Subject, batch: Batch, question: Question, places: Tensor, weights: Tensor) -> Attribution:
    specs = {modality.name: modality for modality in subject.spec.modalities}
    raw = {name: batch.inputs[name].float() for name in present(batch) if not has_ids(batch, name)}
    blank = {name: specs[name].blank(x, batch.masks.get(name)).expand_as(x) for name, x in raw.items()}
    away = {name: x - blank[name] for name, x in raw.items()}
    totals: dict[str, Tensor] = {}
    for place, weight in zip(places.split(_AT_ONCE), weights.split(_AT_ONCE), strict=True):
        for name, grad in _gradients(subject, batch, question, blank, away, place).items():
            part = torch.einsum("s,s...->...", weight.to(grad), grad.unflatten(0, (len(place), -1)))
            totals[name] = totals.get(name, 0.0) + part
    parts = {name: total * away.get(name, 1.0) for name, total in totals.items()}
    parts = {name: _masked(part, batch.masks.get(name)).float() for name, part in parts.items()}
    with torch.no_grad():
        full = question.evidence(subject, batch)
        with subject.looked_up(lambda _, vectors: torch.zeros_like(vectors)):
            nothing = question.evidence(subject, with_inputs(batch, blank))
    total = torch.stack([part.flatten(1).sum(1) for part in parts.values()]).sum(0)
    return Attribution(parts, (total - (full - nothing)).abs(), full - nothing)


def _gradients(
    subject: Subject,
    batch: Batch,
    question: Question,
    blank: Mapping[str, Tensor],
    away: Mapping[str, Tensor],
    places: Tensor,
) -> dict[str, Tensor]:
    """{modality: gradients of its values, ``(places * batch, ..)``}, at places of the path; of ids those of their
    vectors, times these."""
    rows, many = batch.rows.shape[0], len(places)
    at = {
        name: (blank[name] + _along(places, away[name]).unflatten(0, (many, rows))).flatten(0, 1).requires_grad_()
        for name in away
    }
    vectors: dict[str, tuple[Tensor, Tensor]] = {}

    def along(name: str, found: Tensor) -> Tensor:
        whole = found.detach()
        moved = (whole * places.repeat_interleave(rows).to(whole).view(-1, 1, 1)).requires_grad_()
        vectors[name] = moved, whole
        return moved

    with torch.enable_grad(), subject.looked_up(along):
        evidence = question.evidence(subject, with_inputs(repeated(batch, many), at)).sum()
    leaves = {**at, **{name: moved for name, (moved, _) in vectors.items()}}
    grads = torch.autograd.grad(evidence, list(leaves.values()), allow_unused=True)
    found = {}
    for (name, leaf), grad in zip(leaves.items(), grads, strict=True):
        grad = torch.zeros_like(leaf) if grad is None else grad
        found[name] = (grad * vectors[name][1]).sum(-1) if name in vectors else grad
    return found


def _along(places: Tensor, away: Tensor) -> Tensor:
    """``(places * batch, ..)``: shares of the way."""
    return torch.einsum("s,b...->sb...", places.to(away), away).flatten(0, 1)


def _masked(part: Tensor, mask: Tensor | None) -> Tensor:
    """0 where there is no token, whatever the values there."""
    if mask is None:
        return part
    return torch.where(mask if part.dim() == mask.dim() else mask.unsqueeze(-1), part, 0.0)
