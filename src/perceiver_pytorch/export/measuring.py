"""What an export costs in accuracy: a run's model and its graph on the same rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from perceiver_pytorch.data import DataError, Predictions, TableDataset, Target, collate
from perceiver_pytorch.data.stacking import stack
from perceiver_pytorch.runtime.bundle import Bundle
from perceiver_pytorch.runtime.kept import present
from perceiver_pytorch.tables.run import Run
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.build import run_model
from perceiver_pytorch.training.table.prepare import measured_rows

MOST_ROWS = 2000
_BATCH = 64


def measured(run: Run, bundle: Bundle, table: Any, reporter: Reporter) -> dict[str, Any] | None:
    """The scores of a run's model and of its bundle.

    Args:
        run: what was exported.
        bundle: what it became.
        table: the run's table, if it is to be read from elsewhere.
        reporter: how to tell what happens.

    Returns:
        ``split`` and number of ``rows``; ``targets``: {target: {metric: ``[of the model, of the bundle]``}}; and
        ``largest_difference`` of a probability, or of a number in deviations of the train rows. None if the run's
        table is not there.
    """
    try:
        split, dataset = measured_rows(run.folder, table)
    except (DataError, OSError, ValueError) as error:
        reporter.warn(f"the loss of accuracy was not measured: {error}; say where the table is with --table")
        return None
    with reporter.step(f"comparing on {split} rows") as progress:
        before, after = _predictions(run, bundle, dataset, progress)
    worst = 0.0
    for target in run.spec.targets:
        unit = float(getattr(target, "std", 1.0))
        difference = abs(before.values(target) - after.values(target)).max() / unit
        worst = max(worst, float(difference))
    return {
        "split": split,
        "rows": len(before.rows),
        "targets": _pairs(run.spec.targets, before.metrics(), after.metrics()),
        "largest_difference": worst,
    }


def _pairs(
    targets: Sequence[Target], before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """{target: {metric: values of both}}, of the metrics that are shown first."""
    return {
        target.name: {
            key: [before[target.name][key], after[target.name][key]]
            for key in target.titles
            if before[target.name].get(key) is not None and after[target.name].get(key) is not None
        }
        for target in targets
        if target.name in before
    }


def _predictions(run: Run, bundle: Bundle, dataset: TableDataset, progress: Any) -> tuple[Predictions, Predictions]:
    """What the model and the bundle say about the same rows."""
    model, spec = run.model.cpu().eval(), run.spec
    rows, given, found, truth, there = [], [], [], [], []
    count = min(MOST_ROWS, len(dataset))
    for start in range(0, count, _BATCH):
        samples, _ = dataset.samples(range(start, min(start + _BATCH, count)))
        samples = [sample for sample in samples if not sample.in_pieces]
        if not samples:
            continue
        batch = collate(samples, spec)
        with torch.no_grad():
            given.append(run_model(model, batch, spec.targets))
        arrays = stack(samples, spec)
        raw = bundle.outputs_of(arrays)
        there.append({m.name: torch.from_numpy(present(arrays, m.name)) for m in spec.modalities})
        found.append({name: torch.from_numpy(values) for name, values in raw.items()})
        truth.append(batch.targets)
        rows.append(batch.rows)
        if progress is not None:
            progress(start + len(samples), count)
    if not rows:
        raise DataError("none of the rows can be used")

    numbers, encoded, has = torch.cat(rows), _joined(truth), _joined(there)
    first, second = (
        Predictions(numbers, spec.targets, _joined(outputs), encoded, has).calibrated(run.calibration)
        for outputs in (given, found)
    )
    return first, second


def _joined(parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
