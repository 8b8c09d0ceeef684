"""The report of a run: one HTML page that opens without a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import torch

from perceiver_pytorch.data import BadRow, ClassTarget, TableDataset
from perceiver_pytorch.training import examples, figures
from perceiver_pytorch.training.evaluation import Predictions
from perceiver_pytorch.training.files import write_text
from perceiver_pytorch.training.run_folder import RunFolder

NUM_EXAMPLES = 12
MAX_CLASSES_DRAWN = 60


@dataclass(frozen=True, kw_only=True)
class ReportFacts:
    """What the report shows besides what the run folder holds.

    Attributes:
        split: name of the rows measured on, "test" or "validation".
        dataset: those rows.
        predictions: of those rows.
        metrics: of `evaluation.metrics`.
        modalities: of `evaluation.modality_accuracies`.
        history: rows of the history file.
        sizes: number of rows per split.
        bad_rows: rows that were left out.
        notes: sentences about the result.
        data_notes: sentences about the data.
        summary: of the model.
        config: as YAML.
    """

    split: str
    dataset: TableDataset
    predictions: Predictions
    metrics: Mapping[str, Any]
    modalities: Mapping[str, Mapping[str, float]]
    history: Sequence[Mapping[str, float]]
    sizes: Mapping[str, int]
    bad_rows: Sequence[BadRow]
    notes: Sequence[str]
    data_notes: Sequence[str]
    summary: str
    config: str


def write_report(run: RunFolder, facts: ReportFacts) -> None:
    """Writes ``report.html``."""
    from jinja2 import Environment

    source = files("perceiver_pytorch.training").joinpath("templates/report.html.jinja").read_text(encoding="utf-8")
    template = Environment(autoescape=True).from_string(source)
    spec, metrics = facts.dataset.spec, facts.metrics
    best = max(facts.history, key=lambda row: row["val_accuracy"], default=None)
    (target,) = spec.targets
    assert isinstance(target, ClassTarget)
    drawable = len(target.classes) <= MAX_CLASSES_DRAWN
    page = template.render(
        title=f"Predicting {target.name}",
        subtitle=f"from {facts.dataset.table.source}",
        split=facts.split,
        metrics=metrics,
        notes=facts.notes,
        bars=figures.modality_bars(facts.modalities, metrics["accuracy"], metrics["majority_accuracy"])
        if facts.modalities
        else None,
        curves=figures.learning_curves(facts.history) if facts.history else None,
        best_epoch=int(best["epoch"]) if best else None,
        inputs=spec.describe(),
        rows_note=", ".join(f"{count:,} {name} rows" for name, count in facts.sizes.items()) + ".",
        ignored=", ".join(name for name, kind in spec.kinds.items() if kind == "ignore"),
        data_notes=facts.data_notes,
        bad_rows=facts.bad_rows,
        matrix=figures.confusion(metrics["confusion"], target.classes) if drawable else None,
        examples=_examples(facts.dataset, facts.predictions),
        summary=facts.summary,
        config=facts.config,
    )
    write_text(run.report_file, page)


def _examples(dataset: TableDataset, predictions: Predictions) -> list[dict[str, Any]]:
    """Rows spread over the split, a third of them wrong ones where there are as many."""
    known = (predictions.targets >= 0).nonzero().flatten()
    chosen = predictions.probabilities.argmax(-1)
    right = known[chosen[known] == predictions.targets[known]]
    wrong = known[chosen[known] != predictions.targets[known]]
    places = torch.cat([_spread(right, NUM_EXAMPLES - min(NUM_EXAMPLES // 3, len(wrong))),
                        _spread(wrong, NUM_EXAMPLES // 3)])  # fmt: skip
    return [_example(dataset, predictions, int(place)) for place in places]


def _spread(values: torch.Tensor, count: int) -> torch.Tensor:
    """``count`` of the values, evenly spread; all if there are fewer."""
    if len(values) <= count:
        return values
    return values[torch.linspace(0, len(values) - 1, count).long()]


def _example(dataset: TableDataset, predictions: Predictions, place: int) -> dict[str, Any]:
    spec = dataset.spec
    (task,) = spec.targets
    assert isinstance(task, ClassTarget)
    sample = dataset[place]
    cells = dataset.table.row(sample.row)
    parts = [
        part for modality in spec.modalities for part in examples.parts(modality, sample.inputs[modality.name], cells)
    ]
    chosen = int(predictions.probabilities[place].argmax())
    target = int(predictions.targets[place])
    return {
        "row": sample.row,
        "parts": parts,
        "prediction": task.classes[chosen],
        "probability": float(predictions.probabilities[place, chosen]),
        "target": task.classes[target],
        "right": chosen == target,
    }
