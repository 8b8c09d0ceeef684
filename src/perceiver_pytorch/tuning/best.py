"""The run folder of the best trial: completed, measured on the test rows, and described like any other run."""

import shutil
import time
from pathlib import Path
from typing import Any

from perceiver_pytorch._files import write_text
from perceiver_pytorch._settings import dump_config
from perceiver_pytorch.training.run.job import INTERRUPTED, run_job
from perceiver_pytorch.training.run.lock import is_locked, locked
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.task import TableTask
from perceiver_pytorch.tuning.space import configured
from perceiver_pytorch.tuning.study import Plan, StudyFolder

_NUMBER = "trial.txt"


def finish_best(folder: StudyFolder, plan: Plan, best: Any, reporter: Reporter) -> TableRun | None:
    """Makes ``best/`` the run of a trial; None where another machine has that trial's folder.

    Args:
        best: the trial.

    Raises:
        KeyboardInterrupt: for Ctrl-C; the same search goes on from here.
    """
    write_text(folder.path / "best.yaml", dump_config(configured(plan.config, best.params)))
    while is_locked(folder.lock_file):  # another process finishes a trial that was the best before
        time.sleep(1)
    with locked(folder.lock_file):
        if _number(folder.best) == best.number:
            return TableRun.open(folder.best)
        trained, staging = folder.trial(best.number), folder.path / ".best.partial"
        if not trained.is_dir():
            return None
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(trained, staging)
        run = TableRun.open(staging)
        outcome = run_job(TableTask(run.config()), run, resume=True, reporter=reporter)
        if outcome.stopped == INTERRUPTED:
            raise KeyboardInterrupt
        write_text(staging / _NUMBER, f"{best.number}\n")
        shutil.rmtree(folder.best, ignore_errors=True)
        staging.rename(folder.best)
        return TableRun.open(folder.best)


def _number(path: Path) -> int | None:
    """The trial that a folder is of."""
    file = path / _NUMBER
    return int(file.read_text(encoding="ascii")) if file.is_file() else None
