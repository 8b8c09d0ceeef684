"""The commands, put together; errors of the user's making are worded, not traced."""

import functools
import importlib
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from perceiver_pytorch.cli import console

COMMANDS = {
    "fit": ("fit", "Train on a table: recognise the columns, train, measure, and write a report."),
    "evaluate": ("evaluate", "Measure a trained model on a table, with each combination of its modalities."),
    "predict": (
        "predict",
        "Predict with a trained model: per row its class, labels or number, and the probability of each class or "
        "label.",
    ),
    "plan": (
        "plan",
        "Say before training what `perceiver fit` will cost with the same options, and what is unwise about it.",
    ),
    "info": ("info", "What a run folder, a saved model or a table is, and what it holds."),
    "serve": ("serve", "Serve a trained model: HTTP with OpenAPI, and a page to try it on."),
    "explain": (
        "explain",
        "Show what a trained model looks at in some rows, and what each modality adds to its answers.",
    ),
    "export": (
        "export",
        "Write a trained model as a graph that predicts without PyTorch, with a card that says how good it is.",
    ),
    "config": ("config", "Print every setting with its help and its value, as YAML for `perceiver fit --config`."),
    "experiment": (
        "experiment",
        "Train every cell of an experiment, keep the results, and report what they say.",
    ),
    "tune": ("tune", "Search for the settings that are best on the validation rows of a table."),
    "language": (
        "language",
        "Train a language model on a text file, and report its bits per byte next to those of compressors.",
    ),
    "generate": ("language", "Continue a text with a trained causal model."),
    "fill": ("language", "Fill the gaps of a text with a trained masked model, the most certain bytes first."),
    "convert": ("convert", "Write a checkpoint of another library in this package's format."),
    "warm-up": (
        "warm_up",
        "Compile beforehand the loops that models of pictures, films and sounds run on this processor.",
    ),
}
"""{command: (its module, the first line of its help)}."""


PLUGIN_ERRORS = (ImportError, TypeError, ValueError)
"""What a command raises before it starts, if a package adds a kind of column that cannot be used."""


class Commands(TyperGroup):
    """Imports a command when it is run: what is said of all of them needs none."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What the list of commands shows of one."""
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is run."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else loaded(name), rest


def loaded(name: str) -> Any:
    """A command with its options."""
    from perceiver_pytorch.cli.options import GroupedCommand

    function = getattr(importlib.import_module(f"perceiver_pytorch.cli.{COMMANDS[name][0]}"), name.replace("-", "_"))
    single = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    single.command(name, cls=GroupedCommand)(worded(function))
    return typer.main.get_command(single)


app = typer.Typer(
    cls=Commands,
    name="perceiver",
    help="Train and use a Perceiver on any mix of image, video, audio, text, series and table columns.",
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
        except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
            if console.debugging():
                raise
            console.error(str(error))
            code = 2
        sys.exit(code)

    return run


def run(arguments: list[str]) -> None:
    """Runs the command that the arguments name, and exits with its code.

    A wrong option is told in plain lines: the libraries that draw a box around it take longer to load than all else.
    """
    console.typed[:] = spelled_out(arguments)
    try:
        code = app([*console.typed], standalone_mode=False)
    except Exception as error:
        code = getattr(error, "exit_code", 2)
        if hasattr(error, "show"):  # it is click's, which some versions of typer keep for themselves
            error.show()
        elif isinstance(error, PLUGIN_ERRORS) and not console.debugging():
            console.error(str(error))
        else:
            raise
    sys.exit(code)


def spelled_out(arguments: list[str]) -> list[str]:
    """The arguments, with ``--resume=`` for a ``--resume`` that is followed by no value."""
    following = [*arguments, "-"][1:]
    return [
        "--resume=" if word == "--resume" and after.startswith("-") else word
        for word, after in zip(arguments, following, strict=True)
    ]
