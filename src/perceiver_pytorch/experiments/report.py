"""The report of an experiment: one page that opens without a network, and a CSV file of every cell."""

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

from perceiver_pytorch._files import write_text
from perceiver_pytorch.experiments.drawings import curves, forest
from perceiver_pytorch.experiments.findings import Finding, findings, metric_of
from perceiver_pytorch.experiments.progress import title
from perceiver_pytorch.experiments.reading import parse_experiment
from perceiver_pytorch.experiments.spec import Experiment
from perceiver_pytorch.experiments.statistics import HARMS, HELPS, NO_DIFFERENCE, UNDECIDED
from perceiver_pytorch.experiments.store import DONE, FAILED, Record, open_store
from perceiver_pytorch.report import figures

PAGE, TABLE = "report.html", "cells.csv"
_COSTS = ("parameters", "operations", "steps", "seconds", "cpu_seconds", "memory_mb")


def write_experiment_report(folder: Path) -> tuple[Path, Path]:
    """Writes report.html and cells.csv into an experiment's folder, of what is there by now; gives their paths.

    Raises:
        FileNotFoundError: if no experiment has begun there.
        DamagedFileError: if its database is damaged.
    """
    store = open_store(folder)
    try:
        facts, records = store.facts(), store.records()
    finally:
        store.close()
    if "text" not in facts:
        raise FileNotFoundError(f"{folder} has no experiment yet")
    experiment = parse_experiment(facts["text"], facts["name"], quick=facts["quick"])
    write_text(folder / TABLE, cells_csv(experiment, records))
    write_text(folder / PAGE, _page(experiment, records, facts))
    return folder / PAGE, folder / TABLE


def cells_csv(experiment: Experiment, records: Sequence[Record]) -> str:
    """A row per cell: set, a column per factor, seed, state, every metric, what it took, sizes chosen, error, key."""
    names = [factor.name for factor in experiment.factors]
    metrics = [metric.name for metric in experiment.metrics]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["set", *names, "seed", "state", "split", *metrics, *_COSTS, "chosen", "error", "key"])
    for record in records:
        result = record.result or {}
        told = [_plain(metric_of(record, name)) for name in metrics]
        costs = [_plain(result.get(name)) for name in _COSTS]
        chosen = "; ".join(f"{name}={value}" for name, value in result.get("chosen", {}).items())
        levels = [record.levels.get(name, "") for name in names]
        row = [record.set, *levels, record.seed, record.state, result.get("split", ""), *told, *costs, chosen]
        writer.writerow([*row, record.error or "", record.key])
    return text.getvalue()


def answer(experiment: Experiment, found: Sequence[Finding], records: Sequence[Record]) -> list[str]:
    """What the primary metric says, a sentence per contestant; over all sets where there are several."""
    lines = []
    first = found[0].where if found else ""
    for one in found:
        if one.metric != experiment.metrics[0].name or one.where != first:
            continue
        words = {
            HELPS: f"{one.contestant} helps",
            HARMS: f"{one.contestant} harms",
            NO_DIFFERENCE: f"{one.contestant} makes no difference that matters",
            UNDECIDED: f"whether {one.contestant} helps is undecided",
        }[one.decision]
        lines.append(f"{one.comparison}: against {one.baseline}, {words} ({_difference(one)}, {one.pairs} pairs).")
    missing = sum(record.state != DONE for record in records)
    if missing:
        lines.append(f"{missing} of {len(records)} cells have no result yet, or failed: this is not the whole answer.")
    if experiment.quick:
        lines.append("This is the quick form, which shows that all works; it answers nothing.")
    return lines or ["There is nothing to compare yet."]


def _page(experiment: Experiment, records: Sequence[Record], facts: Mapping[str, Any]) -> str:
    from jinja2 import Environment

    source = files("perceiver_pytorch.experiments").joinpath("report.html.jinja").read_text(encoding="utf-8")
    found = findings(experiment, records)
    return (
        Environment(autoescape=True)
        .from_string(source)
        .render(
            experiment=experiment,
            facts=facts,
            answer=answer(experiment, found, records),
            metrics=[
                _metric(metric, [one for one in found if one.metric == metric.name]) for metric in experiment.metrics
            ],
            costs=_costs(experiment, records),
            curves=[(one.name, _drawn(curves(experiment, records, one.name))) for one in experiment.sets],
            states={state: sum(record.state == state for record in records) for state in {r.state for r in records}},
            failed=[(title(record), record.error) for record in records if record.state == FAILED],
            table=TABLE,
        )
    )


def _metric(metric: Any, found: Sequence[Finding]) -> dict[str, Any]:
    return {
        "name": metric.name,
        "better": metric.better,
        "margin": f"{metric.margin:g}",
        "forest": _drawn(forest(found, metric)) if found else None,
        "rows": [
            [
                *(one.comparison, one.where, one.contestant, one.baseline, _difference(one)),
                *("–" if value is None else f"{value:.3g}" for value in (one.found.p, one.adjusted)),
                *(str(one.pairs), one.decision),
            ]
            for one in found
        ],
    }


def _costs(experiment: Experiment, records: Sequence[Record]) -> list[list[str]]:
    """Per set and level of the first factor the means of the metrics and of what a cell takes."""
    factor = experiment.factors[0]
    rows = []
    for one in experiment.sets:
        for level in factor.levels:
            cells = [r for r in records if r.set == one.name and r.levels.get(factor.name) == level.name and r.result]
            if cells:
                means = map(_mean, _columns(experiment, cells))
                rows.append([one.name, level.name, str(len(cells)), *map(_short, means)])
    return rows


def _columns(experiment: Experiment, cells: Sequence[Record]) -> list[list[Any]]:
    metrics = [[metric_of(record, metric.name) for record in cells] for metric in experiment.metrics]
    return [*metrics, *([(record.result or {}).get(name) for record in cells] for name in _COSTS)]


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that there are."""
    there = [value for value in values if value is not None]
    return fmean(there) if there else None


def _difference(one: Finding) -> str:
    if one.found.low is None or one.found.high is None:
        return f"{one.found.mean:+.4f}"
    return f"{one.found.mean:+.4f} ({one.found.low:+.4f} to {one.found.high:+.4f})"


def _drawn(drawing: Any) -> str | None:
    return None if drawing is None else figures.drawn(drawing)


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:,.0f}"


def _plain(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
