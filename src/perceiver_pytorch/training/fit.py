"""From a configuration to a finished run folder."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from perceiver_pytorch import _checks
from perceiver_pytorch.data import (
    CHANGES,
    BadRow,
    InputSpec,
    SpecOptions,
    Splits,
    Table,
    TableDataset,
    collate,
    leaks,
    load_table,
    recognise_columns,
    split_column,
    split_rows,
    target_names,
)
from perceiver_pytorch.training import evaluation
from perceiver_pytorch.training.build import build_model
from perceiver_pytorch.training.callbacks import read_history
from perceiver_pytorch.training.checkpoints import best_state
from perceiver_pytorch.training.config import DataConfig, FitConfig, dump_config
from perceiver_pytorch.training.finetune import Source, adopt, load_source, start_from
from perceiver_pytorch.training.freezing import merge_lora
from perceiver_pytorch.training.guard import Guard, guarded
from perceiver_pytorch.training.interrupts import leave_to_parent
from perceiver_pytorch.training.loop import INTERRUPTED, run_loop
from perceiver_pytorch.training.module import TableModule
from perceiver_pytorch.training.report import ReportFacts, write_report
from perceiver_pytorch.training.reporter import Reporter
from perceiver_pytorch.training.run_folder import RunFolder
from perceiver_pytorch.training.sampler import EpochBatches

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
    table = load_table(config.data.table)
    kinds, splits = _columns_and_splits(table, config, reporter)
    source = load_source(config.start.checkpoint) if config.start.checkpoint else None
    spec = _spec(table, kinds, splits, config, run, resume, source)
    _check_task_weights(spec, config.training.task_weights)
    for line in describe(spec, splits):
        reporter.say(line)
    datasets, bad_rows = _datasets(table, splits, spec, config.data, reporter)
    notes = change_notes(datasets)
    for note in notes:
        reporter.say(note)

    torch.manual_seed(config.training.seed)
    if source is None:
        model = build_model(spec, config.model)
    else:
        model, lines = start_from(source, spec, config.model, config.start)
        for line in lines:
            reporter.say(line)
    reporter.say(model.summary().splitlines()[0])
    module = TableModule(model, spec, config.training, config.augment)
    guard.begun = True
    if not run.spec_file.is_file():
        run.write_spec(spec)
    stopped = _train(module, datasets, run, config, resume, time_limit, reporter)
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
    metrics |= {
        "split": split,
        "epochs": len(history),
        "stopped": stopped,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bad_rows": len(bad_rows),
    }
    run.write_metrics(metrics)
    write_report(
        run,
        ReportFacts(
            split=split,
            dataset=measured,
            metrics=metrics,
            history=history,
            sizes={name: len(dataset) for name, dataset in datasets.items()},
            bad_rows=bad_rows,
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
    for name, kind, columns, shape, note in spec.describe():
        lines.append(f"  {name}: {kind}, {shape} ({note})" + (f" of {columns}" if columns != name else ""))
    ignored = [name for name, kind in spec.kinds.items() if kind == "ignore"]
    if ignored:
        lines.append(f"  not used: {', '.join(ignored)}")
    lines.append(f"rows: {len(splits.train):,} train, {len(splits.val):,} validation, {len(splits.test):,} test")
    return lines


def _columns_and_splits(table: Table, config: FitConfig, reporter: Reporter) -> tuple[dict[str, Any], Splits]:
    data = config.data
    if not data.target:
        raise ValueError(f"which column is to be predicted? Columns: {', '.join(table.column_names)}")
    targets = target_names(table, data.target)
    split = split_column(table, data.split)
    kinds = recognise_columns(table, target=targets, split=split, overrides=data.columns)  # type: ignore[arg-type]
    splits = split_rows(
        table,
        target=targets,
        split=split,
        val_fraction=data.val_fraction,
        seed=config.training.seed,
        require_target=data.on_error == "raise",
    )
    for target in targets:
        for name in leaks(table, kinds, target, splits.train):
            reporter.warn(
                f"column {name!r} settles {target!r} in every train row; if it is the answer itself, "
                f"leave it out with --column {name}=ignore"
            )
    return kinds, splits


def _check_task_weights(spec: InputSpec, weights: Mapping[str, Any]) -> None:
    known = tuple(target.name for target in spec.targets)
    for name, weight in weights.items():
        _checks.choice("a target of task_weights", name, known)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise ValueError(f"task_weights[{name!r}] must be a number of 0 or more, got {weight!r}")
    if weights and not any(weights.get(name, 1.0) for name in known):
        raise ValueError("task_weights are all 0; there is nothing to learn")


def _spec(
    table: Table,
    kinds: dict[str, Any],
    splits: Splits,
    config: FitConfig,
    run: RunFolder,
    resume: bool,
    source: Source | None,
) -> InputSpec:
    if resume and run.spec_file.is_file():
        return run.spec()
    names = [field.name for field in dataclasses.fields(SpecOptions)]
    options = SpecOptions(**{name: getattr(config.data, name) for name in names})
    if source is not None and source.spec is not None:
        options = adopt(options, source.spec, kinds)
    return InputSpec.fit(
        table,
        kinds,
        target=config.data.target,
        rows=splits.train,
        options=options,
        allow_outside=config.data.allow_outside,
        kinds_of_targets=config.data.target_kinds,
        label_separator=config.data.label_separator,
    )


def _datasets(
    table: Table, splits: Splits, spec: InputSpec, data: DataConfig, reporter: Reporter
) -> tuple[dict[str, TableDataset], list[BadRow]]:
    """One prepared data set per split that has rows, and the rows left out."""
    datasets: dict[str, TableDataset] = {}
    bad_rows: list[BadRow] = []
    for name, rows in (("train", splits.train), ("val", splits.val), ("test", splits.test)):
        if not len(rows):
            continue
        dataset = make_dataset(table, rows, spec, data)
        with reporter.step(f"decoding {name} rows") as progress:
            bad_rows += dataset.prepare(progress)
        datasets[name] = dataset
    if bad_rows:
        reporter.warn(f"{len(bad_rows)} bad rows are left out; the report lists them")
    return datasets, bad_rows


def make_dataset(
    table: Table, rows: np.ndarray, spec: InputSpec, data: DataConfig, *, require_target: bool = True
) -> TableDataset:
    """A data set as the configuration says."""
    return TableDataset(
        table,
        rows,
        spec,
        on_error="skip" if data.on_error == "skip" else "raise",
        allow_outside=data.allow_outside,
        cache_bytes=data.cache_mb << 20,
        require_target=require_target,
    )


def _train(
    module: TableModule,
    datasets: dict[str, TableDataset],
    run: RunFolder,
    config: FitConfig,
    resume: bool,
    time_limit: float | None,
    reporter: Reporter,
) -> str | None:
    """Trains; returns why it stopped before its end, or None."""
    settings = config.training
    train = datasets["train"]
    together = partial(collate, spec=train.spec)
    train_loader = DataLoader(
        train,
        batch_sampler=EpochBatches(len(train), settings.batch_size, settings.seed),
        collate_fn=together,
        num_workers=settings.num_workers,
        worker_init_fn=leave_to_parent,
    )
    val_loader = DataLoader(
        datasets["val"],
        batch_size=EVALUATION_BATCH,
        collate_fn=together,
        num_workers=settings.num_workers,
        worker_init_fn=leave_to_parent,
    )
    return run_loop(
        module,
        train_loader,
        val_loader,
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
    )


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


def change_notes(datasets: dict[str, TableDataset]) -> list[str]:
    """What was done to cells to make them fit, a sentence per split, modality and change."""
    return [
        f"{count:,} of {len(dataset):,} {name} rows: cells of {modality!r} {CHANGES[change]}."
        for name, dataset in datasets.items()
        for modality, changes in dataset.changes.items()
        for change, count in changes.items()
    ]
