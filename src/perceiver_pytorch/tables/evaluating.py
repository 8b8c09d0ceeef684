"""A model measured on a table that has its targets, whichever engine computes it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from perceiver_pytorch._files import write_json
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.targets.scores import by_target, metric_lines
from perceiver_pytorch.tables.predictor import Predictor, lost_of_rows
from perceiver_pytorch.tables.rows import Reading, warn_about_rows
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table import evaluation
from perceiver_pytorch.training.table.coverage import absence_warnings
from perceiver_pytorch.training.table.trust import coverage_doubts
from perceiver_pytorch.training.table.verdict import verdict_lines
from perceiver_pytorch.training.table.worth import measure_worth, worth_lines

Judge = Callable[[dict[str, Any], bool], dict[str, Any]]
"""From metrics, and whether the table was in memory, to a verdict."""


def evaluate(
    predictor: Predictor,
    model: nn.Module,
    table: Any,
    reading: Reading,
    *,
    choice: Choice,
    split: str | None,
    output: str | os.PathLike[str] | None,
    workers: int | None,
    root: str | Path | None,
    reporter: Reporter,
    judge: Judge | None = None,
    worth: bool = False,
) -> dict[str, Any]:
    """The metrics of a predictor on a table, as `perceiver_pytorch.tables.Run.evaluate` gives and writes them.

    Args:
        predictor: what is measured.
        model: that of it, as `perceiver_pytorch.training.table.evaluation.measure` takes it.
        table, split, output, worth, workers, root, reporter: as in `Run.evaluate`.
        reading: how the table is read.
        choice: of the score.
        judge: what is said of the metrics; None: nothing.
    """
    warnings: list[str] = []
    keeping = reporter.keeping(warnings)
    chosen, dataset = predictor._rows(table, split, "test", reading, root, workers, keeping, require_target=True)
    with reporter.step("measuring") as progress:
        predictions, result = evaluation.measure(model, dataset, choice=choice, progress=progress)
    weighed: dict[str, Any] = {}
    if worth:
        with reporter.step("weighing columns"):
            weighed = measure_worth(model, dataset, predictions, result, choice=choice)
    warn_about_rows(dataset, reporter)
    targets = predictor.spec.targets
    doubts = evaluation.modality_warnings(targets, result, choice) + coverage_doubts(by_target(targets, result))
    for text in [*doubts, *absence_warnings(predictions)]:
        keeping.warn(text)
    source = chosen.table.source
    result |= {"table": source, "split": chosen.split, **lost_of_rows(dataset, chosen.split, warnings)}
    reporter.say(f"{len(predictions.rows):,} rows of {source} ({chosen.split})")
    if judge is not None:
        result["verdict"] = judge(result, chosen.form is not None)
    told = metric_lines(targets, result)
    if weighed:
        result["worth"] = weighed | {"split": chosen.split}
        told += worth_lines(weighed)
    for line in [*told, *verdict_lines(result.get("verdict"))]:
        reporter.say(line)
    if output is not None:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(output), result)
        reporter.say(f"written: {output}")
    return result
