"""A model's outputs calibrated on the validation rows, once its weights and its blend are chosen.

A model without a modality is less sure of itself, or should be. So the validation rows are answered with each
combination of modalities, as when a model is measured, and each that rows enough have gets an entry of its own.
"""

from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.data import InputSpec, Predictions, TableDataset, Target
from perceiver_pytorch.data.calibration import Calibration, learned
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.table.evaluation import predict_without
from perceiver_pytorch.training.table.learn_unusual import learn_unusual, unusual_batches
from perceiver_pytorch.training.table.partial_inputs import subsets

WHOLE_ROWS = 2000
"""Validation rows that are answered with all that they have, at most."""
PATTERN_ROWS = 500
"""Those that are answered with fewer modalities."""
_MOST_NUMBERS = 5_000_000  # of outputs that are kept: 20 MB, and some seconds of arithmetic


def learn_calibration(
    model: Any,
    dataset: TableDataset | None,
    *,
    train: TableDataset | None = None,
    batch_size: int = 256,
    deadline: Deadline | None = None,
) -> Calibration | None:
    """Sets ``model.calibration``, and gives it; None without rows.

    Args:
        model: of a run; it is left in evaluation mode.
        dataset: the validation rows.
        train: the train rows, to learn what is unlike them, too.
        batch_size: rows that are answered at once.
        deadline: combinations of modalities for which there is no time have no entry.
    """
    model.calibration = None
    if dataset is None or not len(dataset) or (deadline is not None and deadline.left() <= 0):
        return None
    answered = _answered(model, dataset, batch_size, deadline)
    found = {target.name: learned(target, _rows(target, answered)) for target in dataset.spec.targets}
    calibration = Calibration({name: entries for name, entries in found.items() if entries})
    model.calibration = calibration.to_json()
    if train is not None:
        unusual = learn_unusual(model, train, answered, dataset.oddities, batch_size=batch_size, deadline=deadline)
        model.calibration |= {"unusual": unusual.to_json()}
    return calibration


def calibration_batches(spec: InputSpec, train: int, rows: int, batch_size: int) -> int:
    """Batches that `learn_calibration` answers, at most.

    Args:
        spec: what is read and predicted.
        train: rows.
        rows: for validation.
        batch_size: rows that are answered at once.
    """
    others = len(subsets([modality.name for modality in spec.modalities])) - 1
    whole = unusual_batches(len(spec.modalities), train, batch_size) + -(-min(rows, WHOLE_ROWS) // batch_size)
    return whole + others * -(-min(rows, PATTERN_ROWS) // batch_size)


def calibration_note(calibration: Calibration | None) -> str:
    """What was learned, as a sentence; empty where nothing was."""
    if calibration is None:
        return ""
    told = {name: _told(entries[0].fitted.method, entries[0].rows) for name, entries in calibration.targets.items()}
    if len(set(told.values())) == 1:
        return f"Calibrated on the validation rows: {next(iter(told.values()))}."
    return f"Calibrated on the validation rows: {'; '.join(f'{name}: {text}' for name, text in told.items())}."


def _told(method: str, rows: int) -> str:
    return {
        "none": f"outputs stay as they are, {rows:,} rows say how far they can be trusted",
        "temperature": f"one temperature, from {rows:,} rows",
        "vector": f"a factor and a shift for each output, from {rows:,} rows",
    }[method]


def _answered(
    model: nn.Module, dataset: TableDataset, batch_size: int, deadline: Deadline | None
) -> list[tuple[tuple[str, ...], Predictions]]:
    """(modalities that are left, the model's answers), the whole first, with the modalities that each row has."""
    names = [modality.name for modality in dataset.spec.modalities]
    whole, *others = subsets(names)
    size = sum(target.size for target in dataset.spec.targets)
    rows = min(WHOLE_ROWS, max(1, _MOST_NUMBERS // size))
    (every,) = predict_without(model, dataset, [()], batch_size=batch_size, rows=rows, raw=True)
    found = [(whole, every)]
    if others and (deadline is None or deadline.left() > 0):
        without = [tuple(name for name in names if name not in present) for present in others]
        rows = min(PATTERN_ROWS, max(1, _MOST_NUMBERS // (size * len(others))))
        partial = predict_without(
            model, dataset, without, batch_size=batch_size, rows=rows, deadline=deadline, raw=True
        )
        found += zip(others, partial, strict=False)
    return found


def _rows(
    target: Target, answered: list[tuple[tuple[str, ...], Predictions]]
) -> list[tuple[tuple[str, ...], Tensor, Tensor]]:
    """What `learned` takes: the rows as they are, then of each combination those that have all of it."""
    found: list[tuple[tuple[str, ...], Tensor, Tensor]] = [((), *_finite(target, answered[0][1], None))]
    for present, predictions in answered:
        complete = torch.stack([predictions.present[name] for name in present]).all(0)
        found.append((present, *_finite(target, predictions, complete)))
    return found


def _finite(target: Target, predictions: Predictions, rows: Tensor | None) -> tuple[Tensor, Tensor]:
    outputs, encoded = predictions.outputs[target.name], predictions.encoded[target.name]
    keep = outputs.isfinite().all(1) if rows is None else outputs.isfinite().all(1) & rows
    return outputs[keep], encoded[keep]
