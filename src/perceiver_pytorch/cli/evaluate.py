"""``perceiver evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.language import evaluate_language, is_language_run


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder of `perceiver fit`, or of `perceiver language`.")],
    table: Annotated[
        str, typer.Argument(help="Table with the target, or a built-in set; a text file for a language model.")
    ],
    split: Annotated[
        str | None, typer.Option(help="Rows to measure on: train, val, test, all. Default: test if there are any.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write the metrics to.")] = None,
    on_error: Annotated[str | None, typer.Option(help="For a bad row: raise or skip.")] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Let file paths in cells leave the table's folder.")
    ] = False,
    encoding: Annotated[str | None, typer.Option(help="Of a CSV, TSV or JSONL file, if it is not UTF-8.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode; 0: the main one.")] = None,
) -> int:
    """Measure a trained model on a table, with each combination of its modalities."""
    if is_language_run(run):
        return evaluate_language(run, table, output)
    from perceiver_pytorch.tables.run import Run

    Run.open(run).evaluate(
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
