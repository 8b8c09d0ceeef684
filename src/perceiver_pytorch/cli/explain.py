"""``perceiver explain``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.options import READING, with_options
from perceiver_pytorch.training.table.settings import FitConfig


@with_options(FitConfig, *(option for option in READING if option != "--workers"))
def explain(
    run: Annotated[Path, typer.Argument(help="Run folder of `perceiver fit`.")],
    table: Annotated[str, typer.Argument(help="Table, with or without the target, or a built-in set.")],
    rows: Annotated[
        str | None, typer.Option(help="Numbers of rows, from 0: 3,17 or 0-4. Default: five, spread over the table.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to. Default: explanations in the run folder.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Which answer to explain. Repeatable. Default: every one.")
    ] = None,
    way: Annotated[
        list[str] | None,
        typer.Option(
            help="integrated, gradient, occlusion or attention. Repeatable. Default: all but gradient.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Rows to choose from: train, val, test, all.")] = "all",
    steps: Annotated[int, typer.Option(min=1, help="Steps of integrated gradients.")] = 32,
    pieces: Annotated[int, typer.Option(min=1, help="Pieces of a modality that are hidden one by one, about.")] = 64,
    **reading: Any,
) -> int:
    """Show what a trained model looks at in some rows, and what each modality adds to its answers."""
    from perceiver_pytorch.cli.language import is_language_run

    if is_language_run(run):
        raise ValueError(f"run {run} has a language model; perceiver explain is for models of tables")
    from perceiver_pytorch.explain.rows import USUAL
    from perceiver_pytorch.tables.run import Run

    Run.open(run).explain(
        table,
        rows=None if rows is None else numbers_of(rows),
        output=run / "explanations" if output is None else output,
        targets=target,
        ways=way or USUAL,
        split=split,
        steps=steps,
        pieces=pieces,
        reporter=console.reporter(),
        **reading,
    )
    return 0


def numbers_of(text: str) -> list[int]:
    """Row numbers as they are written: ``3,17`` or ``0-4``.

    Raises:
        ValueError: if they are written otherwise.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise ValueError(f"rows must be numbers from 0 and ranges of them, such as 3,17 or 0-4, got {text!r}")
        found += range(int(first), int(last or first) + 1)
    return found
