"""One of many runs on a table: nothing is judged or drawn, and decoded rows are kept for the next one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.job import Trained
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.start.published import RunModel
from perceiver_pytorch.training.table.build import build_model
from perceiver_pytorch.training.table.prepare import TableData, configured
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig, ModelConfig
from perceiver_pytorch.training.table.task import TableTask


class QuietTask(TableTask):
    """A table's task that tells nobody: rows are not compared, nothing is calibrated or judged, and no report is drawn.

    Args:
        config, deadline, build: as of `TableTask`.
        kept: what tasks of this process have read before.
        measures_combinations: what modalities are worth is measured.
    """

    compares_rows = judges = False

    def __init__(
        self,
        config: FitConfig,
        kept: "KeptRows",
        *,
        deadline: Deadline | None = None,
        build: Callable[[InputSpec, ModelConfig], RunModel] = build_model,
        measures_combinations: bool = False,
    ) -> None:
        super().__init__(config, deadline=deadline, build=build)
        self.kept, self.measures_combinations = kept, measures_combinations

    def read(self, run: TableRun, *, resume: bool, reporter: Reporter) -> TableData:
        """The rows of the task before, if its table, the settings of reading it, and its seed were these."""
        data = self.kept.data_for(self.config)
        if data is None:
            self.kept.clear()
            data = super().read(run, resume=resume, reporter=reporter)
            self.kept.keep(self.config, data)
            return data
        given = replace(self.config, data=data.config.data)
        config, _ = configured(given, data.spec, len(data.datasets["train"]))
        return replace(data, config=config)

    def write(self, run: TableRun, trained: Trained, metrics: dict[str, Any]) -> None:
        """Nothing: whoever runs many has a report of all."""


class KeptRows:
    """The decoded rows of the last task, for the next ones of this process."""

    def __init__(self) -> None:
        self.key: tuple[Any, ...] | None = None
        self.data: TableData | None = None

    def data_for(self, config: FitConfig) -> TableData | None:
        """What a task with this configuration would read; None if another one was read last."""
        return self.data if self.key == self._key(config) else None

    def clear(self) -> None:
        """Frees the memory."""
        self.key = self.data = None

    def keep(self, config: FitConfig, data: TableData) -> None:
        """In place of what was there."""
        self.key, self.data = self._key(config), data

    def _key(self, config: FitConfig) -> tuple[Any, ...]:
        """All that rows depend on; a table that changes while tasks are run on it is not noticed."""
        return config.data, config.start, config.training.seed
