"""How much the heads of modalities count beside the model, learned from validation rows once training is over.

Every pattern of present modalities has weights of its own: a head that helps where its modality is all there is may be
of little use beside the others. The validation rows are answered with each pattern, and the weights minimise their
loss, plus what keeps them near `BlendedPerceiver`'s first ones, so that few rows change them little.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.data import Batch, BatchLoader, InputSpec, TableDataset, Target
from perceiver_pytorch.models.blended import MAX_HEADS, BlendedPerceiver, Parts
from perceiver_pytorch.training.rows import by_rows
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.table.build import model_name, num_tokens, tokens_of
from perceiver_pytorch.training.table.losses import target_loss
from perceiver_pytorch.training.table.partial_inputs import Drawn

WHOLE_ROWS = 2000
"""Validation rows that are answered with all that they have, at most."""
PATTERN_ROWS = 500
"""Those that are answered with each pattern of fewer modalities."""
PRIOR_ROWS = 10.0
"""How many rows the first weights count as."""
_STEPS, _RATE = 60, 0.2
_MOST_NUMBERS = 30_000_000  # of outputs that are kept: 120 MB
_LEAST_SHARE = 1e-6  # of the trunk, which alone answers a row without anything


@torch.no_grad()
def learn_blend(
    model: nn.Module,
    dataset: TableDataset | None,
    *,
    batch_size: int = 256,
    deadline: Deadline | None = None,
) -> None:
    """Sets the blend of a model with heads by the loss on validation rows; leaves it without rows, or other models.

    Args:
        model: of a run; it is left in evaluation mode.
        dataset: the validation rows.
        batch_size: rows that are answered at once.
        deadline: patterns for which there is no time keep the first weights.
    """
    if not isinstance(model, BlendedPerceiver) or dataset is None or not len(dataset):
        return
    model.eval()
    weights = model.blend.clone()
    patterns = [*range(len(weights) - 1, 0, -1)] if len(weights) > 1 else [0]
    if model.joint is not None and len(weights) > 1:  # it is there with any other
        patterns = [each for each in patterns if each >> model.joint & 1 and each != 1 << model.joint]
    for pattern in patterns:
        if deadline is not None and deadline.left() <= 0:
            break
        rows = _answered(model, dataset, pattern, batch_size)
        if rows is not None:
            weights[pattern] = _fitted(model, rows, dataset.spec.targets, weights[pattern])
    model.set_blend(weights)


def blend_batches(modalities: int, rows: int, batch_size: int) -> int:
    """Batches that `learn_blend` answers, at most.

    Args:
        modalities: how many there are.
        rows: for validation.
        batch_size: rows that are answered at once.
    """
    patterns = (1 << modalities) - 2 if modalities <= MAX_HEADS else 0
    return -(-min(rows, WHOLE_ROWS) // batch_size) + patterns * -(-min(rows, PATTERN_ROWS) // batch_size)


def blend_shares(model: nn.Module, spec: InputSpec) -> dict[str, float]:
    """{"model", or the modalities that a head reads: its share of the answer where all is there}, the mean over the
    targets; empty for a model without heads."""
    if not isinstance(model, BlendedPerceiver):
        return {}
    columns = {model_name(modality.name): modality.name for modality in spec.modalities}
    shares = model.weights(torch.ones(len(model.heads) + 1, 1, dtype=torch.bool, device=model.blend.device))
    names = ["model", *map(" + ".join, ([columns[name] for name in each.modalities] for each in model.readings))]
    return {name: round(float(share), 4) for name, share in zip(names, shares.mean(dim=(1, 2)), strict=True)}


def blend_note(model: nn.Module, spec: InputSpec) -> str:
    """`blend_shares` as a sentence; empty for a model without heads."""
    (_, whole), *heads = blend_shares(model, spec).items() or [("", 0.0)]
    if not heads:
        return ""
    assert isinstance(model, BlendedPerceiver)
    read = ", ".join(
        f"{share:.0%} by " + ("a head that reads it all" if i == model.joint else f"what reads {name} alone")
        for i, (name, share) in enumerate(heads)
    )
    return f"Where all is there, {whole:.0%} of the answer is given by the model as a whole, {read}."


@dataclass(frozen=True)
class _Answered:
    """What the parts answered, and what is true."""

    parts: Parts
    encoded: dict[str, Tensor]


def _answered(model: BlendedPerceiver, dataset: TableDataset, pattern: int, batch_size: int) -> _Answered | None:
    """Validation rows with the heads of a pattern alone, as far as the rows have what these read; None for no rows.

    Modalities that no head reads stay.
    """
    whole = pattern in (0, len(model.blend) - 1)
    outputs = sum(model.sizes) * (len(model.heads) + 1)
    most = min(WHOLE_ROWS if whole else PATTERN_ROWS, max(1, _MOST_NUMBERS // outputs))
    gone = {
        name
        for i, reading in enumerate(model.readings)
        for name in reading.modalities
        if not whole and i != model.joint and not pattern >> i & 1
    }
    found = []
    for batch in BatchLoader(dataset, Drawn(len(dataset), most, batch_size)):
        found.append(_answers(model, batch.to(model.blend.device), gone, pattern))
    if not sum(parts.answers.shape[1] for parts, _ in found):
        return None
    parts = Parts(
        torch.cat([parts.answers for parts, _ in found], dim=1), torch.cat([parts.there for parts, _ in found], dim=1)
    )
    return _Answered(parts, {name: torch.cat([each[name] for _, each in found]) for name in found[0][1]})


def _answers(
    model: BlendedPerceiver, batch: Batch, gone: Collection[str], pattern: int
) -> tuple[Parts, dict[str, Tensor]]:
    """The rows of a batch that have the pattern, once some modalities are gone."""

    def compute(rows: slice) -> tuple[Tensor, Tensor]:
        tokens = tokens_of(model, batch.of_rows(rows))
        found = model.parts({name: each for name, each in tokens.items() if name not in gone})
        return found.answers.movedim(1, 0), found.there.movedim(1, 0)

    answers, there = by_rows(compute, len(batch.rows), num_tokens(batch), model)
    parts = Parts(answers.movedim(0, 1), there.movedim(0, 1))
    rows = slice(None) if len(model.blend) == 1 else model.patterns(parts.there) == pattern
    kept = Parts(parts.answers[:, rows].float(), parts.there[:, rows])
    return kept, {name: values[rows] for name, values in batch.targets.items()}


def _fitted(model: BlendedPerceiver, rows: _Answered, targets: Sequence[Target], first: Tensor) -> Tensor:
    """Weights ``(parts, tasks)``."""
    answers = rows.parts.answers.split(model.sizes, dim=-1)
    there = rows.parts.there
    columns = [
        _fitted_to(target, each, there, rows.encoded[target.name], first[:, i])
        for i, (target, each) in enumerate(zip(targets, answers, strict=True))
    ]
    return torch.stack(columns, dim=-1)


def _fitted_to(target: Target, answers: Tensor, there: Tensor, encoded: Tensor, first: Tensor) -> Tensor:
    """Weights ``(parts,)`` that sum to 1 and minimise a target's loss, and their divergence from the first ones."""
    known = target.known(encoded)
    count = int(known.sum())
    if not count:
        return first
    answers, there, encoded = answers[:, known], there[:, known].float(), encoded[known]
    used = there.any(1)
    prior = (first * used).clamp_min(_LEAST_SHARE)
    prior = prior / prior.sum()
    logits: Any = prior.log().clone().requires_grad_(True)
    optimizer = torch.optim.Adam([logits], lr=_RATE)
    with torch.enable_grad():
        for _ in range(_STEPS):
            shares = logits.softmax(0)
            own = shares.unsqueeze(1) * there
            blended = ((own / own.sum(0)).unsqueeze(-1) * answers).sum(0)
            divergence = (prior * (prior.log() - shares.log())).sum()
            loss = target_loss(target, blended, encoded) + PRIOR_ROWS / count * divergence
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    fitted = logits.detach().softmax(0)
    return torch.where(used, fitted, first) if fitted.isfinite().all() else first
