"""The maps of one row: what of its input counts for an answer, on the input's own grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from perceiver_pytorch import _checks
from perceiver_pytorch.data import Predictions, Sample
from perceiver_pytorch.explain.apart import NOTHING_APART, Apart
from perceiver_pytorch.explain.attention import pooled, recorded
from perceiver_pytorch.explain.gradients import STEPS, Attribution, gradients_times_input, integrated_gradients
from perceiver_pytorch.explain.pieces import Pieces
from perceiver_pytorch.explain.subject import Question, Subject

PIECES = 64
"""Of a modality that are hidden one by one, about."""
_UNKNOWN = "this model's attention cannot be told by column"
_TOLD = 0.05  # share of the difference that integrated gradients may miss without a word


@dataclass(frozen=True, eq=False)
class Map:
    """One way's map of a row.

    Attributes:
        values: {modality: float ``(*axes)`` or ``(*axes, channels)``, as the model reads it}; modalities that the row
            lacks, or that the way says nothing about, are left out.
        grids: {modality: float, on the grid of the input: pixels, samples, steps and channels, words, columns}.
        note: what there is to say about it; empty: nothing.
    """

    values: dict[str, np.ndarray]
    grids: dict[str, np.ndarray]
    note: str = ""


def maps_of_row(
    subject: Subject,
    sample: Sample,
    *,
    target: str | None = None,
    ways: Sequence[str] = ("integrated", "occlusion", "attention"),
    steps: int = STEPS,
    pieces: int = PIECES,
    apart: Apart = NOTHING_APART,
) -> dict[str, Map]:
    """Maps of what the model says about a row.

    Args:
        subject: the model.
        sample: the row, as its data set encodes it.
        target: which of its answers; None: the first.
        ways: of `WAYS`.
        steps: of integrated gradients.
        pieces: that a modality is hidden in, about.
        apart: layers, heads and latents whose attention is told apart, besides.

    Returns:
        {way: its map}, such as ``attention.layer-0.head-1`` of what is told apart. Attention says how much is looked
        at, the others what speaks for (above 0) and against the answer.

    Raises:
        ValueError: for another target, way, layer, head or latent.
    """
    for way in ways:
        _checks.choice("a way to explain", way, tuple(WAYS))
    batch = subject.batch(sample)
    question = Question.of(subject, batch, target)
    found = {}
    for way in ways:
        values, note = WAYS[way](_Task(subject, sample, question, steps, pieces))
        found[way] = Map(values, _on_grids(subject, values), note)
    if apart:
        for way, values in _apart(subject, sample, apart).items():
            found[way] = Map(values, _on_grids(subject, values), "" if values else _UNKNOWN)
    return found


@dataclass(frozen=True, eq=False)
class _Task:
    subject: Subject
    sample: Sample
    question: Question
    steps: int
    pieces: int


Way = Callable[[_Task], tuple[dict[str, np.ndarray], str]]


def _integrated(task: _Task) -> tuple[dict[str, np.ndarray], str]:
    batch = task.subject.batch(task.sample)
    found = integrated_gradients(task.subject, batch, task.question, task.steps)
    gap, difference = float(found.gap[0]), float(found.difference[0])
    missed = gap > _TOLD * abs(difference)
    note = f"the parts miss the difference of {difference:+.3g} by {gap:.2g}; more steps come nearer" if missed else ""
    return _of_attribution(task, found), note


def _gradient(task: _Task) -> tuple[dict[str, np.ndarray], str]:
    batch = task.subject.batch(task.sample)
    return _of_attribution(task, gradients_times_input(task.subject, batch, task.question)), ""


def _occlusion(task: _Task) -> tuple[dict[str, np.ndarray], str]:
    pieces = Pieces.of(task.subject, task.sample, task.pieces)
    return pieces.spread(pieces.effects(task.question)), ""


def _attention(task: _Task) -> tuple[dict[str, np.ndarray], str]:
    subject = task.subject
    if not subject.reader_names:
        return {}, _UNKNOWN
    with recorded(subject.model) as record:
        subject.answer(subject.batch(task.sample))
    number = [target.name for target in subject.spec.targets].index(task.question.target.name)
    shares = record.rollout(pooled(record, len(subject.spec.targets)))
    return _by_modality(subject, task.sample, [share[0, number] for share in shares]), ""


def _apart(subject: Subject, sample: Sample, apart: Apart) -> dict[str, dict[str, np.ndarray]]:
    """{what is told apart: its values}."""
    if not subject.reader_names:
        return {"attention": {}}
    with recorded(subject.model) as record:
        subject.answer(subject.batch(sample))
    return {
        name: _by_modality(subject, sample, [share[0] for share in shares]) for name, shares in apart.shares(record)
    }


def _by_modality(subject: Subject, sample: Sample, shares: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """What tokens have, ``(*axes)`` per context, by the names of the modalities that the row has."""
    specs = {modality.name: modality for modality in subject.spec.modalities}
    names = sorted(subject.reader_names, key=subject.reader_names.__getitem__)
    there = [(name, share, sample.inputs[name]) for name, share in zip(names, shares, strict=True)]
    return {name: _unstrided(share, specs[name].token_axes(x)) for name, share, x in there if x is not None}


WAYS: dict[str, Way] = {
    "integrated": _integrated,
    "gradient": _gradient,
    "occlusion": _occlusion,
    "attention": _attention,
}
"""Integrated gradients, gradients times input, occlusion, and rolled out attention."""


def _of_attribution(task: _Task, found: Attribution) -> dict[str, np.ndarray]:
    there = {name for name, encoded in task.sample.inputs.items() if encoded is not None}
    return {name: part[0].cpu().numpy() for name, part in found.parts.items() if name in there}


def _unstrided(share: Tensor, axes: Sequence[int]) -> np.ndarray:
    """What a token behind a stem has, shared out among the cells that it stands for."""
    for axis, length in enumerate(axes):
        coarse = share.shape[axis]
        if coarse < length:
            stride = -(-length // coarse)
            share = (share / stride).repeat_interleave(stride, axis).narrow(axis, 0, length)
    return share.float().cpu().numpy()


def _on_grids(subject: Subject, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    specs = {modality.name: modality for modality in subject.spec.modalities}
    return {name: np.asarray(specs[name].on_grid(each)) for name, each in values.items()}


@torch.no_grad()
def predictions_of(subject: Subject, sample: Sample) -> Predictions:
    """What the model says about a row, calibrated if it is."""
    batch = subject.batch(sample)
    outputs = {name: values.float().cpu() for name, values in subject.answer(batch).items()}
    encoded = {name: values.cpu() for name, values in batch.targets.items()}
    has = {name: torch.tensor([encoded is not None]) for name, encoded in sample.inputs.items()}
    return Predictions(batch.rows, subject.spec.targets, outputs, encoded, has).calibrated(subject.calibration)
