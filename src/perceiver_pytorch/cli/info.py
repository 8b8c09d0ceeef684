"""``perceiver info``."""

from pathlib import Path
from typing import Annotated

import typer

from perceiver_pytorch._settings import overlaid
from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.options import READING, Given, with_settings
from perceiver_pytorch.training.table.settings import FitConfig, preset

OF_A_TABLE = ("--target", "--target-kind", "--label-separator", "--column", "--split", "--val-fraction", "--delimiter")


@with_settings(FitConfig, order="what as_json target", only=(*OF_A_TABLE, *READING))
def info(
    given: Given,
    what: Annotated[
        str,
        typer.Argument(
            help="Run folder; folder of an exported or a saved model, or one in transformers' format; weights; a "
            "table, or a built-in set."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """What a run folder, a saved model or a table is, and what it holds."""
    from perceiver_pytorch.runtime.bundle import is_bundle
    from perceiver_pytorch.runtime.describe_bundle import describe_bundle, describe_graph
    from perceiver_pytorch.runtime.graph import is_graph
    from perceiver_pytorch.tables.describe import describe
    from perceiver_pytorch.tables.description import lines

    if is_bundle(Path(what)):
        facts = describe_bundle(Path(what))
    elif is_graph(Path(what)):
        facts = describe_graph(Path(what))
    else:
        facts = describe(what, overlaid(preset("auto", what), given))
    console.tell(facts, lines, as_json=as_json)
    return 0
