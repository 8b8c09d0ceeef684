"""What a model answers where modalities are missing: each is read once, however often another one is left out."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from perceiver_pytorch.data import Batch, Target
from perceiver_pytorch.data.loading import Listed
from perceiver_pytorch.training.rows import by_rows
from perceiver_pytorch.training.table.build import (
    by_target,
    gives_tokens,
    model_name,
    num_tokens,
    run_model,
    token_shapes,
    tokens_of,
)
from perceiver_pytorch.training.table.pooled import pooled

LATENTS = "\0latents"
"""No column has such a name."""
MAX_SUBSETS = 63
"""Of up to 6 modalities all combinations are measured, of more each left out and each alone."""
MOST_SAMPLED, LEAST_SAMPLED, ANSWERS = 2000, 500, 16_000
"""Rows that combinations of modalities are measured on: an accuracy of 2,000 is in doubt by 0.02, of 500 by 0.04.
The more combinations there are, the fewer rows, for so many answers in all."""


def sampled_rows(combinations: int) -> int:
    """Rows that so many combinations of modalities are measured on, at most."""
    return min(MOST_SAMPLED, max(LEAST_SAMPLED, ANSWERS // max(1, combinations)))


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The combinations of modalities to measure, the whole first, then by size.

    All of them, if that is at most `MAX_SUBSETS`; else each left out and each alone.
    """
    sizes = range(len(names), 0, -1) if 2 ** len(names) - 1 <= MAX_SUBSETS else (len(names), len(names) - 1, 1)
    return [subset for size in dict.fromkeys(sizes) for subset in combinations(names, size)]


def answers(
    model: nn.Module, batch: Batch, targets: Sequence[Target], without: Sequence[Collection[str]]
) -> list[dict[str, Tensor]]:
    """The outputs on a batch, {target: ``(batch, size)``}, for each collection of modalities to leave out; and as
    `LATENTS` what the heads read, ``(batch, width)``, of models that show it."""
    names = [target.name for target in targets]

    with pooled(model) as latents:

        def compute(rows: slice) -> tuple[Tensor, ...]:
            answer = _answering(model, batch.of_rows(rows), targets)
            found: list[Tensor] = []
            for left_out in without:
                each = answer(left_out)
                found += [each[name] for name in names]
                found += [] if latents is None else [latents.taken()]
            return tuple(found)

        found = iter(by_rows(compute, len(batch.rows), num_tokens(batch), model))
    keys = names if latents is None else [*names, LATENTS]
    return [{name: next(found) for name in keys} for _ in without]


def _answering(
    model: nn.Module, batch: Batch, targets: Sequence[Target]
) -> Callable[[Collection[str]], dict[str, Tensor]]:
    """A function from modalities to leave out to the outputs; stems and embeddings run once, where that can be."""
    if not gives_tokens(model):
        return lambda left_out: run_model(model, without(batch, left_out), targets)
    tokens = tokens_of(model, batch)

    def answer(left_out: Collection[str]) -> dict[str, Tensor]:
        if len({*left_out}) == len(batch.inputs):
            return run_model(model, without(batch, left_out), targets)
        gone = {model_name(name) for name in left_out}
        kept = {name: each for name, each in tokens.items() if name not in gone}
        return by_target(model.answers_of(kept), targets)  # type: ignore[operator]

    return answer


def without(batch: Batch, left_out: Collection[str]) -> Batch:
    """The batch with some modalities missing in every row."""
    masks, shapes = dict(batch.masks), token_shapes(batch)
    for name in left_out:
        device = batch.inputs[name].device
        masks[name] = torch.zeros(shapes[name], dtype=torch.bool, device=device)
    pieces = {name: long for name, long in batch.pieces.items() if name not in left_out}
    return dataclasses.replace(batch, masks=masks, pieces=pieces)


class Drawn(Listed):
    """Batches of some of the rows of a data set, drawn at random, always the same.

    Args:
        size: rows of the data set.
        most: rows to draw.
        batch_size: of them in a batch.
    """

    def __init__(self, size: int, most: int, batch_size: int) -> None:
        drawn = np.random.default_rng(0).permutation(size)[:most]
        super().__init__(np.sort(drawn).tolist(), batch_size)
