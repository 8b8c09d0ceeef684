"""What to type next: the user's own command with something changed."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perceiver_pytorch._settings import overlaid
from perceiver_pytorch.training.run.durations import written
from perceiver_pytorch.training.table.command import Changes, changed_words, fit_call, fit_command
from perceiver_pytorch.training.table.settings import FitConfig

_MOST_COLUMNS = 8  # that a command leaves out: a longer one is typed by nobody


@dataclass(frozen=True)
class Advice:
    """Makes commands of what a run was asked for.

    Attributes:
        asked: the configuration that was asked for.
        in_memory: its table has no name that a command could give: calls in Python are made instead.
        limit: seconds of its time limit, which stays as it is unless it is changed.
        resume: what continues the run.
        file: the configuration as a file: commands then name it, and what they change.
    """

    asked: FitConfig
    in_memory: bool = False
    limit: float | None = None
    resume: str | None = None
    file: Path | None = None

    def fit(self, changes: Changes | None = None, *, limit: float | None = None) -> str:
        """The command that trains anew, with changes, within so many seconds."""
        limit, changes = self.limit if limit is None else limit, changes or {}
        if self.in_memory:
            more = {} if limit is None else {"time_limit": written(limit)}
            file = {} if self.file is None else {"config": str(self.file)}
            return fit_call(overlaid(self.asked, changes), self.asked if self.file else None, **file, **more)
        words = [] if limit is None else ["--time-limit", written(limit)]
        if self.file is None:
            return fit_command(self.asked, *words, changes=changes)
        changed = changed_words(self.asked, changes)
        return shlex.join(["perceiver", "fit", "--config", str(self.file), *changed, *words])

    def without(self, columns: Sequence[str]) -> str | None:
        """The command that leaves columns out; None for very many."""
        if len(columns) > _MOST_COLUMNS:
            return None
        return self.fit({("data", "columns", name): "ignore" for name in columns})
