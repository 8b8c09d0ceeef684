"""``perceiver fit``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from perceiver_pytorch._settings import load_config, read_settings, with_path
from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.arguments import free_folder, pair, remove_if_empty
from perceiver_pytorch.cli.resuming import check_harmless
from perceiver_pytorch.data import KINDS, builtin_names
from perceiver_pytorch.training.run.durations import seconds
from perceiver_pytorch.training.table.settings import PRESETS, FitConfig, preset


def fit(
    table: Annotated[
        str | None,
        typer.Argument(
            help="CSV, TSV, JSON(L) or Parquet file, folder, shards, hf:NAME, or a built-in set: "
            + ", ".join(builtin_names())
        ),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Column to predict. Repeatable, or several with commas: one model for all.")
    ] = None,
    target_kind: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=KIND", help="Kind of a target: class, labels, number; else recognised. Repeatable."),
    ] = None,
    label_separator: Annotated[
        str | None, typer.Option(help="What stands between the labels of a cell, if it is not recognised.")
    ] = None,
    task_weight: Annotated[
        list[str] | None, typer.Option(metavar="NAME=WEIGHT", help="Weight of a target in the loss. Repeatable.")
    ] = None,
    class_weights: Annotated[
        str | None, typer.Option(help="balanced: make up for rare classes and labels; none.")
    ] = None,
    modality_dropout: Annotated[
        float | None,
        typer.Option(help="Share of the rows from which a step takes a modality: it may be missing later."),
    ] = None,
    augment: Annotated[
        bool | None, typer.Option("--augment/--no-augment", help="Change train rows at random (pictures, sounds).")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="CHECKPOINT",
            help="Fine-tune a run, a saved model, or one in transformers' format.",
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(help="With --from: encoder, embeddings, latents, or names as layers.0.*, stay. Repeatable."),
    ] = None,
    lora: Annotated[int | None, typer.Option(metavar="RANK", help="With --from: train LoRA adapters only.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder to write; default: runs/NAME.")] = None,
    preset_name: Annotated[str, typer.Option("--preset", help=f"Size: {', '.join(PRESETS)}.")] = "tiny",
    config: Annotated[
        Path | None, typer.Option(help="YAML file with any of the settings that `perceiver config` prints.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=KIND", help=f"Kind of a column: {', '.join(KINDS)}. Repeatable."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Column that says train, val or test.")] = None,
    val_fraction: Annotated[
        float | None, typer.Option(help="Share of the train rows to validate on, if none are marked.")
    ] = None,
    on_error: Annotated[str | None, typer.Option(help="For a bad row: raise (stop) or skip (count and list).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the train rows, at most.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw or lamb.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes weights, order and dropout.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, as model.depth=4. Repeatable."),
    ] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Let file paths in cells leave the table's folder.")
    ] = False,
    encoding: Annotated[str | None, typer.Option(help="Of a CSV, TSV or JSONL file, if it is not UTF-8.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between the cells, if it is not the usual one.")] = None,
    stream: Annotated[
        bool | None,
        typer.Option("--stream/--no-stream", help="Leave rows of Parquet files on the disk; default: from a gigabyte."),
    ] = None,
    checkpoint_every: Annotated[
        str | None, typer.Option(help="Save this often within an epoch: 5m, '200 steps' or never.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode; 0: the main one.")] = None,
    time_limit: Annotated[str | None, typer.Option(help="Train no longer than this: 90s, 5m, 1h30m.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="[RUN]",
            help="Go on with a stopped run (default: that of --run), as configured but for --workers and the like.",
        ),
    ] = None,
) -> int:
    """Train on a table: recognises the columns, trains, measures, and writes a report.

    Settings come from the preset, then the --config file, then the options.
    """
    from perceiver_pytorch.training.run.job import INTERRUPTED, Outcome, run_job
    from perceiver_pytorch.training.table.run import TableRun
    from perceiver_pytorch.training.table.task import TableTask

    limit = None if time_limit is None else seconds(time_limit)
    options = {
        "data.table": table,
        "data.target": target[0] if target and len(target) == 1 else target,
        "data.target_kinds": dict(map(pair, target_kind)) if target_kind else None,
        "data.label_separator": label_separator,
        "data.split": split,
        "data.val_fraction": val_fraction,
        "data.on_error": on_error,
        "data.allow_outside": allow_outside or None,
        "training.epochs": epochs,
        "training.batch_size": batch_size,
        "training.lr": lr,
        "training.optimizer": optimizer,
        "training.seed": seed,
        "data.encoding": encoding,
        "data.delimiter": delimiter,
        "data.stream": stream,
        "training.checkpoint_every": checkpoint_every,
        "training.num_workers": workers,
        "training.task_weights": dict(map(_weight, task_weight)) if task_weight else None,
        "training.class_weights": class_weights,
        "augment.enabled": augment,
        "start.checkpoint": from_,
        "start.freeze": freeze or None,
        "start.lora": lora,
        "training.modality_dropout": modality_dropout,
    }
    given = {path: value for path, value in options.items() if value is not None}
    base, folder = preset(preset_name, table), None
    if resume is not None:
        folder = _stopped_run(resume, run)
        base = read_settings(FitConfig, PRESETS[preset_name], base=folder.config())
    if config is not None:
        base = load_config(config, base)
    given |= {f"data.columns.{name}": kind for name, kind in map(pair, column or [])}
    settings = read_settings(FitConfig, _tree(given, map(pair, set_ or []), base), base=base)
    if folder is not None:
        check_harmless(folder.config(), settings, folder.path)
    elif settings.data.table:
        folder = TableRun.create(run or free_folder(settings.data.table))
    else:
        raise ValueError("which table? perceiver fit TABLE --target COLUMN, or perceiver fit digits")
    try:
        outcome = run_job(
            TableTask(settings), folder, resume=resume is not None, time_limit=limit, reporter=console.reporter()
        )
    except KeyboardInterrupt:
        if not folder.config_file.is_file():
            raise
        outcome = Outcome({}, INTERRUPTED)
    finally:
        remove_if_empty(folder.path)
    if outcome.stopped == INTERRUPTED:
        console.say(f"stopped, all is saved; go on with: perceiver fit --resume {folder.path}")
        return 130
    _print_outcome(outcome, folder)
    return 0


def _stopped_run(resume: str, run: Path | None) -> Any:
    """The run folder that --resume names, or --run where it names none."""
    from perceiver_pytorch.training.language.run import LanguageRun
    from perceiver_pytorch.training.table.run import TableRun

    if not resume and run is None:
        raise ValueError("--resume needs the folder of the run to go on with")
    folder = TableRun.open(Path(resume) if resume else run)  # type: ignore[arg-type]
    if LanguageRun.is_at(folder.path):
        raise ValueError(f"{folder.path} is a run of a language model: perceiver language --resume {folder.path}")
    return folder


def _print_outcome(outcome: Any, folder: Any) -> None:
    from perceiver_pytorch.data.targets.scores import metric_lines

    metrics = outcome.metrics
    if outcome.stopped:
        console.say(f"stopped: {outcome.stopped}; go on with: perceiver fit --resume {folder.path}")
    console.say(f"measured on {metrics['split']} rows:")
    for line in metric_lines(folder.spec().targets, metrics):
        console.say(line)
    console.say(f"report: {folder.report_file}")


def _tree(given: dict[str, Any], pairs: Any = (), base: Any = None) -> dict[str, Any]:
    """Nested mappings of dotted paths; ``pairs`` are read as YAML, what is said of columns adds to that of ``base``."""
    import yaml

    tree: dict[str, Any] = {}
    if base is not None:
        options = {column: dict(given) for column, given in base.data.column_options.items()}
        tree = {"data": {"columns": dict(base.data.columns), "column_options": options}}
    for path, text in pairs:
        with_path(tree, path, yaml.safe_load(text))
    for path, value in given.items():
        section, _, name = path.partition(".")
        if name.startswith("columns."):  # a column's name may hold dots
            tree.setdefault(section, {}).setdefault("columns", {})[name.removeprefix("columns.")] = value
        else:
            with_path(tree, path, value)
    return tree


def _weight(text: str) -> tuple[str, float]:
    name, value = pair(text)
    try:
        return name, float(value)
    except ValueError:
        raise ValueError(f"--task-weight must be NAME=WEIGHT with a number, got {text!r}") from None
