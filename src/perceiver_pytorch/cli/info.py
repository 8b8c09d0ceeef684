"""``perceiver info``."""

import json
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
            help="Run folder; folder of a saved model, or one in transformers' format; weights; a table, or a built-in "
            "set."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """What a run folder, a saved model or a table is, and what it holds."""
    from perceiver_pytorch.tables.describe import describe
    from perceiver_pytorch.tables.description import lines

    facts = describe(what, overlaid(preset("auto", what), given))
    if as_json:
        console.write(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return 0
    for line in lines(facts):
        console.say(line)
    return 0
