"""``perceiver export``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from perceiver_pytorch.cli import console


def export(
    model: Annotated[
        Path,
        typer.Argument(
            help="Run folder of `perceiver fit` or `perceiver language`, or a saved model: a folder of "
            "save_pretrained, or one in transformers' format."
        ),
    ],
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
    size: Annotated[
        list[str] | None,
        typer.Option(
            help="MODALITY=LENGTH or MODALITY=HEIGHTxWIDTH: of a saved model, fixed lengths of its axes. Repeatable. "
            "Default: any."
        ),
    ] = None,
) -> int:
    """Write a trained model as a graph that predicts without PyTorch, with a card that says how good it is."""
    from perceiver_pytorch.export import export as exported

    exported(
        model,
        output,
        format=format,
        precision=precision,
        table=table,
        measure=measure,
        tile=tile,
        sizes=sizes_of(size or ()),
        reporter=console.reporter(),
    )
    return 0


def sizes_of(pairs: Sequence[str]) -> dict[str, list[int]]:
    """{modality: lengths of its axes} of ``image=224x224``.

    Raises:
        ValueError: for what is written otherwise.
    """
    found = {}
    for pair in pairs:
        name, equals, lengths = pair.rpartition("=")
        if not equals or not name or not all(each.isdecimal() for each in lengths.split("x")):
            raise ValueError(
                f"--size must be MODALITY=LENGTH or MODALITY=HEIGHTxWIDTH, such as image=224x224, got {pair!r}"
            )
        found[name] = [int(each) for each in lengths.split("x")]
    return found
