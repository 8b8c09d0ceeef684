"""The report of a run: one HTML page that opens without a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perceiver_pytorch._files import write_text
from perceiver_pytorch.data import BadRow, ClassTarget, LabelsTarget, TableDataset, TargetSpec
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.report import examples, figures
from perceiver_pytorch.report.answers import answer
from perceiver_pytorch.training.table.evaluation import Predictions
from perceiver_pytorch.training.table.metrics import BASELINES, HEADLINES, TITLES, known

NUM_EXAMPLES = 12
MAX_CLASSES_DRAWN = 60
MAX_POINTS = 5000  # of a scatter plot


@dataclass(frozen=True, kw_only=True)
class ReportFacts:
    """What the report shows besides what the run folder holds.

    Attributes:
        split: name of the rows measured on, "test" or "validation".
        dataset: those rows.
        predictions: of those rows.
        metrics: of `evaluation.measure`.
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
    history: Sequence[Mapping[str, float]]
    sizes: Mapping[str, int]
    bad_rows: Sequence[BadRow]
    notes: Sequence[str]
    data_notes: Sequence[str]
    summary: str
    config: str


def write_report(path: Path, facts: ReportFacts) -> None:
    """Writes the page."""
    from jinja2 import Environment

    source = files("perceiver_pytorch.report").joinpath("templates/report.html.jinja").read_text(encoding="utf-8")
    template = Environment(autoescape=True).from_string(source)
    spec, metrics = facts.dataset.spec, facts.metrics
    measure = f"val_{metrics['score_name']}"
    title = TITLES[metrics["score_name"]]
    best = max(facts.history, key=lambda row: row[measure], default=None)
    page = template.render(
        title=f"Predicting {', '.join(target.name for target in spec.targets)}",
        subtitle=f"from {facts.dataset.table.source}",
        split=facts.split,
        score_title=title,
        several=len(spec.targets) > 1,
        score=metrics["score"],
        notes=facts.notes,
        tasks=[_task(target, facts) for target in spec.targets if target.name in _tasks(facts)],
        combinations=metrics["combinations"],
        names=[modality.name for modality in spec.modalities],
        bars=figures.combinations(metrics["combinations"], title, _baseline(facts))
        if len(metrics["combinations"]) > 1
        else None,
        all_measured=len(metrics["combinations"]) == 2 ** len(spec.modalities) - 1,
        curves=figures.learning_curves(facts.history, measure, title) if facts.history else None,
        best_epoch=int(best["epoch"]) if best else None,
        inputs=spec.describe(),
        rows_note=", ".join(f"{count:,} {name} rows" for name, count in facts.sizes.items()) + ".",
        ignored=listed(spec.unused, 1000),
        data_notes=facts.data_notes,
        bad_rows=facts.bad_rows,
        examples=_examples(facts.dataset, facts.predictions),
        summary=facts.summary,
        config=facts.config,
    )
    write_text(path, page)


def _tasks(facts: ReportFacts) -> Mapping[str, Mapping[str, Any]]:
    """The metrics of each target that was measured."""
    return facts.metrics.get("tasks") or {facts.dataset.spec.targets[0].name: facts.metrics}


def _baseline(facts: ReportFacts) -> tuple[str, float] | None:
    """Name and score of what knows no input, where the score is that of one target."""
    if "tasks" in facts.metrics or facts.metrics["score_name"] not in ("accuracy", "map"):
        return None
    what, key, _ = BASELINES[facts.metrics["kind"]]
    return None if facts.metrics[key] is None else (what, facts.metrics[key])


def _task(target: TargetSpec, facts: ReportFacts) -> dict[str, Any]:
    """What the page shows of one target: headline figures, and a matrix, a table or a scatter plot."""
    values = _tasks(facts)[target.name]
    what, key, measured = BASELINES[target.kind]
    figures_ = [(TITLES[name], _figure_text(values[name])) for name in HEADLINES[target.kind]]
    figures_ += [(f"{what} ({measured})", _figure_text(values[key])), (f"{facts.split} rows", f"{values['rows']:,}")]
    shown: dict[str, Any] = {"name": target.name, "kind": target.kind, "note": target.note(), "headline": figures_}
    if isinstance(target, ClassTarget):
        drawable = target.size <= MAX_CLASSES_DRAWN
        shown["drawing"] = figures.confusion(values["confusion"], target.classes) if drawable else None
        shown["size"] = target.size
    elif isinstance(target, LabelsTarget):
        shown["labels"] = sorted(values["per_label"], key=lambda label: -label["rows"])
    else:
        known_rows = known(target, facts.predictions.encoded[target.name]).nonzero().flatten()
        places = _spread(known_rows, MAX_POINTS)
        truth = facts.predictions.encoded[target.name][places].double() * target.std + target.mean
        predicted = facts.predictions.values(target)[places, 0]
        shown["drawing"] = figures.scatter(truth.tolist(), predicted.tolist(), target.name)
        shown["points"], shown["known"] = len(places), len(known_rows)
    return shown


def _figure_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def _examples(dataset: TableDataset, predictions: Predictions) -> list[dict[str, Any]]:
    """Rows spread over the split; of one target with classes, a third of them wrong ones where there are as many."""
    places = torch.arange(len(predictions.rows))
    target = predictions.targets[0]
    if len(predictions.targets) > 1 or not isinstance(target, ClassTarget):
        chosen = _spread(places, NUM_EXAMPLES)
    else:
        truth = predictions.encoded[target.name]
        is_right = predictions.outputs[target.name].argmax(-1) == truth
        right, wrong = places[is_right & (truth >= 0)], places[~is_right & (truth >= 0)]
        count = NUM_EXAMPLES // 3
        chosen = torch.cat([_spread(right, NUM_EXAMPLES - min(count, len(wrong))), _spread(wrong, count)])
    return [_example(dataset, predictions, int(place)) for place in chosen]


def _spread(values: torch.Tensor, count: int) -> torch.Tensor:
    """``count`` of the values, evenly spread; all if there are fewer."""
    if len(values) <= count:
        return values
    return values[torch.linspace(0, len(values) - 1, count).long()]


def _example(dataset: TableDataset, predictions: Predictions, place: int) -> dict[str, Any]:
    spec = dataset.spec
    sample = dataset[int(np.searchsorted(dataset.rows, int(predictions.rows[place])))]
    cells = dataset.table.row(sample.row)
    parts = [
        part for modality in spec.modalities for part in examples.parts(modality, sample.inputs[modality.name], cells)
    ]
    answers = [answer(target, predictions, place) for target in predictions.targets]
    return {"row": sample.row, "parts": parts, "answers": answers}
