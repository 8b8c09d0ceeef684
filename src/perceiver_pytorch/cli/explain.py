"""``perceiver explain``."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.options import READING, with_options
from perceiver_pytorch.training.table.settings import FitConfig


@with_options(FitConfig, *(option for option in READING if option != "--workers"))
def explain(
    run: Annotated[
        Path,
        typer.Argument(
            help="Run folder of `perceiver fit`, `perceiver language` or `perceiver export`; a published model."
        ),
    ],
    table: Annotated[
        str,
        typer.Argument(
            help="Table, with or without the target, or a built-in set; of a model of texts or pictures, a text or "
            "a picture."
        ),
    ],
    rows: Annotated[
        str | None,
        typer.Option(
            help="Numbers of rows, from 0: 3,17 or 0-4. Default: five, spread over the table. Of a language model, of "
            "bytes; default: the next one, or those that are [MASK]."
        ),
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
            help="integrated, gradient, occlusion or attention. Repeatable. Default: all but gradient; occlusion of an "
            "export.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Rows to choose from: train, val, test, all.")] = "all",
    steps: Annotated[int, typer.Option(min=1, help="Steps of integrated gradients.")] = 32,
    pieces: Annotated[int, typer.Option(min=1, help="Pieces of a modality that are hidden one by one, about.")] = 64,
    layers: Annotated[
        str | None, typer.Option(help="Cross-attends whose attention is told apart, from 0: 0,2 or 0-3 or all.")
    ] = None,
    heads: Annotated[
        str | None, typer.Option(help="Heads that are told apart, from 0, or all. Default: their mean.")
    ] = None,
    latents: Annotated[
        str | None, typer.Option(help="Latents that are told apart, from 0, or all. Default: their mean.")
    ] = None,
    **reading: Any,
) -> int:
    """Show what a trained model looks at in some rows, and what each modality adds to its answers."""
    from perceiver_pytorch.runtime.bundle import FORWARD_WAYS, Bundle, is_bundle

    numbers = None if rows is None else numbers_of("rows", rows)
    asked = {"layers": layers, "heads": heads, "latents": latents}
    told_apart: dict[str, Any] = {name: some_of(f"--{name}", text) for name, text in asked.items()}
    output = run / "explanations" if output is None else output
    common: dict[str, Any] = {"rows": numbers, "output": output, "targets": target, "split": split, "pieces": pieces}
    if is_bundle(run):
        if any(each is not None for each in told_apart.values()):
            raise ValueError("an export shows no attention: layers, heads and latents are told apart of the run alone")
        Bundle.open(run).explain(table, ways=way or FORWARD_WAYS, **common, reporter=console.reporter(), **reading)
        return 0
    if (explain_model := _of_texts_and_pictures(run)) is not None:
        from perceiver_pytorch.explain.apart import Apart

        _check_of_tables(target=target, way=None if way == ["attention"] else way)
        return explain_model(run, table, numbers, Apart(**told_apart), output)
    from perceiver_pytorch.explain.rows import USUAL
    from perceiver_pytorch.tables.run import Run

    Run.open(run).explain(
        table, ways=way or USUAL, steps=steps, **common, **told_apart, reporter=console.reporter(), **reading
    )
    return 0


def _of_texts_and_pictures(run: Path) -> Callable[..., int] | None:
    """What explains a model that reads no table; None of a run of `perceiver fit`."""
    from perceiver_pytorch.cli import explaining_models
    from perceiver_pytorch.cli.language import is_language_run

    if is_language_run(run):
        return explaining_models.explain_language
    return explaining_models.explain_saved if explaining_models.is_saved_model(run) else None


def _check_of_tables(**given: Any) -> None:
    """Raises for options that only models of tables have."""
    if named := [f"--{name}" for name, value in given.items() if value]:
        raise ValueError(
            f"{' and '.join(named)} is for models of tables; where other models look is shown by attention alone"
        )


def some_of(name: str, text: str | None) -> list[int] | str | None:
    """Numbers, or all."""
    return text if text in (None, "all") else numbers_of(name, text)


def numbers_of(name: str, text: str) -> list[int]:
    """Numbers as they are written: ``3,17`` or ``0-4``.

    Raises:
        ValueError: if they are written otherwise.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise ValueError(f"{name} must be numbers from 0 and ranges of them, such as 3,17 or 0-4, got {text!r}")
        found += range(int(first), int(last or first) + 1)
    return found
