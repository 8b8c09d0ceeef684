"""``perceiver predict``."""

from pathlib import Path
from typing import Annotated

import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.language import is_language_run


def predict(
    run: Annotated[Path, typer.Argument(help="Run folder of `perceiver fit`.")],
    table: Annotated[str, typer.Argument(help="Table, with or without the target; cells may be empty.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV or Parquet file to write.")],
    split: Annotated[str, typer.Option(help="Rows to predict: train, val, test, all.")] = "all",
    on_error: Annotated[str | None, typer.Option(help="For a bad row: raise, or skip (the reason is written).")] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Let file paths in cells leave the table's folder.")
    ] = False,
    encoding: Annotated[str | None, typer.Option(help="Of a CSV, TSV or JSONL file, if it is not UTF-8.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode; 0: the main one.")] = None,
) -> int:
    """Predict with a trained model: per row its class, labels or number, and the probability of each class or label."""
    if is_language_run(run):
        raise ValueError(f"run {run} has a language model: use perceiver generate {run} PROMPT, or perceiver fill")
    from perceiver_pytorch.tables.run import Run

    Run.open(run).predict(
        table,
        split=split,
        output=output,
        on_error=on_error,
        allow_outside=allow_outside,
        encoding=encoding,
        workers=workers,
        reporter=console.reporter(),
    )
    return 0
