"""What the commands that train do alike."""

from pathlib import Path
from typing import Any, TypeVar

from perceiver_pytorch._settings import Settings, load_config, overlaid
from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.options import Given, set_values
from perceiver_pytorch.training.run.folder import remove_if_empty

S = TypeVar("S", bound=Settings)


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
        remove_if_empty(folder.path)
    if outcome is None or outcome.stopped == INTERRUPTED:
        console.say(f"stopped, all is saved; go on with: {folder.resume_command}")
        return None
    if outcome.stopped:
        console.say(f"stopped: {outcome.stopped}; go on with: {folder.resume_command}")
    return outcome
