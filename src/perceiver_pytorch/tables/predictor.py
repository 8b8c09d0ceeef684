"""What predicts the targets of a table's rows, and how it reads them, whichever engine computes."""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from perceiver_pytorch._files import write_json
from perceiver_pytorch.data import InputSpec, TableDataset
from perceiver_pytorch.data.calibration import Calibration
from perceiver_pytorch.data.targets.conformal import check_coverage
from perceiver_pytorch.tables.rows import ChosenRows, Reading, warn_about_rows
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.prediction_table import check_output, predictions_table, write_table
from perceiver_pytorch.training.table.settings import DataConfig

Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all)."""


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=2)


QUIET = Reporter(say=lambda text: None, warn=_warn)
"""Says nothing; warnings are Python's."""


class Predictor(ABC):
    """A model of tables that predicts: a `Run`, or a `perceiver_pytorch.runtime.Bundle`, which needs no PyTorch.

    `perceiver_pytorch.runtime.open_predictor` opens either. Nothing here imports PyTorch.
    """

    @property
    @abstractmethod
    def spec(self) -> InputSpec:
        """What it reads and predicts: ``spec.modalities``, ``spec.columns``, ``spec.kinds``, ``spec.targets``."""

    @property
    @abstractmethod
    def data(self) -> DataConfig:
        """How tables are read where a call says nothing else."""

    @abstractmethod
    def load(self) -> None:
        """Loads the model, so that a first call of `predict` need not, and its errors come before a table is read."""

    @property
    def calibration(self) -> Calibration | None:
        """How sure its answers may be, of the loaded model; None, as by default: nothing is known of it."""
        return None

    @abstractmethod
    def columns(
        self, dataset: TableDataset, progress: Progress | None = None, coverage: float | None = None
    ) -> dict[str, Any]:
        """`prediction_columns` of all rows of a data set that can be read.

        Args:
            dataset: the rows.
            progress: called now and then.
            coverage: of sets beside the predictions (`Calibration.regions`); None: there are none.

        Raises:
            DataError: for a bad row of a data set that skips none.
        """

    def predict(
        self,
        table: Any,
        *,
        split: str = "all",
        coverage: float | None = None,
        output: str | os.PathLike[str] | None = None,
        summary: str | os.PathLike[str] | None = None,
        on_error: str | None = None,
        allow_outside: bool = False,
        encoding: str | None = None,
        skip_lines: int | None = None,
        header: bool | None = None,
        quoting: str | None = None,
        table_mb: int | None = None,
        cell_mb: int | None = None,
        allow_web: Sequence[str] | None = None,
        where: str | None = None,
        workers: int | None = None,
        root: str | Path | None = None,
        reporter: Reporter = QUIET,
    ) -> Any:
        """Predicts the targets of a table, which need not have them; cells may be empty.

        Args:
            table: of any form that `fit` takes.
            split: rows to predict: train, val, test or all.
            coverage: share of the rows whose truth a set of classes or labels, or an interval of numbers, is to hold,
                as 0.9: they stand beside the predictions (docs/trust.md). None: there are none.
            output: CSV or Parquet file to write the predictions to as well.
            summary: JSON file to write what was lost or doubtful to.
            on_error: for a bad row: raise, or skip: then a column ``error`` says what is wrong with it.
            allow_outside, encoding, skip_lines, header, quoting, table_mb, cell_mb, allow_web, where,
                workers, root, reporter: as in `Run.evaluate`.

        Returns:
            A row per predicted row, in the form of ``table``; an Arrow table where that was a path. ``row`` is the
            number of the row; ``prediction`` the class, the labels or the number; ``p_NAME`` the probability of each
            class or label; ``unusual`` why a row is unlike the train rows, None of others. With ``coverage`` there are
            ``set`` and ``set_size``, or ``low`` and ``high``, too. With several targets ``TARGET_`` stands before these
            names.

        Raises:
            DataError: for a table that cannot be read, or a bad row; the message names row and column.
            ValueError: for a coverage that is not above 0 and below 1, or of a model that nothing is known about.
        """
        if output is not None:
            check_output(Path(output))
        self.load()
        for text in () if coverage is None else self._coverage_warnings(coverage):
            reporter.warn(text)
        reading = Reading(
            on_error, allow_outside, encoding, skip_lines, header, quoting, table_mb, cell_mb, allow_web, where
        )
        warnings: list[str] = []
        keeping = reporter.keeping(warnings)
        chosen, dataset = self._rows(table, split, "all", reading, root, workers, keeping, require_target=False)
        asked = {} if coverage is None else {"coverage": coverage}
        with reporter.step("predicting") as progress:
            columns = self.columns(dataset, progress, **asked)
        warn_about_rows(dataset, reporter)
        rows = predictions_table(columns, dataset.bad if dataset.on_error == "skip" else None)
        if output is not None:
            write_table(Path(output), rows)
            reporter.say(f"{len(columns['row']):,} predictions written to {output}")
        if summary is not None:
            source = {"table": chosen.table.source, "split": chosen.split, "rows": len(columns["row"])}
            write_json(Path(summary), source | lost_of_rows(dataset, chosen.split, warnings))
        return rows if chosen.form is None else chosen.form.write(rows, table, rows["row"].to_numpy())

    def _coverage_warnings(self, coverage: float) -> list[str]:
        """Why sets of this coverage say nothing, a sentence for each target of which there were too few rows."""
        check_coverage(coverage)
        if self.calibration is None:
            raise ValueError(
                "this model has no calibration.json, which says how far its answers miss the truth: there were no "
                "validation rows, or an earlier version trained it; train it again to ask for a coverage"
            )
        return self.calibration.coverage_warnings(coverage)

    def _adapted(self, reading: Reading) -> DataConfig:
        """How a table is read; of the last call again, which most calls have in common."""
        found = next((data for known, data in self._last_reading if known == reading), None)
        if found is None:
            found = reading.adapt(self.data)
            self._last_reading[:] = [(reading, found)]
        return found

    @cached_property
    def _last_reading(self) -> list[tuple[Reading, DataConfig]]:
        return []

    def _rows(
        self,
        table: Any,
        split: str | None,
        usual: str,
        reading: Reading,
        root: str | Path | None,
        workers: int | None,
        reporter: Reporter,
        *,
        require_target: bool,
    ) -> tuple[ChosenRows, TableDataset]:
        """The rows of a table that are asked for, and the data set of them."""
        data = self._adapted(reading)
        chosen = ChosenRows.load(table, data, split, usual, root, reporter, self.spec)
        return chosen, chosen.dataset(self.spec, data, workers, reporter, require_target=require_target)


def lost_of_rows(dataset: TableDataset, split: str, warnings: list[str]) -> dict[str, Any]:
    """What was lost or is doubtful of some rows, as JSON values: counted, and in words."""
    losses = dataset.losses
    return {"bad_rows": len(dataset.bad), "losses": losses.as_json(split), "warnings": [*warnings, *losses.lines()]}
