"""``perceiver export``."""

from pathlib import Path
from typing import Annotated

import typer

from perceiver_pytorch.cli import console


def export(
    run: Annotated[Path, typer.Argument(help="Run folder of `perceiver fit`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; an earlier export is replaced.")],
    format: Annotated[
        str, typer.Option(metavar="[onnx|pt2]", help="Of the graph: ONNX, or PyTorch's own (torch.export).")
    ] = "onnx",
    precision: Annotated[
        str, typer.Option(metavar="[float32|float16|int8]", help="Of the weights; fewer bits for ONNX alone.")
    ] = "float32",
    table: Annotated[
        str | None, typer.Option(help="The run's table, if it is not where it was; accuracy is measured on its rows.")
    ] = None,
    measure: Annotated[bool, typer.Option(help="Compare the accuracy of the graph with the run's.")] = True,
    tile: Annotated[int, typer.Option(min=1, help="Tokens that the graph attends to at a time.")] = 1024,
) -> int:
    """Write a trained model as a graph that predicts without PyTorch, with a card that says how good it is."""
    from perceiver_pytorch.export import export as exported

    exported(
        run,
        output,
        format=format,
        precision=precision,
        table=table,
        measure=measure,
        tile=tile,
        reporter=console.reporter(),
    )
    return 0
