"""Sentences about a run's data and result, for its report."""

from perceiver_pytorch.data import InputSpec, ShardedTable, TableDataset, TableLike
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.loading import Waiting
from perceiver_pytorch.training.run.planning import Plan
from perceiver_pytorch.training.table.settings import FitConfig

_SHOWN = 5  # columns that a sentence names


def reading_notes(table: TableLike, datasets: dict[str, TableDataset]) -> list[str]:
    """How a table that is too large for memory was read."""
    notes = []
    if isinstance(table, ShardedTable):
        notes.append(
            f"The rows stay in {len(table.shards):,} shards. Column statistics come from a sample of the rows, "
            "spread over the shards, with at least one row of each class. "
            f"Rows are mixed within {table.window:,} at a time."
        )
    late = [name for name, dataset in datasets.items() if not dataset.prepared]
    if late:
        notes.append(f"The {', '.join(late)} rows are decoded when they are needed, so bad rows are found only then.")
    return notes


def long_cell_notes(spec: InputSpec, config: FitConfig) -> list[str]:
    """What it costs to read cells that are too long for memory, a sentence per modality that has any."""
    depth = config.model.depth or 1
    notes = []
    for modality in spec.modalities:
        if modality.held_axes == modality.axes:
            continue
        held = modality.seconds * modality.held_axes[0] / modality.axes[0]
        readings = depth + bool(config.training.head_weight and modality.stem_config)
        only = "".join(f" --set data.{name}={value:g}" for name, value in modality.in_memory().items())
        notes.append(
            f"cells of {modality.name!r} of {held:,.3g} to {modality.seconds:,.1f} s are decoded piece by piece: "
            f"{_times(readings)} for an answer, {_times(2 * readings)} for a training step;{only} reads their "
            "beginning alone"
        )
    return notes


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def written_notes(spec: InputSpec) -> list[str]:
    """How the cells of columns are written that are not read as they are."""
    columns = () if spec.spellings is None else spec.spellings.columns
    written = [f"{one.column} as {one.number or one.date}" for one in columns if one.number or one.date]
    return [f"Numbers and dates are read as they are written: {listed(written)}."] if written else []


def change_notes(datasets: dict[str, TableDataset]) -> list[str]:
    """What was done to cells to make them fit, and loses nothing; a sentence per change, for all columns and splits."""
    changed: dict[str, dict[str, dict[str, int]]] = {}
    for split, dataset in datasets.items():
        for count in dataset.losses.counts(harmless=True):
            changed.setdefault(count.text, {}).setdefault(split, {})[count.column] = count.rows
    return [_change_note(text, splits, datasets) for text, splits in changed.items()]


def _change_note(text: str, splits: dict[str, dict[str, int]], datasets: dict[str, TableDataset]) -> str:
    """The sentence for one change, of {split: {column: rows}}."""
    columns = sorted({column for rows in splits.values() for column in rows})
    of = [f"{max(rows.values()):,} of {datasets[split].losses.rows:,} {split}" for split, rows in splits.items()]
    alike = all(len({*rows.values()}) == 1 and len(rows) == len(columns) for rows in splits.values())
    named = listed([repr(column) for column in columns], _SHOWN)
    return f"{'' if alike else 'up to '}{', '.join(of)} rows: cells of {named} {text}."


def loss_lines(datasets: dict[str, TableDataset]) -> list[str]:
    """What cells lost, as far as their rows were met; a sentence per split, column and loss."""
    return [line for name, dataset in datasets.items() for line in dataset.losses.lines(name)]


def waiting_note(waiting: Waiting, dataset: TableDataset) -> str:
    """How long training waited for its rows."""
    where = "kept decoded in memory" if dataset.prepared else "decoded when they were needed"
    return (
        f"Training waited for data in {waiting.share:.1%} of its {waiting.seconds:,.0f} s; rows were {where}"
        f"{'' if dataset.prepared else ', see --workers'}."
    )


def result_notes(split: str, stopped: str | None, plan: Plan | None = None, unchosen: int | None = None) -> list[str]:
    """What to know before trusting the result; ``unchosen``: validation rows, if they were too few to choose by."""
    notes = []
    if split == "validation":
        notes.append(
            "The table has no test rows, so the result is for the validation rows, by which the model was chosen: "
            "it is optimistic."
        )
    if unchosen is not None:
        notes.append(f"With {unchosen} validation rows no step is chosen: the model is that of the last step.")
    if stopped:
        notes.append(f"Training stopped before its end: {stopped}.")
    if plan is not None and plan.shorter:
        notes.append(
            f"The time limit of {plan.limit:g} s left time for {plan.steps:,} of {plan.whole:,} steps; the learning "
            "rate ended with them."
        )
    return notes
