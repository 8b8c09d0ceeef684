"""A trained model on rows of a table: outputs, metrics, and what each modality is worth."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch._processes import worded_deaths
from perceiver_pytorch.data import Batch, DataError, Predictions, TableDataset, in_order
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.targets.scores import score, score_name
from perceiver_pytorch.training.run.durations import Deadline, now
from perceiver_pytorch.training.table.build import run_model, token_shapes

Progress = Callable[[int, int], None]

MAX_SUBSETS = 63
"""Of up to 6 modalities all combinations are measured, of more each left out and each alone."""


def predict(
    model: nn.Module,
    dataset: TableDataset,
    *,
    batch_size: int = 256,
    left_out: Collection[str] = (),
    progress: Progress | None = None,
) -> Predictions:
    """Runs the model over a data set in order, on the device of its weights.

    Args:
        left_out: names of modalities to treat as missing in every row.
        progress: called with (rows done, rows in all).
    """
    (predictions,) = predict_without(model, dataset, [left_out], batch_size=batch_size, progress=progress)
    return predictions


@torch.no_grad()
@worded_deaths()
def predict_without(
    model: nn.Module,
    dataset: TableDataset,
    without: Sequence[Collection[str]],
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
    deadline: Deadline | None = None,
) -> list[Predictions]:
    """`predict` once for each collection of modalities to leave out; rows are decoded once.

    With a ``deadline`` the last ones are left out, if there is no time for them.

    Raises:
        ValueError: if outputs are not finite.
    """
    model.eval()
    device = next(model.parameters()).device
    targets = dataset.spec.targets
    outputs: list[dict[str, list[Tensor]]] = [{target.name: [] for target in targets} for _ in without]
    encoded: dict[str, list[Tensor]] = {target.name: [] for target in targets}
    rows: list[Tensor] = []
    present: dict[str, list[Tensor]] = {modality.name: [] for modality in dataset.spec.modalities}
    done, began = 0, now()
    for batch in in_order(dataset, batch_size):
        rows.append(batch.rows)
        for name, parts in present.items():
            there = batch.masks.get(name)
            parts.append(torch.ones(len(batch.rows), dtype=torch.bool) if there is None else there.flatten(1).any(1))
        for name, values in batch.targets.items():
            encoded[name].append(values)
        batch = batch.to(device)
        for left_out, kept in zip(without, outputs, strict=False):
            for name, values in run_model(model, _without(batch, left_out), targets).items():
                kept[name].append(values.float().cpu())
        if deadline is not None and not done:
            each = (now() - began) / len(without) * (len(dataset) / len(batch.rows) - 1)
            without = without[: max(1, int(deadline.left() / max(each, 1e-9)))]
        done += len(batch.rows)
        if progress is not None:
            progress(done, len(dataset))
    if not rows:
        raise DataError(f"{dataset.table.source}: none of the {len(dataset)} rows can be used")
    answers = [{name: torch.cat(parts) for name, parts in kept.items()} for kept in outputs[: len(without)]]
    _check_finite(answers, torch.cat(rows))
    truth = {name: torch.cat(parts) for name, parts in encoded.items()}
    has = {name: torch.cat(parts) for name, parts in present.items()}
    return [Predictions(torch.cat(rows), targets, kept, truth, has) for kept in answers]


def _check_finite(answers: Sequence[dict[str, Tensor]], rows: Tensor) -> None:
    """Raises a `ValueError` for outputs that are not finite: no prediction or score comes of them."""
    for values in (values for answer in answers for values in answer.values()):
        wrong = rows[~values.flatten(1).isfinite().all(1)]
        if len(wrong):
            raise ValueError(
                f"the model's outputs are not finite for {len(wrong):,} of {len(rows):,} rows, the first of them row "
                f"{int(wrong[0])}: its training diverged, or the row has numbers that are far too large"
            )


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The combinations of modalities to measure, the whole first, then by size.

    All of them, if that is at most `MAX_SUBSETS`; else each left out and each alone.
    """
    sizes = range(len(names), 0, -1) if 2 ** len(names) - 1 <= MAX_SUBSETS else (len(names), len(names) - 1, 1)
    return [subset for size in dict.fromkeys(sizes) for subset in combinations(names, size)]


def measure(
    model: nn.Module,
    dataset: TableDataset,
    *,
    choice: Choice,
    batch_size: int = 256,
    progress: Progress | None = None,
    deadline: Deadline | None = None,
) -> tuple[Predictions, dict[str, Any]]:
    """Runs a model on rows with known targets, with each of `subsets` of the modalities; ``choice`` names the score.

    A row that lacks a modality itself counts with what it has left of a subset, so that every score is of the same
    rows; a row that has nothing left is answered from no input at all.

    Returns:
        The predictions with all modalities, and: of one target its metrics (`Target.measured`) and their
        ``intervals``, of several ``tasks``
        with those of each; ``score`` and ``score_name`` (`scores.score`); ``combinations``, per subset of the
        modalities ``present`` and ``absent`` (names), ``score``, with several targets the ``scores`` of each, and
        ``complete_rows``, how many rows have every modality of the subset; and ``modalities``, per modality the score
        ``without`` it and with it ``alone``.

    Raises:
        ValueError: if no row has a known target.
    """
    names = [modality.name for modality in dataset.spec.modalities]
    chosen = subsets(names)
    absent = [[name for name in names if name not in present] for present in chosen]
    measured = predict_without(model, dataset, absent, batch_size=batch_size, progress=progress, deadline=deadline)
    everywhere = measured[0].present
    combined = []
    for present, left_out, predictions in zip(chosen, absent, measured, strict=False):
        entry = {"present": list(present), "absent": left_out, **_scores(predictions, choice)}
        combined.append(
            entry | {"complete_rows": int(torch.stack([everywhere[name] for name in present]).all(0).sum())}
        )
    tasks = measured[0].metrics()
    for name, intervals in measured[0].intervals(tasks).items():
        tasks[name]["intervals"] = intervals
    metrics = {"tasks": tasks} if len(dataset.spec.targets) > 1 else next(iter(tasks.values()))
    return measured[0], metrics | {
        "score": combined[0]["score"],
        "score_name": score_name(dataset.spec.targets, choice),
        "modalities": modality_scores(combined),
        "combinations": combined,
    }


def combinations_left_out(dataset: TableDataset, metrics: Mapping[str, Any]) -> str:
    """What to say where `measure` had no time for all `subsets`; empty where it had."""
    wanted = len(subsets([modality.name for modality in dataset.spec.modalities]))
    done = len(metrics["combinations"])
    return "" if done == wanted else f"the time limit left time for {done} of {wanted} combinations of modalities"


def _scores(predictions: Predictions, choice: Choice) -> dict[str, Any]:
    """``score``, and ``scores`` per target where there are several."""
    targets, metrics = predictions.targets, predictions.metrics()
    result: dict[str, Any] = {"score": score(targets, metrics, choice)}
    if len(targets) > 1:
        there = [target for target in targets if target.name in metrics]
        result["scores"] = {target.name: target.score(metrics[target.name], choice.of(target)) for target in there}
    return result


def modality_scores(measured: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Per modality the score ``without`` it and with it ``alone``; empty for a single modality."""
    results: dict[str, dict[str, float]] = {}
    for entry in measured:
        if len(entry["absent"]) == 1:
            results.setdefault(entry["absent"][0], {})["without"] = entry["score"]
    for entry in measured:
        if entry["absent"] and len(entry["present"]) == 1:
            results.setdefault(entry["present"][0], {})["alone"] = entry["score"]
    return results


def _without(batch: Batch, left_out: Collection[str]) -> Batch:
    """The batch with some modalities missing in every row."""
    masks, shapes = dict(batch.masks), token_shapes(batch)
    for name in left_out:
        device = batch.inputs[name].device
        masks[name] = torch.zeros(shapes[name], dtype=torch.bool, device=device)
    return dataclasses.replace(batch, masks=masks)
