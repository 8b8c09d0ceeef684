"""``perceiver convert``."""

from pathlib import Path
from typing import Annotated

import typer

from perceiver_pytorch._saved_files import read_yaml
from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.options import yaml_pairs


def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder or hub repository in transformers' format, or a .pt file of release 1.4.0 or "
            "perceiver-pytorch 0.11.0."
        ),
    ],
    target: Annotated[Path, typer.Argument(help="New folder for model.safetensors and config.json.")],
    arguments: Annotated[
        list[str] | None,
        typer.Option(
            "--argument", "-a", help="NAME=VALUE: what the source does not say, such as max_freq=10 or task=masked-lm."
        ),
    ] = None,
    arguments_file: Annotated[
        Path | None, typer.Option("--arguments", help="YAML or JSON file of such arguments, modalities among them.")
    ] = None,
) -> int:
    """Write a checkpoint of another library in this package's format."""
    from perceiver_pytorch.interop import convert as write

    given = {} if arguments_file is None else read_yaml(arguments_file)
    model = write(source, target, **given | yaml_pairs("--argument", "NAME", arguments))
    number = sum(parameter.numel() for parameter in model.parameters())
    console.say(f"{type(model).__name__} with {number:,} parameters written to {target}")
    return 0
