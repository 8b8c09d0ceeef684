"""A trained run, as Python and the commands use it."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceiver_pytorch._files import copy_whole, write_text
from perceiver_pytorch._saved_files import fitting
from perceiver_pytorch.data import InputSpec, TableDataset
from perceiver_pytorch.data.calibration import Calibration, calibration_of
from perceiver_pytorch.data.prediction_columns import with_reasons
from perceiver_pytorch.data.targets.scores import metric_lines
from perceiver_pytorch.data.unusual import Unusual, unusual_of
from perceiver_pytorch.models.card import Section
from perceiver_pytorch.tables.card import CardFacts, loading, run_card
from perceiver_pytorch.tables.evaluating import evaluate
from perceiver_pytorch.tables.predictor import QUIET, Predictor, Progress
from perceiver_pytorch.tables.rows import Reading
from perceiver_pytorch.training.run.accelerator import on_accelerator
from perceiver_pytorch.training.run.evidence import hardly_trained
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table import evaluation
from perceiver_pytorch.training.table.advice import Advice
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import DataConfig, FitConfig
from perceiver_pytorch.training.table.verdict import judge_evaluation, verdict_lines
from perceiver_pytorch.training.table.verdict_facts import Facts

if TYPE_CHECKING:
    from perceiver_pytorch.explain.rows import Explanation
    from perceiver_pytorch.training.start.published import RunModel


@dataclass(frozen=True)
class Run(Predictor):
    """A trained model, with what was learned about its table.

    Attributes:
        folder: the run's files.
    """

    folder: TableRun

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Run":
        """The run in a folder that `fit` or ``perceiver fit`` wrote.

        Raises:
            ValueError: if there is none.
        """
        return cls(TableRun.open(Path(path)))

    def __repr__(self) -> str:
        return f"Run.open({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @cached_property
    def config(self) -> FitConfig:
        """The settings that the run was trained with."""
        return self.folder.config()

    @property
    def data(self) -> DataConfig:
        return self.config.data

    @cached_property
    def spec(self) -> InputSpec:
        """What was learned about the table: its inputs and its targets."""
        return self.folder.spec()

    @cached_property
    def model(self) -> "RunModel":
        """The trained model, in evaluation mode, on the accelerator if there is one.

        Raises:
            ValueError: if training has not come to a model yet.
        """
        return on_accelerator(self.folder.model())

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics on the test rows, or on the validation rows where the table has no test rows.

        Raises:
            ValueError: if training was stopped before they were measured.
        """
        return self.folder.metrics()

    def report(self) -> Path:
        """The HTML report.

        Raises:
            ValueError: if training was stopped before it was written.
        """
        if not self.folder.report_file.is_file():
            raise ValueError(
                f"run {self.path} has no report yet; continue its training with `{self.folder.resume_command}`"
            )
        return self.folder.report_file

    def lines(self) -> list[str]:
        """The result in words: the metrics, and where the report is."""
        metrics = self.metrics
        with fitting(self.folder.metrics_file, "the metrics of this run"):
            lines = [*hardly_trained(metrics), f"measured on {metrics['split']} rows:"]
            lines += metric_lines(self.spec.targets, metrics)
            lines += verdict_lines(metrics.get("verdict"))
        return [*lines, f"report: {self.report()}"]

    def evaluate(
        self,
        table: Any,
        *,
        split: str | None = None,
        output: str | os.PathLike[str] | None = None,
        worth: bool = False,
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
    ) -> dict[str, Any]:
        """Measures the model on a table that has the targets, with each combination of its modalities.

        Args:
            table: of any form that `fit` takes.
            split: rows to measure on: train, val, test or all. None: the test rows if there are any, else all.
            output: JSON file to write the metrics to.
            worth: measure what each modality and each column is worth, too, as ``worth`` (see
                `perceiver_pytorch.training.table.worth.measure_worth`); it takes a few times as long.
            on_error: for a bad row: raise or skip. None: as in training.
            allow_outside: let file paths in cells leave the table's folder.
            encoding: of a CSV, TSV or JSONL file that is not UTF-8.
            skip_lines: of a CSV or TSV file, lines to leave out before its header.
            header, quoting: of a CSV or TSV file, as in `fit`; None: as in training.
            table_mb: memory that the table's rows may take, in MB. None: as in training.
            cell_mb: memory that decoding one cell may take, in MB. None: as in training.
            allow_web: hosts of the web whose files may be read, besides those of training.
            where: rows to read, as ``"age >= 18 and country = 'DE'"``; None: all, whatever it was in training.
            workers: processes that decode; 0: this one. None: as many as are worth it.
            root: of a table in memory, the folder that relative paths in cells start at; None: the current one.
            reporter: how to tell what happens.

        Returns:
            The metrics: see `perceiver_pytorch.training.table.evaluation.measure`.

        Raises:
            DataError: for a table that cannot be read, or a bad row; the message names row and column.
            ValueError: if no row has a known target, or there are no rows of the split.
        """
        return evaluate(
            self,
            self.model,
            table,
            Reading(
                on_error, allow_outside, encoding, skip_lines, header, quoting, table_mb, cell_mb, allow_web, where
            ),
            choice=self.config.training.choice,
            split=split,
            output=output,
            workers=workers,
            root=root,
            reporter=reporter,
            judge=self._judged,
            worth=worth,
        )

    def card(self, *sections: Section) -> str:
        """The model card: what the model reads and predicts, from which data, its scores and limits.

        Args:
            sections: headings and texts in Markdown, at the end.
        """
        metrics = self.metrics if self.folder.metrics_file.is_file() else None
        return run_card(CardFacts(self.path.resolve().name, self.config.data.table, self.spec, metrics), *sections)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Writes what the model is used by into another folder, with its metrics and a model card (``README.md``):
        `Run.open` and the commands take it.

        Raises:
            ValueError: if training has not come to a model yet.
        """
        self.load()
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for file in (*self.folder.needed_to_predict, self.folder.metrics_file):
            if file.is_file():
                copy_whole(file, target / file.name)
        write_text(target / "README.md", self.card(loading()))
        return target

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | None = None, message: str = "A trained run"
    ) -> str:
        """Uploads what `save_pretrained` writes to a repository of the hub, which is made if there is none.

        Args:
            repo_id: ``NAME`` or ``OWNER/NAME``.
            private: whether a new repository is private; None: as the owner's are.
            token: of the hub; None: that of ``hf auth login``.
            message: of the commit.

        Returns:
            The address of the commit.
        """
        from huggingface_hub import HfApi  # only where something is uploaded

        api = HfApi(token=token)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            repo = api.create_repo(repo_id, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repo.repo_id, folder_path=folder, commit_message=message))

    def load(self) -> None:
        """Reads the weights, so that they are there when the first row comes."""
        _ = self.model, self.calibration, self._unusual

    @cached_property
    def calibration(self) -> Calibration | None:
        return calibration_of(self.model, self.spec.targets)

    @cached_property
    def _unusual(self) -> Unusual | None:
        """How rows unlike the train rows are told."""
        return unusual_of(self.model)

    def columns(
        self, dataset: TableDataset, progress: Progress | None = None, coverage: float | None = None
    ) -> dict[str, Any]:
        found = evaluation.predict(self.model, dataset, progress=progress, calibration=self.calibration)
        columns = found.columns(coverage)
        if self._unusual is None:
            return columns
        return with_reasons(columns, found.unusual(self._unusual, dataset.oddities))

    def _judged(self, metrics: Mapping[str, Any], in_memory: bool) -> dict[str, Any]:
        """What is said of a measurement."""
        before = self.folder.metrics() if self.folder.metrics_file.is_file() else {}
        facts = Facts(
            targets=self.spec.targets,
            modalities=self.spec.modalities,
            choice=self.config.training.choice,
            metrics=metrics,
            split=metrics["split"],
            advice=Advice(self.config, in_memory, file=self.folder.config_file),
            config=self.config,
            before=before if before.get("score_name") == metrics["score_name"] else {},
        )
        return judge_evaluation(facts)

    def explain(
        self,
        table: Any,
        rows: Sequence[int] | None = None,
        *,
        split: str = "all",
        targets: Sequence[str] | None = None,
        ways: Sequence[str] = ("integrated", "occlusion", "attention"),
        output: str | os.PathLike[str] | None = None,
        steps: int = 32,
        pieces: int = 64,
        layers: Sequence[int] | str | None = None,
        heads: Sequence[int] | str | None = None,
        latents: Sequence[int] | str | None = None,
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
        root: str | Path | None = None,
        reporter: Reporter = QUIET,
    ) -> "list[Explanation]":
        """Says what of some rows counts for the model's answers: docs/explaining.md.

        Args:
            table: of any form that `fit` takes; it need not have the targets.
            rows: their numbers in the table, from 0. None: five, spread over it.
            split: rows to choose from: train, val, test or all.
            targets: which answers; None: every one.
            ways: some of integrated (gradients), gradient (times input), occlusion, attention.
            output: folder to write a page, a picture of each map and the numbers to.
            steps: of integrated gradients.
            pieces: that a modality is hidden in, one by one, about.
            layers, heads, latents: whose attention is told apart, besides: numbers from 0, or ``"all"``. Where one of
                them is given, None stands for every layer, and for the mean of heads and of latents.
            on_error, allow_outside, encoding, skip_lines, header, quoting, table_mb, cell_mb, allow_web, where,
                root, reporter: as in `evaluate`.

        Returns:
            An `Explanation` for each row and target: ``maps``, for each way {modality: array on the input's own grid};
            ``worth``, the Shapley value of each modality; and what the model says.

        Raises:
            DataError: for a table that cannot be read, or a bad row; the message names row and column.
            ValueError: for a row, target, way, layer, head or latent that there is not.
        """
        from perceiver_pytorch.explain.apart import Apart
        from perceiver_pytorch.explain.page import write_explanations
        from perceiver_pytorch.tables.explaining import explain

        reading = Reading(
            on_error, allow_outside, encoding, skip_lines, header, quoting, table_mb, cell_mb, allow_web, where
        )
        source, found = explain(
            self.model,
            self.spec,
            reading.adapt(self.data),
            table,
            rows=rows,
            split=split,
            targets=targets,
            ways=ways,
            steps=steps,
            pieces=pieces,
            apart=Apart(layers, heads, latents),
            root=root,
            reporter=reporter,
        )
        if output is not None:
            metrics = self.metrics if self.folder.metrics_file.is_file() else {}
            page = write_explanations(Path(output), found, model=self.path.name, table=source, metrics=metrics)
            count = len({each.row for each in found})
            reporter.say(f"{count:,} row{'' if count == 1 else 's'} explained in {page}")
        return found
