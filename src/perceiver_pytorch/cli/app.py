"""The commands, put together; errors of the user's making are worded, not traced."""

import sys

import click
import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.config import config
from perceiver_pytorch.cli.evaluate import evaluate
from perceiver_pytorch.cli.fit import fit
from perceiver_pytorch.cli.predict import predict

app = typer.Typer(
    name="perceiver",
    help="Train and use a Perceiver on any mix of image, audio, text, number and category columns.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for command in (fit, evaluate, predict, config):
    app.command()(command)


def run() -> None:
    """Runs the command of the process's arguments and exits."""
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Abort:
        console.error("interrupted")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        console.error("interrupted")
        sys.exit(130)
    except (ValueError, TypeError, OSError) as error:
        if console.debugging():
            raise
        console.error(str(error))
        sys.exit(2)
    sys.exit(code or 0)
