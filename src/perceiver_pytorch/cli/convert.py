"""``perceiver convert``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.options import pair


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
    import yaml

    from perceiver_pytorch.interop import convert as write

    given: dict[str, Any] = {}
    if arguments_file is not None:
        try:
            given = yaml.safe_load(arguments_file.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise ValueError(f"{arguments_file} is no YAML: {error}") from error
        if not isinstance(given, dict):
            raise ValueError(f"{arguments_file} must hold arguments by name, got {type(given).__name__}")
    for text in arguments or ():
        name, value = pair(text, "--argument must be NAME=VALUE")
        given[name] = yaml.safe_load(value)
    model = write(source, target, **given)
    number = sum(parameter.numel() for parameter in model.parameters())
    console.say(f"{type(model).__name__} with {number:,} parameters written to {target}")
    return 0
