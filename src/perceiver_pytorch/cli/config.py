"""``perceiver config``."""

from typing import Annotated

import typer

from perceiver_pytorch.training.config import PRESETS, dump_config, preset


def config(
    preset_name: Annotated[str, typer.Option("--preset", help=f"Size: {', '.join(PRESETS)}.")] = "tiny",
) -> int:
    """Print every setting with its help and its value, as YAML for `perceiver fit --config`."""
    typer.echo(dump_config(preset(preset_name)), nl=False)
    return 0
