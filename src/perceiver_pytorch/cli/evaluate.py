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
) -> int:
    """Measure a trained model on a table, with all modalities and with each left out."""
    from perceiver_pytorch.cli.tables import load_rows, open_run, overridden, prepared
    from perceiver_pytorch.training.evaluation import metrics, modality_accuracies, predict
    from perceiver_pytorch.training.files import write_json
    from perceiver_pytorch.training.run_folder import RunFolder

    if is_language_run(run):
        return evaluate_language(run, table, output)
    folder = RunFolder.open(run)
    model = open_run(folder)
    data = overridden(folder.config().data, on_error, allow_outside)
    rows_of, rows, chosen = load_rows(table, data, split, default="test")
    dataset, bad_rows = prepared(rows_of, rows, folder, data, require_target=True)
    reporter = console.reporter()
    with reporter.step("measuring") as progress:
        result = metrics(predict(model, dataset, progress=progress), dataset.spec.targets[0].size)
    with reporter.step("leaving modalities out") as progress:
        result["modalities"] = modality_accuracies(model, dataset, progress=progress)
    result |= {"table": table, "split": chosen, "bad_rows": len(bad_rows)}

    console.say(f"{result['rows']:,} rows of {table} ({chosen})")
    console.say(
        f"accuracy {result['accuracy']:.4f}, macro F1 {result['macro_f1']:.4f}, cross-entropy {result['loss']:.4f} "
        f"(majority class: {result['majority_accuracy']:.4f})"
    )
    for name, values in result["modalities"].items():
        console.say(f"  {name}: {values['without']:.4f} without it, {values['alone']:.4f} with it alone")
    if output is not None:
        write_json(output, result)
        console.say(f"written: {output}")
    return 0
