"""How a long job reports what it does, wherever that is shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Reporter:
    """How a run reports what it does.

    Args:
        say: prints a line.
        warn: prints a warning.
        progress: context manager ``progress(title)`` that gives a function of (done, in all).
        bar: whether a live progress bar can be drawn.
    """

    say: Callable[[str], None] = print
    warn: Callable[[str], None] = print
    progress: Callable[[str], Any] | None = None
    bar: bool = False

    def keeping(self, warnings: list[str]) -> "Reporter":
        """One that also adds its warnings to a list."""

        def warn(text: str) -> None:
            warnings.append(text)
            self.warn(text)

        return replace(self, warn=warn)

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[int, int], None] | None]:
        """A step that shows progress where it can."""
        if self.progress is None:
            yield None
        else:
            with self.progress(title) as advance:
                yield advance


SILENT = Reporter(say=lambda text: None, warn=lambda text: None)
"""Reports nothing."""
