"""The commands, put together; errors of the user's making are worded, not traced."""

import functools
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated

import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.config import config
from perceiver_pytorch.cli.convert import convert
from perceiver_pytorch.cli.evaluate import evaluate
from perceiver_pytorch.cli.fit import fit
from perceiver_pytorch.cli.language import fill, generate, language
from perceiver_pytorch.cli.options import GroupedCommand
from perceiver_pytorch.cli.predict import predict

app = typer.Typer(
    name="perceiver",
    help="Train and use a Perceiver on any mix of image, audio, text, number and category columns.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(metadata.version("perceiver-multi-modality-pytorch"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What stands before the command."""


def worded(command: Callable[..., int]) -> Callable[..., None]:
    """``command``, which exits with the code that it returns, and with 2 and a message for an error of the user's."""

    @functools.wraps(command)
    def run(*args: object, **kwargs: object) -> None:
        try:
            code = command(*args, **kwargs)
        except KeyboardInterrupt:
            console.error("interrupted")
            code = 130
        except (ValueError, TypeError, OSError, ImportError) as error:
            if console.debugging():
                raise
            console.error(str(error))
            code = 2
        sys.exit(code)

    return run


def spelled_out(arguments: list[str]) -> list[str]:
    """The arguments, with ``--resume=`` for a ``--resume`` that is followed by no value."""
    following = [*arguments, "-"][1:]
    return [
        "--resume=" if word == "--resume" and after.startswith("-") else word
        for word, after in zip(arguments, following, strict=True)
    ]


for command in (fit, evaluate, predict, config, language, generate, fill, convert):
    app.command(cls=GroupedCommand)(worded(command))
