"""What rows unlike the train rows look like to a trained model, learned from train and validation rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from perceiver_pytorch.data import Predictions, TableDataset
from perceiver_pytorch.data.unusual import Centre, Oddities, Unusual, distance, learned_limits, spread_of, usual_limit
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.table.evaluation import predict_without
from perceiver_pytorch.training.table.partial_inputs import subsets

TRAIN_ROWS, PATTERN_ROWS = 500, 100
"""Train rows whose latents are looked at, with all that they have and with fewer modalities."""
LEAST_ROWS = 20
"""Of a pattern, in the train and in the validation rows: of fewer there is no centre."""

Answered = Sequence[tuple[tuple[str, ...], Predictions]]
"""(modalities that are left, the model's answers with latents), the whole first."""


def learn_unusual(
    model: Any,
    train: TableDataset,
    validation: Answered,
    oddities: Oddities,
    *,
    batch_size: int = 256,
    deadline: Deadline | None = None,
) -> Unusual:
    """What is unlike the train rows.

    Args:
        model: of a run, with its final weights.
        train: its rows.
        validation: answers on validation rows.
        oddities: of these rows.
        batch_size: rows that are answered at once.
        deadline: patterns for which there is no time are left out.
    """
    (_, whole), new = validation[0], dict(validation)
    known: dict[tuple[str, ...], Predictions] = {}
    if whole.latents is not None and (deadline is None or deadline.left() > 0):
        known = _answered(model, train, [*new], batch_size, deadline)
    found = Unusual(len(whole.rows), 0.0, learned_limits(whole.rows.numpy(), oddities), *_centres(known, new))
    return replace(found, share=sum(map(bool, whole.unusual(found, oddities))) / found.rows)


def unusual_batches(modalities: int, rows: int, batch_size: int) -> int:
    """Batches of ``rows`` train rows that `learn_unusual` answers, at most."""
    others = len(subsets([str(i) for i in range(modalities)])) - 1
    return -(-min(rows, TRAIN_ROWS) // batch_size) + others * -(-min(rows, PATTERN_ROWS) // batch_size)


def _answered(
    model: Any, train: TableDataset, chosen: Sequence[tuple[str, ...]], batch_size: int, deadline: Deadline | None
) -> dict[tuple[str, ...], Predictions]:
    """{modalities that are left: answers with latents}."""
    names, (whole, *others) = [modality.name for modality in train.spec.modalities], chosen
    run = partial(predict_without, model, train, batch_size=batch_size, raw=True)
    found = run([()], rows=TRAIN_ROWS)
    if others and (deadline is None or deadline.left() > 0):
        without = [tuple(name for name in names if name not in present) for present in others]
        found += run(without, rows=PATTERN_ROWS, deadline=deadline)
    return dict(zip([whole, *others], found, strict=False))


def _centres(
    known: Mapping[tuple[str, ...], Predictions], new: Mapping[tuple[str, ...], Predictions]
) -> tuple[tuple[Centre, ...], tuple[tuple[float, ...], ...], tuple[float, ...]]:
    """Where latents lie, and how they vary; empty where the model does not show them."""
    pairs = {
        present: (_complete(each, present), _complete(new[present], present))
        for present, each in known.items()
        if present in new
    }
    pairs = {name: pair for name, pair in pairs.items() if min(map(len, pair)) >= LEAST_ROWS}
    if not pairs:
        return (), (), ()
    means = {present: rows.mean(0) for present, (rows, _) in pairs.items()}
    directions, variances = spread_of(np.concatenate([rows - means[p] for p, (rows, _) in pairs.items()]))
    centres = tuple(
        Centre(p, _plain(means[p]), usual_limit(distance(rows - means[p], directions, variances)))
        for p, (_, rows) in pairs.items()
    )
    return centres, tuple(map(_plain, directions)), _plain(variances)


def _complete(predictions: Predictions, present: Sequence[str]) -> np.ndarray:
    """Latents, float64 ``(rows, width)``, of the rows that have all of some modalities."""
    if predictions.latents is None:
        return np.zeros((0, 1))
    there = np.stack([predictions.has[name] for name in present]).all(0)
    latents = predictions.latents.double().numpy()[there]
    return latents[np.isfinite(latents).all(1)]


def _plain(numbers: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{number:.6g}") for number in numbers.tolist())
