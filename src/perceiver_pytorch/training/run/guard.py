"""What every training command does around its work, so that nothing is lost and nothing useless stays."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from perceiver_pytorch._files import DiskFullError, is_disk_full
from perceiver_pytorch._settings import Settings
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.run.interrupts import handling, interrupt


@dataclass
class Guard:
    """Whether the data and the configuration of a run have proved good, so that the run is worth going on with."""

    begun: bool = False


@contextmanager
def guarded(run: RunFolder, config: Settings, *, resume: bool, command: str) -> Iterator[Guard]:
    """Holds the run folder's lock within the block, and has written the configuration before it: a run that is killed
    at any moment can be resumed. Where the block fails before it sets ``begun``, nothing stays.

    Args:
        run: the run folder.
        config: its configuration.
        resume: the run is there already.
        command: what goes on with it, as ``perceiver fit``, for messages.

    Raises:
        ValueError: if another process writes into the folder.
        DiskFullError: for a full disk; what was saved before is intact.
        KeyboardInterrupt: for Ctrl-C, and for SIGTERM as well.
    """
    with run.writing(), handling(interrupt):
        guard = Guard(begun=resume)
        try:
            if not resume:
                run.write_config(config)
            yield guard
        except Exception as error:
            if not guard.begun:
                run.forget()
            elif is_disk_full(error):
                raise DiskFullError(f"{error}. Make room, then go on with: {command} --resume {run.path}") from error
            raise
