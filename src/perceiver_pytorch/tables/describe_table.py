"""What a table holds: its rows, the kinds of its columns, and how it would be divided."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch.data import Table, TableLike, Target, load_table, recognise_columns, split_column
from perceiver_pytorch.data.splits import SPLIT_NAMES
from perceiver_pytorch.data.targets.target_columns import fit_targets, target_kinds, target_names
from perceiver_pytorch.data.values import as_label, is_missing
from perceiver_pytorch.tables.description import Facts
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.command import fit_command
from perceiver_pytorch.training.table.datasets import read_options
from perceiver_pytorch.training.table.prepare import divided, learned_spellings
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.training.table.suspects import find_suspects

MOST_LOOKED_AT = 20_000
"""Rows of a table that its cells are counted in."""
_LONGEST = 40  # characters of an example
_CLASSES = 20  # that are told with their numbers of rows


def describe_table(config: FitConfig) -> Facts:
    """The facts of a table.

    Args:
        config: which table, how it is read, and its targets; without targets what depends on them is left out.

    Raises:
        DataError: for a table that cannot be read.
    """
    data, notes = config.data, list[str]()
    reporter = Reporter(lambda text: None, notes.append)
    table = load_table(data.table, read_options(data))
    notes += table.notes
    table = table.spelled(learned_spellings(table, data, reporter))
    split = split_column(table, data.split)
    seen, rows = table.sample(np.arange(len(table)), ())
    kinds = recognise_columns(seen, target=data.target or None, split=split, overrides=data.columns)
    if len(rows) > MOST_LOOKED_AT:
        rows = rows[np.linspace(0, len(rows) - 1, MOST_LOOKED_AT).astype(np.int64)]
    path = Path(data.table)
    facts: Facts = {
        "what": "table",
        "source": table.source,
        "bytes": path.stat().st_size if path.is_file() else None,
        "rows": len(table),
        "looked_at": None if len(rows) == len(table) else f"{len(rows):,} rows, evenly spread",
        "columns": [_column(seen, name, kinds.get(name, _role(name, split)), rows) for name in seen.column_names],
    }
    if data.target:
        facts |= _with_targets(table, config, kinds)
    else:
        facts |= {"splits": _named_splits(table, split), "next": f"perceiver info {data.table} --target COLUMN"}
    return facts | {"notes": notes}


def _role(name: str, split: str | None) -> str:
    return "split" if name == split else "target"


def _column(table: Table, name: str, kind: str, rows: np.ndarray) -> Facts:
    """What one column holds, as far as some of its rows tell."""
    cells = table.take(name, rows)
    known = [cell for cell in cells if not is_missing(cell)]
    plain = [cell for cell in known if not isinstance(cell, dict | list | bytes)]
    distinct = len({*map(as_label, plain)}) if len(plain) == len(known) else None
    return {
        "column": name,
        "kind": kind,
        "missing": len(cells) - len(known),
        "different": distinct,
        "example": _example(known[0]) if known else None,
    }


def _example(cell: Any) -> str:
    if isinstance(cell, bytes):
        return f"{len(cell):,} bytes"
    if isinstance(cell, dict):
        return f"{{{', '.join(cell)}}}"[:_LONGEST]
    text = " ".join(str(cell).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _named_splits(table: TableLike, split: str | None) -> Facts:
    """Rows of each split that a column names."""
    if split is None:
        return {}
    rows = np.arange(len(table))
    names = (SPLIT_NAMES.get(str(cells[split]).strip().lower(), "other") for _, cells in table.iterate(rows, [split]))
    return dict(Counter(names))


def _with_targets(table: TableLike, config: FitConfig, kinds: dict[str, str]) -> Facts:
    """What depends on the targets: their kinds and classes, the splits as `fit` draws them, suspected columns."""
    data = config.data
    names = target_names(table, data.target)
    splits = divided(table, config)
    known, rows = table.sample(splits.train, names)
    targets = fit_targets(
        known,
        target_kinds(known, data.target, data.target_kinds, data.label_separator),
        rows,
        separator=data.label_separator,
    )
    suspects = find_suspects(known, kinds, targets, rows)
    return {
        "targets": [{"column": t.name, "kind": t.kind, "what": t.note(), "train_rows": _counts(t)} for t in targets],
        "splits": {name: len(getattr(splits, name)) for name in ("train", "val", "test")},
        "doubtful": [f"{each.says}: {each.option}" for each in suspects],
        "next": fit_command(config, command="plan"),
    }


def _counts(target: Target) -> str | None:
    """How many train rows have each class or label, the most common first."""
    pairs = sorted(target.counted().items(), key=lambda pair: -pair[1])
    more = f", … {len(pairs) - _CLASSES} more" if len(pairs) > _CLASSES else ""
    return ", ".join(f"{name}: {count:,}" for name, count in pairs[:_CLASSES]) + more if pairs else None
