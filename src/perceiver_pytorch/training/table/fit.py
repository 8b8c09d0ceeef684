"""From a configuration to a finished run folder."""

from perceiver_pytorch.training.run.job import Outcome, run_job
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.training.table.task import TableTask


def fit(
    config: FitConfig,
    run: TableRun,
    *,
    resume: bool = False,
    time_limit: float | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """`run_job` for the table that the configuration names."""
    return run_job(TableTask(config), run, resume=resume, time_limit=time_limit, reporter=reporter)
