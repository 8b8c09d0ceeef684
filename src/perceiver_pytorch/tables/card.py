"""The model card of a run: what it reads and predicts, from which data, how good it is, and where its limits are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.data.targets import Target
from perceiver_pytorch.data.targets.scores import by_target
from perceiver_pytorch.models.card import Section, card_text, fenced, markdown_table, results_of
from perceiver_pytorch.training.run.evidence import hardly_trained

_MOST_WARNINGS = 10
_TASKS = {"class": "tabular-classification", "labels": "tabular-classification", "number": "tabular-regression"}


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from.

    Attributes:
        name: of the run.
        table: that it was trained on, by the name that it had then.
        spec: what the model reads and predicts.
        metrics: of the run; None where it was stopped before it was measured.
    """

    name: str
    table: str
    spec: InputSpec
    metrics: Mapping[str, Any] | None

    @property
    def table_name(self) -> str:
        """The table's name, without the folders of whoever trained on it."""
        return Path(self.table).name if "/" in self.table and not self.table.startswith("hf:") else self.table


def run_card(run: CardFacts, *sections: Section) -> str:
    """The card of a run's model, with further sections at the end."""
    metrics = run.metrics
    results = [
        result
        for target in run.spec.targets
        if (found := by_target(run.spec.targets, metrics).get(target.name) if metrics else None)
        for result in results_of(run.name, run.table_name, _TASKS.get(target.kind, "other"), _shown(target, found))
    ]
    kinds = sorted({modality.kind for modality in run.spec.modalities})
    return card_text(run.name, [*_sections(run, metrics), *sections], tags=kinds, results=results)


def loading() -> Section:
    """How a run's folder is used."""
    code = 'from perceiver_pytorch.tables import Run\n\nrun = Run.open("RUN FOLDER")\nrun.predict("new.csv")'
    shell = "perceiver predict RUN_FOLDER new.csv -o predictions.csv"
    return "How to load", f"{fenced(code, 'python')}\n\nor\n\n{fenced(shell, 'sh')}"


def _sections(run: CardFacts, metrics: Mapping[str, Any] | None) -> list[Section]:
    return [
        ("What it reads", _reads(run)),
        ("What it predicts", "\n".join(f"- `{t.name}`: {_words(t.note())}" for t in run.spec.targets)),
        ("Data", _data(run, metrics)),
        ("Scores", _scores(run, metrics)),
        ("Per modality", "" if metrics is None else _modalities(metrics)),
        ("Limits", _limits(run, metrics)),
    ]


def _reads(run: CardFacts) -> str:
    rows = run.spec.describe(most=8)
    table = markdown_table(("modality", "kind", "columns", "shape", "learned from the train rows"), rows)
    return f"{table}\n\nAny cell may be missing: the model answers from what a row has."


def _data(run: CardFacts, metrics: Mapping[str, Any] | None) -> str:
    lines = [f"- trained on the table `{run.table_name}`"]
    if metrics is not None:
        counted = [f"{each['rows']:,}" for each in by_target(run.spec.targets, metrics).values()]
        lines.append(f"- measured on its {metrics['split']} rows: {', '.join(counted)}")
        if metrics.get("bad_rows"):
            lines.append(f"- {metrics['bad_rows']:,} rows could not be read and were left out")
    return "\n".join(lines)


def _scores(run: CardFacts, metrics: Mapping[str, Any] | None) -> str:
    if metrics is None:
        return "The run was stopped before it was measured."
    rows: list[Sequence[str]] = []
    for target in run.spec.targets:
        found = by_target(run.spec.targets, metrics).get(target.name)
        if found is None:
            rows.append((target.name, "no measured row has it", "", ""))
            continue
        for key, value in _shown(target, found).items():
            interval = (found.get("intervals") or {}).get(key)
            span = "" if interval is None else f"{interval['low']:.4g} to {interval['high']:.4g}"
            rows.append((target.name, target.titles[key], f"{value:.4g}", span))
        baseline = found.get(target.baseline.metric)
        if baseline is not None:
            title = f"{target.titles[target.baseline.measures]} of the {target.baseline.what}"
            rows.append((target.name, title, f"{baseline:.4g}", ""))
    return markdown_table(("target", "score", "value", "95 % interval"), rows)


def _modalities(metrics: Mapping[str, Any]) -> str:
    rows = [
        (" + ".join(each["present"]), f"{each['score']:.4f}", f"{each['rows']:,}", f"{each['complete_rows']:,}")
        for each in metrics["combinations"]
        if len(each["absent"]) < 2 or len(each["present"]) == 1
    ]
    name = metrics["score_name"]
    return markdown_table(("modalities given", name, "rows", "of them with all of these"), rows)


def _limits(run: CardFacts, metrics: Mapping[str, Any] | None) -> str:
    lines = [
        "It knows rows like those of its train table. Of others, its answers and their probabilities may be wrong.",
        "It answers with the classes and labels above alone.",
    ]
    if metrics is not None:
        lines = [*hardly_trained(metrics), *lines, *metrics.get("warnings", [])[:_MOST_WARNINGS]]
    return "\n".join(f"- {_words(line)}" for line in lines)


def _shown(target: Target, found: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are shown first."""
    return {key: float(found[key]) for key in target.titles if found.get(key) is not None}


def _words(text: str) -> str:
    return " ".join(text.replace("<", "&lt;").split())
