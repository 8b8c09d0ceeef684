"""The report of a run: one HTML page that opens without a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perceiver_pytorch._files import write_text
from perceiver_pytorch.data import BadRow, Encoded, ModalitySpec, Predictions, TableDataset, Target, map_drawing
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.kinds.base import Part
from perceiver_pytorch.data.targets.report_parts import Section, interval_text, spread
from perceiver_pytorch.data.targets.scores import by_target, score_title
from perceiver_pytorch.report import figures
from perceiver_pytorch.report.certainty import certainty_sections
from perceiver_pytorch.report.closer import Closer
from perceiver_pytorch.report.slices import slices

NUM_EXAMPLES = 12


@dataclass(frozen=True, kw_only=True)
class ReportFacts:
    """What the report shows.

    Attributes:
        split: name of the rows measured on, "test" or "validation".
        dataset: those rows.
        predictions: of those rows.
        metrics: of `evaluation.measure`, with ``worth``.
        closer: rows that are looked at more closely, with their maps.
        history: rows of the history file.
        sizes: number of rows per split.
        bad_rows: rows that were left out.
        first: sentences that come before all else.
        verdict: what is said of the result: ``says``, ``command`` and ``limits`` of each finding.
        notes: sentences about the result.
        warnings: what was lost or is doubtful, a sentence each.
        data_notes: sentences about how the data were read.
        summary: of the model.
        config: as YAML.
        choice: of the score.
    """

    split: str
    dataset: TableDataset
    predictions: Predictions
    metrics: Mapping[str, Any]
    closer: Sequence[Closer]
    history: Sequence[Mapping[str, float]]
    sizes: Mapping[str, int]
    bad_rows: Sequence[BadRow]
    first: Sequence[str]
    verdict: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    warnings: Sequence[str]
    data_notes: Sequence[str]
    summary: str
    config: str
    choice: Choice


def write_report(path: Path, facts: ReportFacts) -> None:
    """Writes the page."""
    from jinja2 import Environment

    source = files("perceiver_pytorch.report").joinpath("templates/report.html.jinja").read_text(encoding="utf-8")
    template = Environment(autoescape=True).from_string(source)
    spec = facts.dataset.spec
    page = template.render(
        title=f"Predicting {', '.join(target.name for target in spec.targets)}",
        subtitle=f"from {facts.dataset.table.source}",
        split=facts.split,
        first=facts.first,
        verdict=facts.verdict,
        notes=facts.notes,
        names=[modality.name for modality in spec.modalities],
        inputs=spec.describe(),
        rows_note=", ".join(f"{count:,} {name} rows" for name, count in facts.sizes.items()) + ".",
        ignored=listed(spec.unused, 1000),
        warnings=facts.warnings,
        data_notes=facts.data_notes,
        bad_rows=facts.bad_rows,
        examples=_examples(facts.dataset, facts.predictions),
        closer=_closer(facts),
        worth=_worth(facts.metrics),
        summary=facts.summary,
        config=facts.config,
        **_scores(facts),
    )
    write_text(path, page)


def _scores(facts: ReportFacts) -> dict[str, Any]:
    """What the page shows of the metrics and how they came about."""
    targets, metrics, several = facts.dataset.spec.targets, facts.metrics, len(facts.dataset.spec.targets) > 1
    title, measure = score_title(targets, metrics["score_name"]), f"val_{metrics['score_name']}"
    measured = by_target(targets, metrics)
    combinations = metrics["combinations"]
    return {
        "several": several,
        "score": metrics["score"],
        "score_title": title,
        "score_parts": _score_parts(targets, facts.choice),
        "tasks": [_task(target, measured[target.name], facts) for target in targets if target.name in measured],
        "combinations": combinations,
        "bars": figures.combinations(combinations, title, _baseline(facts)) if len(combinations) > 1 else None,
        "sampled": _sampled(combinations),
        "all_measured": len(combinations) == 2 ** len(facts.dataset.spec.modalities) - 1,
        "curves": figures.learning_curves(facts.history, measure, title) if facts.history else None,
        "kept": _kept(metrics["trained"], title),
    }


def _sampled(combinations: Sequence[Mapping[str, Any]]) -> int | None:
    """How many rows some modalities alone are measured on, if these are not all."""
    rows = [entry["rows"] for entry in combinations]
    return rows[-1] if rows[-1] < rows[0] else None


def _kept(trained: Mapping[str, Any], title: str) -> str:
    """Which model the run kept."""
    if trained["best_epoch"] is None:
        return f"step {trained['steps']:,}, the last"
    passes = trained["best_epoch"]
    place = f"epoch {passes}" if passes == int(passes) else f"step {trained['steps']:,} (epoch {passes:.1f})"
    return f"{place}, the best by validation {title}"


def _score_parts(targets: Sequence[Target], choice: Choice) -> str:
    """What the score of several targets is the mean of."""
    titles = {target.plural: target.titles[choice.of(target)] for target in targets}
    parts = [f"{titles[plural]} ({plural})" for plural in sorted(titles)]
    return " and ".join(", ".join(parts).rsplit(", ", 1))


def _baseline(facts: ReportFacts) -> tuple[str, float] | None:
    """Name and score of what reads no input, where there is one target and its baseline has such a score."""
    target, *others = facts.dataset.spec.targets
    if others or facts.metrics["score_name"] != target.baseline.measures:
        return None
    value = facts.metrics[target.baseline.metric]
    return None if value is None else (target.baseline.what, value)


def _task(target: Target, metrics: Mapping[str, Any], facts: ReportFacts) -> dict[str, Any]:
    """What the page shows of one target: headline figures, and its own sections."""
    baseline = target.baseline
    found = metrics.get("intervals", {})
    headline = {
        f"{title}{interval_text(found.get(name))}": _figure_text(metrics[name]) for name, title in target.titles.items()
    }
    headline[f"{baseline.what} ({target.titles[baseline.measures]})"] = _figure_text(metrics[baseline.metric])
    headline[f"{facts.split} rows"] = f"{metrics['rows']:,}"
    of = f" of {target.name}" if len(facts.dataset.spec.targets) > 1 else ""
    values, encoded = facts.predictions.values(target), facts.predictions.encoded[target.name]
    return {
        "name": target.name,
        "note": target.note(),
        "headline": headline,
        "slices": slices(facts.dataset, facts.predictions, target),
        "row_score": target.row_score,
        "of": of,
        "sections": [
            _section(section)
            for section in (
                *certainty_sections(target.name, metrics, facts.metrics["combinations"], of),
                *target.sections(metrics, values, encoded, of),
            )
        ],
    }


def _worth(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """What modalities and columns are worth, as bars."""
    if (worth := metrics.get("worth")) is None:
        return None
    modalities, columns = worth["modalities"], worth["columns"]
    values = {name: each["value"] for name, each in modalities["values"].items()} if modalities else {}
    return {
        **worth,
        "modality_bars": map_drawing.bars([*values], [*values.values()]) if values else None,
        "column_bars": figures.importance(columns, worth["score_title"]) if columns else None,
        "permuted": sorted(columns.items(), key=lambda pair: -pair[1]["drop"]),
    }


def _closer(facts: ReportFacts) -> list[dict[str, Any]]:
    """Rows that are answered worst, and those that the model is least sure of."""
    found = []
    for closer in facts.closer:
        of = f" of {closer.target}" if len(facts.closer) > 1 else ""
        for title, places in ((f"Worst errors{of}", closer.worst), (f"Least sure{of}", closer.least_sure)):
            rows = []
            for place in places:
                row = _example(facts.dataset, facts.predictions, place)
                answer = {closer.target: row["answers"][closer.target]}
                rows.append({**row, "answers": answer, "maps": closer.maps.get(place)})
            if rows:
                found.append({"title": title, "rows": rows})
    return found


def _section(section: Section) -> dict[str, Any]:
    drawing = None if section.drawing is None else figures.drawn(section.drawing)
    return {**vars(section), "drawing": drawing}


def _figure_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def _examples(dataset: TableDataset, predictions: Predictions) -> list[dict[str, Any]]:
    """Rows spread over the split; of one target that is right or wrong, a third wrong ones if there are as many."""
    places = torch.arange(len(predictions.rows))
    target = predictions.targets[0]
    truth = predictions.encoded[target.name]
    is_right = target.right(predictions.outputs[target.name], truth) if len(predictions.targets) == 1 else None
    if is_right is None:
        chosen = spread(places, NUM_EXAMPLES)
    else:
        known = target.known(truth)
        right, wrong = places[is_right & known], places[~is_right & known]
        count = NUM_EXAMPLES // 3
        chosen = torch.cat([spread(right, NUM_EXAMPLES - min(count, len(wrong))), spread(wrong, count)])
    return [_example(dataset, predictions, int(place)) for place in chosen]


def _example(dataset: TableDataset, predictions: Predictions, place: int) -> dict[str, Any]:
    spec = dataset.spec
    sample = dataset[int(np.searchsorted(dataset.rows, int(predictions.rows[place])))]
    cells = dataset.table.row(sample.row)
    parts = [
        part for modality in spec.modalities for part in example_parts(modality, sample.inputs[modality.name], cells)
    ]
    answers = {}
    for target in predictions.targets:
        encoded = predictions.encoded[target.name][place]
        known = bool(target.known(encoded[None])[0])
        answers[target.name] = target.answer(predictions.values(target)[place], encoded if known else None)
    return {"row": sample.row, "parts": parts, "answers": answers}


def example_parts(modality: ModalitySpec, encoded: Encoded | None, cells: Mapping[str, Any]) -> list[Part]:
    """What the model saw of one modality of a row, as its kind draws it."""
    if encoded is None:
        return [{"kind": "text", "name": modality.name, "value": "(missing)"}]
    try:
        return modality.example(encoded, cells)
    except Exception as error:  # a picture of one row is no reason to lose the report
        return [{"kind": "text", "name": modality.name, "value": f"(cannot be shown: {error})"}]
