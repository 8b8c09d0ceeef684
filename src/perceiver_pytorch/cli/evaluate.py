"""``perceiver evaluate``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.options import READING, with_options
from perceiver_pytorch.training.table.settings import FitConfig


@with_options(FitConfig, *READING)
def evaluate(
    run: Annotated[
        Path,
        typer.Argument(help="Run folder of `perceiver fit` or `perceiver language`, or one of `perceiver export`."),
    ],
    table: Annotated[
        str, typer.Argument(help="Table with the target, or a built-in set; a text file for a language model.")
    ],
    split: Annotated[
        str | None, typer.Option(help="Rows to measure on: train, val, test, all. Default: test if there are any.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write the metrics to.")] = None,
    worth: Annotated[
        bool,
        typer.Option("--worth", help="Measure what each modality and column is worth, too; takes a few times as long."),
    ] = False,
    **reading: Any,
) -> int:
    """Measure a trained model on a table, with each combination of its modalities."""
    from perceiver_pytorch.runtime.bundle import Bundle, check_model, is_bundle

    if is_bundle(run):
        Bundle.open(run).evaluate(
            table, split=split, output=output, worth=worth, reporter=console.reporter(), **reading
        )
        return 0
    check_model(run)
    from perceiver_pytorch.cli.language import evaluate_language, is_language_run

    if is_language_run(run):
        if worth:
            raise ValueError("--worth is for models of tables: a language model has neither modalities nor columns")
        return evaluate_language(run, table, output)
    from perceiver_pytorch.tables.run import Run

    Run.open(run).evaluate(table, split=split, output=output, worth=worth, reporter=console.reporter(), **reading)
    return 0
