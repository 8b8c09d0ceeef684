"""A trained model on rows of a table: outputs, metrics, and what each modality is worth."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch._processes import worded_deaths
from perceiver_pytorch.data import Batch, BatchLoader, DataError, Predictions, TableDataset, Target
from perceiver_pytorch.data.calibration import Calibration, calibration_of
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.lengths import longest_first
from perceiver_pytorch.data.loading import InOrder, Listed
from perceiver_pytorch.data.targets.report_parts import interval_text
from perceiver_pytorch.data.targets.scores import by_target, score, score_name
from perceiver_pytorch.data.unusual import RATE, unusual_of
from perceiver_pytorch.training.run.durations import Deadline, now
from perceiver_pytorch.training.table.partial_inputs import LATENTS, Drawn, answers, sampled_rows, subsets
from perceiver_pytorch.training.table.trust import in_short, trust

Progress = Callable[[int, int], None]

FEW_ROWS = 30
"""On fewer, no modality is called harmful: too many are compared."""


def predict(
    model: nn.Module,
    dataset: TableDataset,
    *,
    batch_size: int = 256,
    left_out: Collection[str] = (),
    progress: Progress | None = None,
    calibration: Calibration | None = None,
) -> Predictions:
    """Runs the model over a data set in order, on the device of its weights; outputs are calibrated, if they can be.

    Args:
        left_out: names of modalities to treat as missing in every row.
        progress: called with (rows done, rows in all).
        calibration: the model's, where it has been read; reading it takes longer than one row.
    """
    (predictions,) = predict_without(
        model, dataset, [left_out], batch_size=batch_size, progress=progress, calibration=calibration
    )
    return predictions


@torch.no_grad()
@worded_deaths()
def predict_without(
    model: nn.Module,
    dataset: TableDataset,
    without: Sequence[Collection[str]],
    *,
    batch_size: int = 256,
    rows: int | None = None,
    progress: Progress | None = None,
    deadline: Deadline | None = None,
    raw: bool = False,
    calibration: Calibration | None = None,
) -> list[Predictions]:
    """`predict` once for each collection of modalities to leave out; rows are decoded, and modalities read, once.

    With ``rows`` on so many of them, drawn at random. With a ``deadline`` the last ones are left out, if there is no
    time for them. With ``raw`` outputs are those of the model, finite or not.

    Raises:
        ValueError: if outputs are not finite.
    """
    model.eval()
    device = next(model.parameters()).device
    targets = dataset.spec.targets
    order = InOrder(len(dataset), batch_size) if rows is None else Drawn(len(dataset), rows, batch_size)
    # The first batch has to tell how long the others take, where there is a deadline.
    read = longest_first(dataset, order.places) if deadline is None and len(order) > 1 else order.places
    loader = BatchLoader(dataset, Listed(read, batch_size))
    total = len(order.places)
    seen, outputs = _Seen(dataset), [_Outputs(targets) for _ in without]
    done, began = 0, now()
    for batch in loader:
        seen.add(batch)
        for answer, kept in zip(answers(model, batch.to(device), targets, without), outputs, strict=False):
            kept.add(answer)
        if deadline is not None and not done:
            each = (now() - began) / len(without) * (total / len(batch.rows) - 1)
            without = without[: max(1, int(deadline.left() / max(each, 1e-9)))]
        done += len(batch.rows)
        if progress is not None:
            progress(done, total)
    if not done:
        raise DataError(f"{dataset.table.source}: none of the {len(dataset)} rows can be used")
    back = None if read is order.places or [*read] == [*order.places] else torch.tensor(read).argsort()
    joined = [kept.joined(back) for kept in outputs[: len(without)]]
    rows_seen, truth, has = seen.joined(back)
    found = [
        Predictions(rows_seen, targets, kept, truth, has, tuple(gone), latents=each.all_latents(back))
        for kept, gone, each in zip(joined, without, outputs, strict=False)
    ]
    if raw:
        return found
    _check_finite(joined, rows_seen)
    known = calibration or calibration_of(model, targets)
    return [each.calibrated(known) for each in found]


class _Outputs:
    """Gathers the outputs for each target."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.parts: dict[str, list[Tensor]] = {target.name: [] for target in targets}
        self.latents: list[Tensor] = []

    def add(self, outputs: Mapping[str, Tensor]) -> None:
        for name, values in outputs.items():
            (self.latents if name == LATENTS else self.parts[name]).append(values.float().cpu())

    def joined(self, back: Tensor | None) -> dict[str, Tensor]:
        return {name: _joined(parts, back) for name, parts in self.parts.items()}

    def all_latents(self, back: Tensor | None) -> Tensor | None:
        return _joined(self.latents, back) if self.latents else None


class _Seen:
    """Gathers what is known of the rows besides: their numbers, what is true of them, and what they have."""

    def __init__(self, dataset: TableDataset) -> None:
        self.rows: list[Tensor] = []
        self.encoded: dict[str, list[Tensor]] = {target.name: [] for target in dataset.spec.targets}
        self.present: dict[str, list[Tensor]] = {modality.name: [] for modality in dataset.spec.modalities}

    def add(self, batch: Batch) -> None:
        self.rows.append(batch.rows)
        for name, values in batch.targets.items():
            self.encoded[name].append(values)
        for name, parts in self.present.items():
            parts.append(batch.there(name))

    def joined(self, back: Tensor | None) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        truth = {name: _joined(parts, back) for name, parts in self.encoded.items()}
        present = {name: _joined(parts, back) for name, parts in self.present.items()}
        return _joined(self.rows, back), truth, present


def _joined(parts: Sequence[Tensor], back: Tensor | None) -> Tensor:
    """What batches have of their rows, in the order ``back`` of these; None: as they come."""
    joined = torch.cat([*parts])
    return joined if back is None else joined[back]


def _check_finite(answers: Sequence[dict[str, Tensor]], rows: Tensor) -> None:
    """Raises a `ValueError` for outputs that are not finite: no prediction or score comes of them."""
    for values in (values for answer in answers for values in answer.values()):
        wrong = rows[~values.flatten(1).isfinite().all(1)]
        if len(wrong):
            raise ValueError(
                f"the model's outputs are not finite for {len(wrong):,} of {len(rows):,} rows, the first of them row "
                f"{int(wrong[0])}: its training diverged, its saved weights are damaged, or the row has numbers that "
                "are far too large"
            )


def measure(
    model: nn.Module,
    dataset: TableDataset,
    *,
    choice: Choice,
    batch_size: int = 256,
    sample: int | None = None,
    same_rows: bool = False,
    combinations: bool = True,
    progress: Progress | None = None,
    deadline: Deadline | None = None,
) -> tuple[Predictions, dict[str, Any]]:
    """Runs a model on rows with known targets, with each of `subsets` of the modalities; ``choice`` names the score.

    A row that lacks a modality itself counts with what it has left of a subset; a row that has nothing left is answered
    from no input at all. All modalities together are measured on every row, the others on ``sample`` of them, if there
    are more; None: `sampled_rows`. Without ``combinations`` all modalities together are measured alone.

    Returns:
        The predictions with all modalities, and: of one target its metrics (`Target.measured`), their ``intervals`` and
        what `trust` says of it, of several ``tasks`` with those of each; ``score`` and ``score_name`` (`scores.score`);
        ``combinations``, per subset of the modalities ``present`` and ``absent`` (names), ``score``, with several
        targets the ``scores`` of each, ``trust`` (`trust.in_short`), ``complete_rows``, how many rows have every
        modality of the subset, and ``rows``, of how many; ``modalities``, per modality the score ``without`` it and
        with it ``alone``; and ``unusual``, the share of rows unlike the train rows, among validation rows and these.

    Raises:
        ValueError: if no row has a known target.
    """
    names = [modality.name for modality in dataset.spec.modalities]
    chosen = subsets(names)[: None if combinations else 1]
    absent = [[name for name in names if name not in present] for present in chosen]
    run = partial(
        predict_without, model, dataset, batch_size=batch_size, progress=progress, deadline=deadline, raw=True
    )
    sample = sampled_rows(len(absent)) if sample is None else sample
    is_sample = len(dataset) > sample and len(absent) > 1
    measured = run(absent[:1] if is_sample else absent)
    if is_sample and (deadline is None or deadline.left() > 0):
        measured += run(absent[1:], rows=sample)
    for each in measured:
        _check_finite([each.outputs], each.rows)
    calibration = calibration_of(model, dataset.spec.targets)
    told = [trust(each, calibration, same_rows=same_rows) for each in measured]
    calibrated = [each.calibrated(calibration) for each in measured]
    combined = [
        {**_combination(present, left_out, predictions, choice), "trust": in_short(each)}
        for present, left_out, predictions, each in zip(chosen, absent, calibrated, told, strict=False)
    ]
    tasks = calibrated[0].metrics()
    for name, intervals in calibrated[0].intervals(tasks).items():
        tasks[name] |= {"intervals": intervals, **told[0].get(name, {})}
    metrics = {"tasks": tasks} if len(dataset.spec.targets) > 1 else next(iter(tasks.values()))
    return calibrated[0], metrics | {
        "score": combined[0]["score"],
        "score_name": score_name(dataset.spec.targets, choice),
        "modalities": modality_scores(combined),
        "combinations": combined,
        **_unusual(model, calibrated[0], dataset),
    }


def _unusual(model: nn.Module, predictions: Predictions, dataset: TableDataset) -> dict[str, Any]:
    """How many of the rows are unlike the train rows, as ``unusual``; empty for a model that knows nothing of it."""
    if (known := unusual_of(model)) is None:
        return {}
    share = sum(map(bool, predictions.unusual(known, dataset.oddities))) / len(predictions.rows)
    return {
        "unusual": {"limit_rate": RATE, "validation_rows": known.rows, "validation": known.share, "measured": share}
    }


def _combination(
    present: Sequence[str], absent: Sequence[str], predictions: Predictions, choice: Choice
) -> dict[str, Any]:
    """What `measure` says of one subset."""
    complete = torch.stack([predictions.present[name] for name in present]).all(0)
    return {
        "present": list(present),
        "absent": list(absent),
        **_scores(predictions, choice),
        "complete_rows": int(complete.sum()),
        "rows": len(complete),
    }


def combinations_left_out(dataset: TableDataset, metrics: Mapping[str, Any]) -> str:
    """What to say where `measure` had no time for all `subsets`; empty where it had."""
    wanted = len(subsets([modality.name for modality in dataset.spec.modalities]))
    done = len(metrics["combinations"])
    return "" if done == wanted else f"the time limit left time for {done} of {wanted} combinations of modalities"


def modality_warnings(targets: Sequence[Target], metrics: Mapping[str, Any], choice: Choice) -> list[str]:
    """A sentence for each target for which one modality alone scores better than all of them together, by more than
    their score is in doubt: the longer side of its interval, since on few rows the shorter one says little."""
    whole, *others = metrics["combinations"]
    alone = [entry for entry in others if len(entry["present"]) == 1]
    texts = []
    for target in targets if alone else ():
        name = choice.of(target)
        best = max(alone, key=lambda entry: _score_of(entry, target))
        found = by_target(targets, metrics).get(target.name, {})
        interval = found.get("intervals", {}).get(name)
        if interval is None or found.get("rows", FEW_ROWS) < FEW_ROWS:
            continue
        score, better = _score_of(whole, target), _score_of(best, target)
        if better - score > max(interval["high"] - score, score - interval["low"]):
            texts.append(
                f"{target.name}: {target.titles[name]} {better:.3f} with {best['present'][0]!r} alone, and "
                f"{score:.3f}{interval_text(interval)} with all modalities: the others do harm"
            )
    return texts


def _score_of(entry: Mapping[str, Any], target: Target) -> float:
    """A target's score with a combination of modalities."""
    return entry["scores"].get(target.name, 0.0) if "scores" in entry else entry["score"]


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
