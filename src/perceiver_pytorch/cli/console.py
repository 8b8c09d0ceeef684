"""What the commands print: messages, warnings, errors and progress bars."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from perceiver_pytorch.training.run.reporter import Reporter

out = Console(highlight=False, soft_wrap=True)
err = Console(highlight=False, soft_wrap=True, stderr=True)


def say(text: str) -> None:
    """Prints a line."""
    out.print(escape(text))


def warn(text: str) -> None:
    """Prints a warning to the error stream."""
    err.print(f"[yellow]warning:[/] {escape(text)}")


def error(text: str) -> None:
    """Prints an error to the error stream."""
    err.print(f"[bold red]error:[/] {escape(text)}")


def debugging() -> bool:
    """Whether PERCEIVER_DEBUG asks for tracebacks."""
    return bool(os.environ.get("PERCEIVER_DEBUG"))


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar, gone when done; gives a function of (done, in all)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def reporter() -> Reporter:
    """How a run tells what it does here: with bars on a terminal, with plain lines elsewhere."""
    live = out.is_terminal
    return Reporter(say, warn, progress if live else None, bar=live)
