"""What the commands print: messages, warnings, errors and progress bars."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, TYPE_CHECKING, Any

from perceiver_pytorch.training.run.reporter import Reporter

if TYPE_CHECKING:  # rich takes longer to load than an answer about options may take
    from rich.console import Console


typed: list[str] = []
"""The words of the command, behind its name."""


@cache
def console(*, stderr: bool = False) -> "Console":
    """The terminal, or the file that stands in its place."""
    from rich.console import Console

    class Patient(Console):
        """Goes silent where nobody reads on, as in ``perceiver fit TABLE | head``; the run goes on."""

        def on_broken_pipe(self) -> None:
            self.quiet = True
            _to_nowhere(self.file)

    return Patient(highlight=False, soft_wrap=True, stderr=stderr)


def say(text: str) -> None:
    """Prints a line."""
    _print(text)


def warn(text: str) -> None:
    """Prints a warning to the error stream."""
    _print(text, "[yellow]warning:[/] ", stderr=True)


def error(text: str) -> None:
    """Prints an error to the error stream."""
    _print(text, "[bold red]error:[/] ", stderr=True)


def tell(facts: dict[str, Any], lines: Callable[[dict[str, Any]], Iterable[str]], *, as_json: bool) -> None:
    """Prints facts: as one JSON object, or as the lines that ``lines`` makes of them."""
    if as_json:
        write(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return
    for line in lines(facts):
        say(line)


def write(text: str) -> None:
    """Prints a text as it is."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on
        _to_nowhere(sys.stdout)


def _to_nowhere(file: IO[str]) -> None:
    """Lets what is still to be written to a file vanish, the interpreter's last flush included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)


def _print(text: str, before: str = "", *, stderr: bool = False) -> None:
    from rich.markup import escape

    console(stderr=stderr).print(before + escape(text))


def debugging() -> bool:
    """Whether PERCEIVER_DEBUG asks for tracebacks."""
    return bool(os.environ.get("PERCEIVER_DEBUG"))


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar, gone when done; gives a function of (done, in all)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def reporter() -> Reporter:
    """How a run tells what it does here: with bars on a terminal, with plain lines elsewhere."""
    live = console().is_terminal
    return Reporter(say, warn, progress if live else None, bar=live)
