"""``perceiver config``."""

from typing import Annotated

import typer

from perceiver_pytorch._settings import dump_config
from perceiver_pytorch.cli import console
from perceiver_pytorch.training.language.settings import language_preset
from perceiver_pytorch.training.table.settings import preset


def config(
    preset_name: Annotated[
        str | None, typer.Option("--preset", help="Size of the model; default: auto, of a language model tiny.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="Print the settings of `perceiver language` instead: causal or masked.")
    ] = None,
) -> int:
    """Print every setting with its help and its value, as YAML for `perceiver fit --config`."""
    settings = preset(preset_name or "auto") if objective is None else language_preset(preset_name or "tiny", objective)
    console.write(dump_config(settings))
    return 0
