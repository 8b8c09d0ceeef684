"""``perceiver predict``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.options import READING, with_options
from perceiver_pytorch.training.table.settings import FitConfig


@with_options(FitConfig, *READING)
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder of `perceiver fit`, or one of `perceiver export`.")],
    table: Annotated[str, typer.Argument(help="Table, with or without the target; cells may be empty.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV or Parquet file to write.")],
    split: Annotated[str, typer.Option(help="Rows to predict: train, val, test, all.")] = "all",
    coverage: Annotated[
        float | None,
        typer.Option(help="Share of rows whose truth is held by a set of classes or labels, or an interval, as 0.9."),
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(help="JSON file to write what was lost or doubtful to: counts, rows, warnings.")
    ] = None,
    **reading: Any,
) -> int:
    """Predict with a trained model: per row its class, labels or number, and the probability of each class or label."""
    from perceiver_pytorch.cli.language import is_language_run
    from perceiver_pytorch.runtime.bundle import is_bundle, open_predictor

    if not is_bundle(run) and is_language_run(run):
        raise ValueError(f"run {run} has a language model: use perceiver generate {run} PROMPT, or perceiver fill")
    asked = {"split": split, "coverage": coverage, "output": output, "summary": summary, **reading}
    open_predictor(run).predict(table, reporter=console.reporter(), **asked)
    return 0
