"""Learning to predict columns of a table: the task of ``perceiver fit``."""

import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from perceiver_pytorch._settings import dump_config
from perceiver_pytorch.data import (
    BatchLoader,
    DataError,
    InputSpec,
    Predictions,
    ShardedTable,
    TableDataset,
    TableLike,
)
from perceiver_pytorch.data.calibration import Calibration
from perceiver_pytorch.data.lengths import longest_first, row_lengths, token_counts
from perceiver_pytorch.data.loading import Listed
from perceiver_pytorch.data.losses import told
from perceiver_pytorch.data.targets.scores import by_target
from perceiver_pytorch.report.closer import Closer
from perceiver_pytorch.report.page import ReportFacts, write_report
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.evidence import hardly_trained
from perceiver_pytorch.training.run.job import Trained
from perceiver_pytorch.training.run.loaders import Loaders
from perceiver_pytorch.training.run.ranks import world
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.run.sampler import EpochBatches, OfRank
from perceiver_pytorch.training.start.finetune import start_from
from perceiver_pytorch.training.start.published import RunModel
from perceiver_pytorch.training.table import evaluation
from perceiver_pytorch.training.table.advice import Advice
from perceiver_pytorch.training.table.blending import blend_batches, blend_note, blend_shares, learn_blend
from perceiver_pytorch.training.table.build import build_model, with_heads
from perceiver_pytorch.training.table.calibrating import calibration_batches, calibration_note, learn_calibration
from perceiver_pytorch.training.table.closer_maps import with_maps
from perceiver_pytorch.training.table.data_checkpoint import DataCheckpoint
from perceiver_pytorch.training.table.datasets import bad_rows
from perceiver_pytorch.training.table.learning_rate import peak_learning_rate
from perceiver_pytorch.training.table.module import TableModule
from perceiver_pytorch.training.table.notes import change_notes, loss_lines, result_notes, waiting_note
from perceiver_pytorch.training.table.partial_inputs import Drawn, sampled_rows, subsets
from perceiver_pytorch.training.table.prepare import TableData, prepare_table
from perceiver_pytorch.training.table.rounds import Rounds, plan_rounds, settled
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig, ModelConfig, TrainingConfig
from perceiver_pytorch.training.table.trust import coverage_doubts
from perceiver_pytorch.training.table.verdict import judge_fit
from perceiver_pytorch.training.table.verdict_facts import Facts
from perceiver_pytorch.training.table.worth import answers_of_worth, measure_worth

EVALUATION_BATCH = 256
_FOR_BLEND, _FOR_CALIBRATION = 0.3, 0.3  # shares of the time left once training is over
_FOR_WORTH = 0.7  # share of the time left once all combinations of modalities are measured; the rest is for maps
REPORT_SECONDS = 4.0
"""What the report takes, with the library that draws it."""
TRAIN_SAMPLE = 512
"""Train rows that the trained model is measured on, too, to tell over- from underfitting."""


class TableTask:
    """A `Task`: predicts columns of a table from the others.

    Args:
        config: everything that the run depends on.
        table: the table, where it is in memory; ``config.data.table`` is then its name. None: the one that the
            configuration names is read.
        deadline: the end of the job, if there is one: some of the rows are then decoded when they are needed.
        build: makes a model with fresh weights.
    """

    compares_rows: ClassVar[bool] = True
    """Rows with equal inputs are told of."""
    judges: ClassVar[bool] = True
    """There is a verdict on the run, for which some train rows are measured, too; its probabilities are calibrated, its
    columns are weighed, and rows get their maps."""
    measures_combinations: bool = True
    """What modalities are worth is measured."""
    decodes: ClassVar[bool] = True
    """Rows that fit into memory are decoded beforehand."""

    data: TableData
    folder: TableRun
    train_loader: BatchLoader
    predictions: Predictions
    closer: list[Closer]
    doubts: list[str]
    calibration: Calibration | None

    def __init__(
        self,
        config: FitConfig,
        table: TableLike | None = None,
        *,
        deadline: Deadline | None = None,
        build: Callable[[InputSpec, ModelConfig], RunModel] = build_model,
    ) -> None:
        self.config = config
        self.build = build
        self.deadline = deadline
        self.table = table

    @property
    def training(self) -> TrainingConfig:
        return self.config.training

    def prepare(self, run: TableRun, *, resume: bool, reporter: Reporter) -> None:
        self.folder = run
        data = self.read(run, resume=resume, reporter=reporter)
        training = settled(self.training, self._rounds(data.datasets))
        if training.by_length and isinstance(data.datasets["train"].table, ShardedTable):
            raise ValueError("training.by_length must be false for a table in shards, whose rows are not in memory")
        self.data = replace(data, config=replace(data.config, training=training))

    def read(self, run: TableRun, *, resume: bool, reporter: Reporter) -> TableData:
        """The rows, and the configuration with what they decide."""
        return prepare_table(
            self.config,
            run,
            reporter,
            given=self.table,
            resume=resume,
            deadline=self.deadline,
            compare=self.compares_rows,
            decode=self.decodes,
        )

    def identity(self) -> Any:
        return dump_config(self.data.config), self.data.spec.to_dict(), self.data.fingerprint

    def module(self, reporter: Reporter) -> TableModule:
        config, spec = self.data.config, self.data.spec
        model: RunModel
        if self.data.source is None:
            model = self.build(spec, config.model)
        else:
            model, lines = start_from(self.data.source, spec, config.model, config.start)
            for line in lines:
                reporter.say(line)
        rate, why = peak_learning_rate(model, config.training, config.start)
        if config.training.head_weight:
            model = with_heads(model, spec, joint=config.training.joint_weight > 0)
        reporter.say(model.summary().splitlines()[0])
        reporter.say(f"peak learning rate: {rate:g} ({why})")
        return TableModule(model, spec, config.training, config.augment, rate)

    def begin(self, run: TableRun) -> None:
        begun = run.spec_file.is_file()
        if not begun:
            run.write_config(self.data.config)  # with what the table decided: resuming must not depend on a rule
            run.write_warnings(self.data.warnings)
        if not begun or not run.table_file.is_file():  # runs of early versions have a spec alone
            run.write_table(self.data.fingerprint)
        if not begun:
            run.write_spec(self.data.spec)

    def loaders(self) -> Loaders:
        train, datasets = self.data.datasets["train"], self.data.datasets
        parts, window = None, 0
        if isinstance(train.table, ShardedTable):
            parts, window = np.unique(train.table.shard_of(train.rows), return_index=True)[1], train.table.window
        rounds = self._rounds(datasets)
        lengths = row_lengths(token_counts(train)) if self.training.by_length else None
        order = EpochBatches(
            len(train),
            rounds.batch_size,
            self.training.seed,
            steps=rounds.length,
            parts=parts,
            window=window,
            lengths=lengths,
        )
        self.train_loader = BatchLoader(train, OfRank(order), fill=True, shared=world() > 1)
        return Loaders(
            measured=self._batches_after_training(),
            closing=REPORT_SECONDS,
            train=self.train_loader,
            val=BatchLoader(datasets["val"], OfRank(self._validated(rounds)), shared=world() > 1),
            steps=rounds.steps,
            most_steps=rounds.most_steps,
            pass_steps=rounds.pass_steps,
            choosing=rounds.choosing,
            callbacks=[DataCheckpoint(self.train_loader, datasets)],
        )

    def _validated(self, rounds: Rounds) -> Listed:
        """The batches of a validation within training."""
        val = self.data.datasets["val"]
        places = Drawn(len(val), rounds.validated, EVALUATION_BATCH).places
        # Ranks have to agree on the order, and a time limit may let one of them decode more rows than another.
        return Listed(places if world() > 1 else longest_first(val, places), EVALUATION_BATCH)

    def _rounds(self, datasets: dict[str, TableDataset]) -> Rounds:
        return plan_rounds(self.training, len(datasets["train"]), len(datasets["val"]))

    def _batches_after_training(self) -> tuple[int, int]:
        """Batches that a model answers for its blend, its calibration and the result, at most and at least."""
        rows, val = len(self._measured()[1]), len(self.data.datasets["val"])
        names = [modality.name for modality in self.data.spec.modalities]
        whole = -(-rows // EVALUATION_BATCH)
        others = len(subsets(names)) - 1 if self.measures_combinations else 0
        sampled = min(rows, sampled_rows(others + 1))
        blend = blend_batches(len(names), val, EVALUATION_BATCH) if self.training.head_weight else 0
        train = -(-min(TRAIN_SAMPLE, len(self.data.datasets["train"])) // EVALUATION_BATCH)
        blend += calibration_batches(self.data.spec, len(self.data.datasets["train"]), val, EVALUATION_BATCH)
        weighed = -(-answers_of_worth(self._measured()[1]) // EVALUATION_BATCH)
        return whole + others * -(-sampled // EVALUATION_BATCH) + blend + train + weighed, whole

    def complete(self, trained: Trained, reporter: Reporter) -> None:
        """Learns from the validation rows how much heads count, and how sure the answers may be."""
        model, limit = trained.module.model, trained.deadline
        with reporter.step("weighing what reads one modality"):
            learn_blend(
                model,
                self.data.datasets["val"],
                batch_size=EVALUATION_BATCH,
                deadline=limit and Deadline(_FOR_BLEND * limit.left()),
            )
        if text := blend_note(model, self.data.spec):
            reporter.say(text)
        self.calibration = None
        if not self.judges:
            return
        with reporter.step("calibrating"):
            self.calibration = learn_calibration(
                model,
                self.data.datasets["val"],
                train=self.data.datasets["train"],
                batch_size=EVALUATION_BATCH,
                deadline=limit and Deadline(_FOR_CALIBRATION * limit.left()),
            )
        if text := calibration_note(self.calibration):
            reporter.say(text)

    def measure(self, trained: Trained, reporter: Reporter) -> dict[str, Any]:
        split, dataset = self._measured()
        module, waiting = trained.module, self.train_loader.waiting
        assert isinstance(module, TableModule)
        with reporter.step(f"measuring on {split} rows") as progress:
            self.predictions, metrics = evaluation.measure(
                module.model,
                dataset,
                choice=module.choice,
                batch_size=EVALUATION_BATCH,
                same_rows=split == "validation",
                combinations=self.measures_combinations,
                progress=progress,
                deadline=trained.deadline and trained.deadline.earlier(REPORT_SECONDS),
            )
        on_train = self._on_train_rows(trained) if self.judges else {}
        if self.measures_combinations and (text := evaluation.combinations_left_out(dataset, metrics)):
            reporter.warn(text)
        targets = self.data.spec.targets
        self.doubts = evaluation.modality_warnings(targets, metrics, module.choice)
        self.doubts += coverage_doubts(by_target(targets, metrics))
        for text in self.doubts:
            reporter.warn(text)
        late = {name: rows for name, rows in self.data.datasets.items() if not rows.prepared}
        for line in told(loss_lines(late), "; the report has them"):
            reporter.warn(line)
        metrics |= {
            "split": split,
            "epochs": trained.epochs,
            "trained": trained.facts(),
            "stopped": trained.stopped,
            "blend": blend_shares(module.model, self.data.spec),
            "parameters": sum(p.numel() for p in module.model.parameters()),
            "bad_rows": len(bad_rows(self.data.datasets)),
            "losses": [loss for name, rows in self.data.datasets.items() for loss in rows.losses.as_json(name)],
            "warnings": self._warnings(),
            "train_seconds": round(trained.seconds, 3),
            "data_wait_share": round(waiting.share, 4),
        }
        if not self.judges:
            return metrics
        metrics |= {"worth": self._weighed(trained, metrics, reporter) | {"split": split}}
        return metrics | {"verdict": self._judged(trained, metrics, on_train)}

    def _weighed(self, trained: Trained, metrics: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
        """What modalities and columns are worth; rows for the report get their maps."""
        module, (_, dataset) = trained.module, self._measured()
        assert isinstance(module, TableModule)
        closing = trained.deadline and trained.deadline.earlier(REPORT_SECONDS)
        with reporter.step("weighing columns"):
            worth = measure_worth(
                module.model,
                dataset,
                self.predictions,
                metrics,
                choice=module.choice,
                deadline=closing and Deadline(_FOR_WORTH * closing.left()),
            )
        self.closer = with_maps(module.model, dataset, self.predictions, closing)
        return worth

    def _on_train_rows(self, trained: Trained) -> dict[str, Any]:
        """{target: its metrics} on some of the train rows; empty where there is no time, or one of them is bad."""
        deadline, train = trained.deadline, self.data.datasets["train"]
        if deadline is not None and deadline.earlier(REPORT_SECONDS).left() <= 0:
            return {}
        try:
            (found,) = evaluation.predict_without(trained.module.model, train, [()], rows=TRAIN_SAMPLE)
        except DataError:  # a bad row that training has not come to yet: the result is there all the same
            return {}
        metrics = found.metrics()
        intervals = found.intervals(metrics)
        return {name: values | {"intervals": intervals[name]} for name, values in metrics.items()}

    def _judged(self, trained: Trained, metrics: dict[str, Any], on_train: dict[str, Any]) -> dict[str, Any]:
        """The verdict on the run."""
        asked, deadline = self.config, trained.deadline
        folder = self.folder
        facts = Facts(
            targets=self.data.spec.targets,
            modalities=self.data.spec.modalities,
            choice=self.training.choice,
            metrics=metrics,
            split=metrics["split"],
            advice=Advice(
                asked, self.table is not None, None if deadline is None else deadline.limit, folder.resume_command
            ),
            config=self.data.config,
            sizes={name: len(rows) for name, rows in self.data.datasets.items()},
            on_train=on_train,
            history=trained.history,
            steps=trained.steps,
            plan=trained.plan,
            stopped=trained.stopped,
            diverged=trained.diverged,
            hardly=hardly_trained(metrics),
            suspects=self.data.suspects,
        )
        table = "TABLE" if self.table is not None else asked.data.table
        return judge_fit(facts, shlex.join(["perceiver", "predict", str(folder.path), table, "-o", "predictions.csv"]))

    def write(self, run: TableRun, trained: Trained, metrics: dict[str, Any]) -> None:
        split, dataset = self._measured()
        datasets, waiting = self.data.datasets, self.train_loader.waiting
        facts = ReportFacts(
            split=split,
            dataset=dataset,
            predictions=self.predictions,
            metrics=metrics,
            closer=self.closer,
            history=trained.history,
            sizes={name: len(rows) for name, rows in datasets.items()},
            bad_rows=bad_rows(datasets),
            first=hardly_trained(metrics),
            verdict=metrics["verdict"]["findings"],
            notes=[
                *result_notes(split, trained.stopped, trained.plan, self._unchosen()),
                *filter(None, [blend_note(trained.module.model, self.data.spec), calibration_note(self.calibration)]),
            ],
            warnings=self._warnings(),
            data_notes=[*self.data.notes, *change_notes(datasets), waiting_note(waiting, datasets["train"])],
            summary=trained.module.model.summary(),
            config=dump_config(self.data.config),
            choice=self.training.choice,
        )
        write_report(run.report_file, facts)

    def _warnings(self) -> list[str]:
        """What was lost or is doubtful, a sentence each."""
        return [*self.doubts, *self.data.warnings, *loss_lines(self.data.datasets)]

    def _unchosen(self) -> int | None:
        """How many rows a validation reads, if they are too few to choose the best weights by."""
        rows = self.training.validate_rows or len(self.data.datasets["val"])
        return rows if rows < self.training.choose_from else None

    def _measured(self) -> tuple[str, TableDataset]:
        """The rows that the result is of, and what they are called."""
        datasets = self.data.datasets
        return ("test", datasets["test"]) if "test" in datasets else ("validation", datasets["val"])
