"""From a table and a configuration to the data sets of a run, and to what is known about them."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from perceiver_pytorch import _checks
from perceiver_pytorch._saved_files import fitting
from perceiver_pytorch.data import (
    InputSpec,
    SpecOptions,
    Splits,
    Table,
    TableDataset,
    TableLike,
    differences,
    fingerprint,
    load_table,
    recognise_columns,
    split_column,
    split_rows,
    target_names,
)
from perceiver_pytorch.data.duplicates import duplicate_warnings
from perceiver_pytorch.data.errors import DataError, listed
from perceiver_pytorch.data.losses import told
from perceiver_pytorch.data.remote.addresses import is_address
from perceiver_pytorch.data.sources.base import TABLES, table_suffix
from perceiver_pytorch.data.spelling.learn import Asked, learn_spellings
from perceiver_pytorch.data.spelling.spellings import Spellings
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.start.finetune import Source, adopt, load_source
from perceiver_pytorch.training.start.published_inputs import adopt_rates
from perceiver_pytorch.training.table.column_warnings import warn_about_columns
from perceiver_pytorch.training.table.coverage import coverage_warnings
from perceiver_pytorch.training.table.datasets import bad_rows, decode_where_it_fits, make_dataset, read_options
from perceiver_pytorch.training.table.notes import (
    change_notes,
    long_cell_notes,
    loss_lines,
    reading_notes,
    written_notes,
)
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import DataConfig, FitConfig
from perceiver_pytorch.training.table.sizes import chosen_sizes
from perceiver_pytorch.training.table.suspects import Suspect, find_suspects


@dataclass(frozen=True, eq=False)
class TableData:
    """The data of a run.

    Attributes:
        config: with the target and the sizes of the model, also where none were given.
        source: the trained model to start from, or None.
        spec: what was learned about the table.
        fingerprint: what tells whether the table is the same when the run is resumed.
        datasets: the rows by split: train, val, and test where there are any.
        notes: sentences about how the data are read, for the report.
        warnings: what is doubtful about the table; of a resumed run, as it was told when the run began.
        suspects: columns that should perhaps not be read.
    """

    config: FitConfig
    source: Source | None
    spec: InputSpec
    fingerprint: dict[str, Any]
    datasets: dict[str, TableDataset]
    notes: list[str]
    warnings: list[str]
    suspects: list[Suspect]


def prepare_table(
    config: FitConfig,
    run: TableRun,
    reporter: Reporter,
    *,
    given: TableLike | None,
    resume: bool,
    deadline: Deadline | None = None,
    compare: bool = True,
    decode: bool = True,
) -> TableData:
    """Reads the table, divides its rows, learns about its columns, and decodes what fits into memory.

    Args:
        config: which table and target, and how to read them.
        run: a resumed run says what was learned when it began.
        reporter: how to tell what was found.
        given: the table, where it is in memory; None: the one that the configuration names.
        resume: whether the run is resumed.
        deadline: the end of the job, if there is one.
        compare: tell of rows with equal inputs.
        decode: decode beforehand what fits into memory.

    Raises:
        DataError: for a table that cannot be used; the message names row and column.
        ValueError: for a configuration that cannot be used, or if the run began with another table.
    """
    begun = run.spec() if resume and run.spec_file.is_file() else None
    table = _load(config, run, begun, resume=resume) if given is None else given
    warnings: list[str] = []
    shown, reporter = reporter, reporter.keeping(warnings)
    for note in table.notes:
        reporter.warn(note)
    config = config if config.data.target else _with_target(config, table, in_memory=given is not None)
    source = load_source(config.start.checkpoint) if config.start.checkpoint else None
    spellings = learned_spellings(table, config.data, reporter) if begun is None else begun.spellings
    table = table if spellings is None else table.spelled(spellings)
    splits = divided(table, config)
    targets = target_names(table, config.data.target)
    seen = table.sample(splits.train, targets)
    spec = begun or _learn(*seen, config.data, source, spellings)
    suspects = find_suspects(seen[0], spec.kinds, spec.targets, seen[1])
    if not begun:
        _warn_about(table, *seen, spec, splits, config.data, suspects, reporter)
    config, chosen = configured(config, spec, len(splits.train))
    taken = fingerprint(table, splits, spec)
    if resume:
        _check_table(run, taken, config)
    for line in duplicate_warnings(table, splits, spec) if compare and not begun else ():
        reporter.warn(line)
    for line in [*_describe(spec, splits), *chosen, *long_cell_notes(spec, config)]:
        reporter.say(line)
    datasets = _datasets(table, splits, spec, config)
    for name, dataset in datasets.items() if decode else ():
        decode_where_it_fits(dataset, f"decoding {name} rows", shown, deadline)
    if count := len(bad_rows(datasets)):
        shown.warn(f"{count:,} bad row{' is' if count == 1 else 's are'} left out; the report lists them")
    notes = reading_notes(table, datasets)
    for note in [*notes, *change_notes(datasets)]:
        shown.say(note)
    for line in told(loss_lines(datasets), "; the report has them"):
        shown.warn(line)
    notes += written_notes(spec)
    warnings = run.warnings() if begun else warnings
    return TableData(config, source, spec, taken, datasets, notes, warnings, suspects)


def configured(config: FitConfig, spec: InputSpec, train_rows: int) -> tuple[FitConfig, list[str]]:
    """The configuration with what the table decides, and what to say about it.

    Raises:
        ValueError: for settings that do not suit the targets.
    """
    model, sizes = chosen_sizes(config.model, spec)
    config, unchanged = _augmented(dataclasses.replace(config, model=model), train_rows)
    _check_task_weights(spec, config.training.task_weights)
    config.training.choice.check(spec.targets)
    return config, [*([sizes] if sizes and not config.start.checkpoint else []), *unchanged]


def measured_rows(run: TableRun, given: TableLike | None = None) -> tuple[str, TableDataset]:
    """The rows on which a finished run was measured, and what they are called: its test rows, or the validation rows
    where it has none.

    Args:
        run: its folder.
        given: its table; None: the one that its configuration names.

    Raises:
        DataError: for a table that cannot be read.
        ValueError: for another table than the run's.
    """
    config, spec = run.config(), run.spec()
    table = _load(config, run, spec, resume=True) if given is None else given
    table = table if spec.spellings is None else table.spelled(spec.spellings)
    splits = divided(table, config)
    _check_table(run, fingerprint(table, splits, spec), config)
    split, rows = ("test", splits.test) if len(splits.test) else ("validation", splits.val)
    data = dataclasses.replace(config.data, on_error="skip")
    return split, make_dataset(table, rows, spec, data, workers=0)


def _load(config: FitConfig, run: TableRun, begun: InputSpec | None, *, resume: bool) -> TableLike:
    """The table that the configuration names."""
    name, options = config.data.table, read_options(config.data, begun)
    try:
        return load_table(run.found(name) if resume else name, options)
    except DataError as error:
        if not resume or Path(name).exists():
            raise
        raise DataError(
            f"{error}. The run names its table from the directory in which it began: resume it there, or say where the "
            f"table is: perceiver fit TABLE --resume {run.path}"
        ) from error


def _with_target(config: FitConfig, table: TableLike, *, in_memory: bool) -> FitConfig:
    """The configuration with the target that a folder or shards have by themselves."""
    usual = [name for name in ("label", "cls", "class") if name in table.column_names]
    if in_memory or _is_text(config.data.table) or not usual:
        raise ValueError(f"which column is to be predicted? Columns: {listed(table.column_names)}")
    return dataclasses.replace(config, data=dataclasses.replace(config.data, target=usual[0]))


def _is_text(name: str) -> bool:
    """Whether a table is a file of rows, here or elsewhere: a column `label` of one may be anything."""
    return Path(name).is_file() or (is_address(name) and table_suffix(PurePosixPath(name)) in TABLES)


def divided(table: TableLike, config: FitConfig) -> Splits:
    """The rows of each split."""
    data = config.data
    return split_rows(
        table,
        target=target_names(table, data.target),
        split=split_column(table, data.split),
        val_fraction=data.val_fraction,
        seed=config.training.seed,
        require_target=data.on_error == "raise",
        draw=data.val_draw,
        kinds_of_targets=data.target_kinds,
        label_separator=data.label_separator,
        most=data.most_rows,
    )


def learned_spellings(table: TableLike, data: DataConfig, reporter: Reporter) -> Spellings:
    """How the cells of a table are written."""
    seen, rows = table.sample(np.arange(len(table)), ())
    names = target_names(table, data.target) if data.target else ()
    targets = {name: data.target_kinds.get(name) for name in names}
    asked = Asked(data, data.columns, targets, data.label_separator)
    learned = learn_spellings(seen, asked, split=split_column(table, data.split), whole=len(rows) == len(table))
    for line in learned.said:
        reporter.say(line)
    for line in learned.warned:
        reporter.warn(line)
    return learned.spellings


def _learn(
    seen: Table, rows: np.ndarray, data: DataConfig, source: Source | None, spellings: Spellings | None
) -> InputSpec:
    """What is learned from the train rows, or from some of them where they are in shards."""
    targets = target_names(seen, data.target)
    kinds = recognise_columns(seen, target=targets, split=split_column(seen, data.split), overrides=data.columns)
    return InputSpec.fit(
        seen,
        kinds,
        target=data.target,
        rows=rows,
        options=_spec_options(data, kinds, source),
        allow_outside=data.allow_outside,
        cell_bytes=data.cell_mb << 20,
        kinds_of_targets=data.target_kinds,
        label_separator=data.label_separator,
        spellings=spellings,
    )


def _warn_about(
    table: TableLike,
    seen: Table,
    rows: np.ndarray,
    spec: InputSpec,
    splits: Splits,
    data: DataConfig,
    suspects: Sequence[Suspect],
    reporter: Reporter,
) -> None:
    """Tells what is doubtful about columns, classes and labels."""
    warn_about_columns(seen, spec, rows, data, suspects, reporter)
    for text in coverage_warnings(table, spec, splits, data.label_separator):
        reporter.warn(text)


def _spec_options(data: DataConfig, kinds: dict[str, Any], source: Source | None) -> SpecOptions:
    """How columns are cut into tokens: as asked for, and as the model to start from had it."""
    if source is not None and source.spec is not None:
        return adopt(data, source.spec, kinds)
    if source is not None and isinstance(source.model, PublishedPerceiver):
        return adopt_rates(data, source.model)
    return data


def _augmented(config: FitConfig, train_rows: int) -> tuple[FitConfig, list[str]]:
    """The configuration without random changes where there are rows enough, and what to say then."""
    augment = config.augment
    if not augment.enabled or augment.most_rows is None or train_rows < augment.most_rows:
        return config, []
    said = f"no random changes: {train_rows:,} train rows are many already (augment.most_rows)"
    return dataclasses.replace(config, augment=dataclasses.replace(augment, enabled=False)), [said]


def _check_task_weights(spec: InputSpec, weights: Mapping[str, Any]) -> None:
    known = tuple(target.name for target in spec.targets)
    for name, weight in weights.items():
        _checks.choice("a target of task_weights", name, known)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise ValueError(f"task_weights[{name!r}] must be a number of 0 or more, got {weight!r}")
    if weights and not any(weights.get(name, 1.0) for name in known):
        raise ValueError("task_weights are all 0; there is nothing to learn")


def _check_table(run: TableRun, now: dict[str, Any], config: FitConfig) -> None:
    """Raises a `ValueError` if the table has changed since the run began: other rows lead to other weights."""
    if not run.spec_file.is_file() or not run.table_file.is_file():  # nothing was learned, or by an early version
        return
    before = run.table()
    with fitting(run.table_file, "the fingerprint of a table"):
        found = differences(before, now)
    if found:
        raise ValueError(
            f"{config.data.table} has changed since {run.path} began: {'; '.join(found)}. Resuming would give "
            "another model; restore the table, or start a new run in another folder"
        )


def _describe(spec: InputSpec, splits: Splits) -> list[str]:
    """What was recognised, a line per modality."""
    lines = [f"{target.name}: {target.note()}" for target in spec.targets]
    for name, kind, columns, shape, note in spec.describe(most=8):
        lines.append(f"  {name}: {kind}, {shape} ({note})" + (f" of {columns}" if columns != name else ""))
    if spec.unused:
        lines.append(f"  not used: {listed(spec.unused)}")
    lines.append(f"rows: {len(splits.train):,} train, {len(splits.val):,} validation, {len(splits.test):,} test")
    return lines


def _datasets(table: TableLike, splits: Splits, spec: InputSpec, config: FitConfig) -> dict[str, TableDataset]:
    """One data set per split that has rows."""
    return {
        name: make_dataset(table, rows, spec, config.data, workers=config.training.num_workers)
        for name, rows in (("train", splits.train), ("val", splits.val), ("test", splits.test))
        if len(rows)
    }
