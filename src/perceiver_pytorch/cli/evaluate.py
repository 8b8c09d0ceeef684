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
    from perceiver_pytorch._files import write_json
    from perceiver_pytorch.cli.tables import load_rows, open_run, opened, overridden, tell_bad_rows
    from perceiver_pytorch.data.targets.scores import metric_lines
    from perceiver_pytorch.training.table.evaluation import measure
    from perceiver_pytorch.training.table.run import TableRun

    if is_language_run(run):
        return evaluate_language(run, table, output)
    folder = TableRun.open(run)
    model = open_run(folder)
    data = overridden(folder.config().data, on_error, allow_outside, encoding)
    rows_of, rows, chosen = load_rows(table, data, split, default="test")
    dataset = opened(rows_of, rows, folder, data, workers, require_target=True)
    with console.reporter().step("measuring") as progress:
        balanced = folder.config().training.class_weights == "balanced"
        predictions, result = measure(model, dataset, balanced=balanced, progress=progress)
    tell_bad_rows(dataset)
    result |= {"table": table, "split": chosen, "bad_rows": len(dataset.bad)}

    console.say(f"{len(predictions.rows):,} rows of {table} ({chosen})")
    for line in metric_lines(dataset.spec.targets, result):
        console.say(line)
    if output is not None:
        write_json(output, result)
        console.say(f"written: {output}")
    return 0
