"""From a configuration to a finished run folder."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perceiver_pytorch import _checks
from perceiver_pytorch._settings import dump_config
from perceiver_pytorch.data import (
    CHANGES,
    BatchLoader,
    InputSpec,
    ReadOptions,
    ShardedTable,
    SpecOptions,
    Splits,
    Table,
    TableDataset,
    TableLike,
    differences,
    fingerprint,
    in_order,
    load_table,
    recognise_columns,
    split_column,
    split_rows,
    target_names,
)
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.loading import Waiting
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.report.report import ReportFacts, write_report
from perceiver_pytorch.training.run.callbacks import read_history
from perceiver_pytorch.training.run.checkpoints import best_state
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.run.guard import Guard, guarded
from perceiver_pytorch.training.run.loop import INTERRUPTED, run_loop
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.run.sampler import EpochBatches
from perceiver_pytorch.training.start.finetune import Source, adopt, load_source, start_from
from perceiver_pytorch.training.start.freezing import merge_lora
from perceiver_pytorch.training.start.published import RunModel
from perceiver_pytorch.training.start.published_inputs import adopt_rates
from perceiver_pytorch.training.table import evaluation
from perceiver_pytorch.training.table.build import build_model
from perceiver_pytorch.training.table.column_warnings import tell_doubts
from perceiver_pytorch.training.table.data_state import DataWatch, bad_rows
from perceiver_pytorch.training.table.learning_rate import peak_learning_rate
from perceiver_pytorch.training.table.module import TableModule
from perceiver_pytorch.training.table.settings import DataConfig, FitConfig

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Outcome:
    """Result of `fit`.

    Attributes:
        metrics: what ``metrics.json`` holds; empty if interrupted.
        stopped: why training stopped before its end, or None.
    """

    metrics: dict[str, Any]
    stopped: str | None


def fit(
    config: FitConfig,
    run: RunFolder,
    *,
    resume: bool = False,
    time_limit: float | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Trains on a table, keeps the best model, measures it, and writes the report.

    Args:
        config: everything that the run depends on.
        run: an empty run folder, or with ``resume`` one of a run that was stopped.
        resume: go on from ``checkpoints/last.ckpt``, to what the uninterrupted run would have given.
        time_limit: seconds of training; what is best by then is measured.
        reporter: how to tell what happens.

    Raises:
        DataError: for a table that cannot be used; the message names row and column.
        ValueError: for a configuration that cannot be used, or if another process trains in this folder.
        DiskFullError: for a full disk; what was saved before is intact.
        KeyboardInterrupt: for Ctrl-C or SIGTERM outside of training, or the second one during it.
    """
    with guarded(run, config, resume=resume, command="perceiver fit") as guard:
        return _fit(config, run, guard, resume, time_limit, reporter or Reporter())


def _fit(
    config: FitConfig, run: RunFolder, guard: Guard, resume: bool, time_limit: float | None, reporter: Reporter
) -> Outcome:
    table = load_table(config.data.table, read_options(config.data))
    for note in table.notes:
        reporter.warn(note)
    config = with_target(config, table)
    source = load_source(config.start.checkpoint) if config.start.checkpoint else None
    splits, spec = _splits_and_spec(table, config, run, resume, source, reporter)
    _check_task_weights(spec, config.training.task_weights)
    taken = fingerprint(table, splits, spec)
    if resume:
        _check_table(run, taken, config)
    for line in describe(spec, splits):
        reporter.say(line)
    datasets = _datasets(table, splits, spec, config, reporter)
    notes = [*table.notes, *reading_notes(table, datasets), *change_notes(datasets)]
    for note in notes[len(table.notes) :]:
        reporter.say(note)

    torch.manual_seed(config.training.seed)
    model: RunModel
    if source is None:
        model = build_model(spec, config.model)
    else:
        model, lines = start_from(source, spec, config.model, config.start)
        for line in lines:
            reporter.say(line)
    reporter.say(model.summary().splitlines()[0])
    rate, why = peak_learning_rate(model, config.training, config.start)
    reporter.say(f"learning rate: {rate:g} at its peak, {why}")
    module = TableModule(model, spec, config.training, config.augment, rate)
    guard.begun = True
    if not run.spec_file.is_file():
        run.write_table(taken)
        run.write_spec(spec)
    stopped, waiting = _train(module, datasets, run, config, resume, time_limit, reporter)
    if stopped == INTERRUPTED:
        return Outcome({}, stopped)

    if not best_state(run.best, module):
        reporter.warn("no epoch was completed, so the model is that of the last step")
    merge_lora(model)
    run.write_model(model)
    split = "test" if "test" in datasets else "validation"
    measured = datasets["test"] if split == "test" else datasets["val"]
    metrics, facts = _measure(module, measured, split, reporter)
    history = read_history(run.history_file)
    bad = bad_rows(datasets)
    metrics |= {
        "split": split,
        "epochs": len(history),
        "stopped": stopped,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bad_rows": len(bad),
        "train_seconds": round(waiting.seconds, 3),
        "data_wait_share": round(waiting.share, 4),
    }
    notes.append(_waiting_note(waiting, datasets["train"]))
    run.write_metrics(metrics)
    write_report(
        run,
        ReportFacts(
            split=split,
            dataset=measured,
            metrics=metrics,
            history=history,
            sizes={name: len(dataset) for name, dataset in datasets.items()},
            bad_rows=bad,
            notes=_notes(split, stopped),
            data_notes=notes,
            summary=model.summary(),
            config=dump_config(config),
            **facts,
        ),
    )
    return Outcome(metrics, stopped)


def describe(spec: InputSpec, splits: Splits) -> list[str]:
    """What was recognised, a line per modality."""
    lines = [f"{target.name}: {target.note()}" for target in spec.targets]
    for name, kind, columns, shape, note in spec.describe(most=8):
        lines.append(f"  {name}: {kind}, {shape} ({note})" + (f" of {columns}" if columns != name else ""))
    if spec.unused:
        lines.append(f"  not used: {listed(spec.unused)}")
    lines.append(f"rows: {len(splits.train):,} train, {len(splits.val):,} validation, {len(splits.test):,} test")
    return lines


def with_target(config: FitConfig, table: TableLike) -> FitConfig:
    """The configuration with the target that a folder or shards have by themselves, where none is given."""
    if config.data.target:
        return config
    usual = [name for name in ("label", "cls", "class") if name in table.column_names]
    if Path(config.data.table).is_file() or not usual:
        raise ValueError(f"which column is to be predicted? Columns: {listed(table.column_names)}")
    return dataclasses.replace(config, data=dataclasses.replace(config.data, target=usual[0]))


def read_options(data: DataConfig) -> ReadOptions:
    """How the configuration wants tables read."""
    return ReadOptions(
        encoding=data.encoding, delimiter=data.delimiter, skip_bad=data.on_error == "skip", stream=data.stream
    )


def _splits_and_spec(
    table: TableLike, config: FitConfig, run: RunFolder, resume: bool, source: Source | None, reporter: Reporter
) -> tuple[Splits, InputSpec]:
    """The rows of each split, and what is learned from the train rows, or from some where they are in shards."""
    data = config.data
    targets = target_names(table, data.target)
    split = split_column(table, data.split)
    splits = split_rows(
        table,
        target=targets,
        split=split,
        val_fraction=data.val_fraction,
        seed=config.training.seed,
        require_target=data.on_error == "raise",
    )
    if resume and run.spec_file.is_file():
        return splits, run.spec()
    seen, rows = table.sample(splits.train, targets)
    kinds = recognise_columns(seen, target=targets, split=split, overrides=data.columns)  # type: ignore[arg-type]
    spec = _spec(seen, kinds, rows, data, source)
    tell_doubts(seen, spec, rows, data, reporter)
    return splits, spec


def _check_table(run: RunFolder, now: dict[str, Any], config: FitConfig) -> None:
    """Raise a `ValueError` if the table is not what it was when the run began: other rows lead to other weights."""
    if not run.spec_file.is_file():  # nothing has been learned yet
        return
    if not run.table_file.is_file():  # of an earlier version of this package
        run.write_table(now)
        return
    found = differences(run.table(), now)
    if found:
        raise ValueError(
            f"{config.data.table} is not what it was when {run.path} began: {'; '.join(found)}. "
            "Going on would not give the model of that run; bring the table back, or begin anew in another folder"
        )


def _check_task_weights(spec: InputSpec, weights: Mapping[str, Any]) -> None:
    known = tuple(target.name for target in spec.targets)
    for name, weight in weights.items():
        _checks.choice("a target of task_weights", name, known)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise ValueError(f"task_weights[{name!r}] must be a number of 0 or more, got {weight!r}")
    if weights and not any(weights.get(name, 1.0) for name in known):
        raise ValueError("task_weights are all 0; there is nothing to learn")


def _spec(table: Table, kinds: dict[str, Any], rows: np.ndarray, data: DataConfig, source: Source | None) -> InputSpec:
    names = [field.name for field in dataclasses.fields(SpecOptions)]
    options = SpecOptions(**{name: getattr(data, name) for name in names})
    if source is not None and source.spec is not None:
        options = adopt(options, source.spec, kinds)
    elif source is not None and isinstance(source.model, PublishedPerceiver):
        options = adopt_rates(options, source.model)
    return InputSpec.fit(
        table,
        kinds,
        target=data.target,
        rows=rows,
        options=options,
        allow_outside=data.allow_outside,
        kinds_of_targets=data.target_kinds,
        label_separator=data.label_separator,
    )


def _datasets(
    table: TableLike, splits: Splits, spec: InputSpec, config: FitConfig, reporter: Reporter
) -> dict[str, TableDataset]:
    """One data set per split that has rows."""
    datasets = {
        name: make_dataset(table, rows, spec, config.data, workers=config.training.num_workers)
        for name, rows in (("train", splits.train), ("val", splits.val), ("test", splits.test))
        if len(rows)
    }
    for name, dataset in datasets.items():
        decode_where_it_fits(dataset, f"decoding {name} rows", reporter)
    count = len(bad_rows(datasets))
    if count:
        reporter.warn(f"{count:,} bad row{' is' if count == 1 else 's are'} left out; the report lists them")
    return datasets


def decode_where_it_fits(dataset: TableDataset, title: str, reporter: Reporter) -> None:
    """Decodes all rows once and keeps them; or none, where they would not fit or are to stay on the disk: then a row is
    decoded, and found to be bad, when it is needed."""
    if isinstance(dataset.table, ShardedTable) or not dataset.fits():
        return
    with reporter.step(title) as progress:
        dataset.prepare(progress)


def make_dataset(
    table: TableLike,
    rows: np.ndarray,
    spec: InputSpec,
    data: DataConfig,
    *,
    require_target: bool = True,
    workers: int | None = None,
) -> TableDataset:
    """A data set as the configuration says."""
    return TableDataset(
        table,
        rows,
        spec,
        on_error="skip" if data.on_error == "skip" else "raise",
        allow_outside=data.allow_outside,
        cache_bytes=0 if isinstance(table, ShardedTable) else data.cache_mb << 20,
        require_target=require_target,
        workers=workers,
    )


def _train(
    module: TableModule,
    datasets: dict[str, TableDataset],
    run: RunFolder,
    config: FitConfig,
    resume: bool,
    time_limit: float | None,
    reporter: Reporter,
) -> tuple[str | None, Waiting]:
    """Trains; returns why it stopped before its end (or None), and how long was waited for data."""
    settings = config.training
    train = datasets["train"]
    parts, window = None, 0
    if isinstance(train.table, ShardedTable):
        parts, window = np.unique(train.table.shard_of(train.rows), return_index=True)[1], train.table.window
    order = EpochBatches(len(train), settings.batch_size, settings.seed, parts=parts, window=window)
    loader = BatchLoader(train, order, fill=True)
    stopped = run_loop(
        module,
        loader,
        in_order(datasets["val"], EVALUATION_BATCH),
        run,
        epochs=settings.epochs,
        precision=settings.precision,
        gradient_clip=settings.gradient_clip,
        patience=settings.patience,
        monitor=module.monitor,
        mode="max",
        resume=resume,
        time_limit=time_limit,
        reporter=reporter,
        checkpoint_every=settings.checkpoint_every,
        callbacks=[DataWatch(loader, datasets)],
    )
    return stopped, loader.waiting


def _measure(
    module: TableModule, dataset: TableDataset, split: str, reporter: Reporter
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics to save, and the facts that the report needs."""
    with reporter.step(f"measuring on {split} rows") as progress:
        predictions, metrics = evaluation.measure(
            module.model, dataset, balanced=module.balanced, batch_size=EVALUATION_BATCH, progress=progress
        )
    return metrics, {"predictions": predictions}


def _notes(split: str, stopped: str | None) -> list[str]:
    notes = []
    if split == "validation":
        notes.append(
            "The table has no test rows, so these are the validation rows that the model was chosen by: they flatter."
        )
    if stopped:
        notes.append(f"Training stopped before its end: {stopped}.")
    return notes


def _waiting_note(waiting: Waiting, dataset: TableDataset) -> str:
    where = "kept decoded in memory" if dataset.prepared else "decoded when they were needed"
    return (
        f"Training waited for data in {waiting.share:.1%} of its {waiting.seconds:,.0f} s; rows were {where}"
        f"{'' if dataset.prepared else ', see --workers'}."
    )


def reading_notes(table: TableLike, datasets: dict[str, TableDataset]) -> list[str]:
    """How a table was read that is too large for memory."""
    notes = []
    if isinstance(table, ShardedTable):
        notes.append(
            f"The rows stay in {len(table.shards):,} shards. What was learned about the columns comes from some rows "
            f"spread over them, and one at least of each class; rows are mixed within {table.window:,} at a time."
        )
    late = [name for name, dataset in datasets.items() if not dataset.prepared]
    if late:
        notes.append(f"The {', '.join(late)} rows are decoded when they are needed; bad ones are met only then.")
    return notes


def change_notes(datasets: dict[str, TableDataset]) -> list[str]:
    """What was done to cells to make them fit, a sentence per split, modality and change."""
    return [
        f"{count:,} of {len(dataset):,} {name} rows: cells of {modality!r} {CHANGES[change]}."
        for name, dataset in datasets.items()
        for modality, changes in dataset.changes.items()
        for change, count in changes.items()
    ]
