"""What the commands that train do alike."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from perceiver_pytorch._processes import end_with_parent
from perceiver_pytorch._settings import Settings, load_config, overlaid
from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.options import Given, set_values
from perceiver_pytorch.training.run.durations import Deadline, now, seconds
from perceiver_pytorch.training.run.folder import RunFolder, remove_if_empty
from perceiver_pytorch.training.run.launching import GONE, STARTED_BY, environments, run_ranks
from perceiver_pytorch.training.run.ranks import (
    Place,
    RankGoneError,
    ToldByFirstError,
    asked_ranks,
    devices_here,
    is_first,
    joined,
)
from perceiver_pytorch.training.run.settings import TrainingSettings

S = TypeVar("S", bound=Settings)

_LOADED = time.time()
_BEGAN = "PERCEIVER_BEGAN"
"""When the command began that started this rank."""
_PROGRAM = [sys.executable, "-c", "from perceiver_pytorch.cli import main; main()"]


def asked_settings(base: S, config: Path | None, pairs: list[str] | None, given: Given) -> S:
    """``base``, then the --config file, then --set, then the other options."""
    if config is not None:
        base = load_config(config, base)
    return overlaid(base, set_values(pairs) | given)


def stopped_folder(resume: str, run: Path | None) -> Path:
    """The folder that --resume names, or --run where it names none."""
    if not resume and run is None:
        raise ValueError("--resume needs the folder of the run to continue")
    return Path(resume) if resume else run  # type: ignore[return-value]


def deadline_of(time_limit: str | None) -> Deadline | None:
    """The end of a time limit that began with the command, also in a rank that the command started."""
    if time_limit is None:
        return None
    limit, began = seconds(time_limit), float(os.environ.get(_BEGAN, time.time()))
    return Deadline(limit, now() - max(0.0, time.time() - began))


def in_ranks(
    training: TrainingSettings, folder: type[RunFolder], run: Path | None, free: Callable[[], Path], work: Any
) -> int:
    """The exit code of ``work``, called in this process; or of the processes that are started to call it, where the
    settings ask for several and nobody has started them.

    Args:
        training: says how many.
        folder: what kind of run it is.
        run: its folder; None: the one that ``free`` gives.
    """
    if Place.here() is None and (count := asked_ranks(training)) > 1:
        place = run or free()
        named = [] if run else ["--run", str(place)]
        console.say(f"{count} ranks{f' on {training.nodes} machines' if training.nodes > 1 else ''}")
        return _launched([*console.typed, *named], training, folder(place))
    if parent := os.environ.get(STARTED_BY):
        end_with_parent(int(parent))
    try:
        with joined(training):
            return int(work())
    except ToldByFirstError:  # whoever started the ranks waits for the first one, which may have a result to write
        return 0 if parent else 2
    except RankGoneError:
        if not parent:
            raise
        return GONE


def _launched(words: list[str], training: TrainingSettings, run: RunFolder) -> int:
    environ = {**os.environ, _BEGAN: str(_LOADED)}
    code, failure = run_ranks([*_PROGRAM, *words], environments(devices_here(training), training.nodes, environ))
    if failure is not None:
        remedy = "Go on with" if run.last.is_file() else "No step was saved; begin again with"
        remedy = f"{remedy}: {run.resume_command}" if run.config_file.is_file() else "Nothing was saved"
        told = f". It said: {failure.told.removeprefix('error: ')}" if failure.told else ""
        console.error(f"{failure}, so all have ended{told}. {remedy}")
    return code


def train(task: Any, folder: Any, *, resume: bool, deadline: Any) -> Any:
    """The outcome of a task in a run folder; None, after a line on how to go on, if it was interrupted.

    A folder in which nothing was saved is removed.
    """
    from perceiver_pytorch.training.run.job import INTERRUPTED, run_job

    outcome = None
    try:
        outcome = run_job(task, folder, resume=resume, deadline=deadline, reporter=console.reporter())
    except KeyboardInterrupt:
        if not folder.config_file.is_file():
            raise
    finally:
        if is_first():
            remove_if_empty(folder.path)
    stopped = INTERRUPTED if outcome is None else outcome.stopped
    if stopped and is_first():
        how = "stopped, all is saved" if stopped == INTERRUPTED else f"stopped: {stopped}"
        console.say(f"{how}; go on with: {folder.resume_command}")
    return None if stopped == INTERRUPTED else outcome
