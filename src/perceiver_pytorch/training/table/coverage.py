"""Which classes and labels the rows of each split have: a score says nothing about those that it never met."""

from collections import Counter

import numpy as np

from perceiver_pytorch.data import InputSpec, Predictions, Splits, TableLike
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.targets.target_columns import groups

_SHOWN = 5
_FEW = 10
_SHARE = 0.1

NAMES = {"train": "train", "val": "validation", "test": "test"}


def coverage_warnings(table: TableLike, spec: InputSpec, splits: Splits, separator: str | None) -> list[str]:
    """A sentence for each target and split that lacks classes or labels, and for those that are hardly there at all.

    Args:
        table: the table.
        spec: with the targets.
        splits: which rows are where.
        separator: what stands between the labels of a text; None: what is recognised.
    """
    parts = {name: rows for name in NAMES if len(rows := getattr(splits, name))}
    kinds = {target.name: target.kind for target in spec.targets}
    found = groups(table, kinds, np.concatenate([*parts.values()]), separator)
    ends = np.cumsum([len(rows) for rows in parts.values()])
    counts = {
        name: Counter(group for row in found[end - len(rows) : end] for group in row)
        for (name, rows), end in zip(parts.items(), ends, strict=True)
    }
    return [text for target in spec.targets for text in _warnings(target.name, target.plural, counts)]


def absence_warnings(predictions: Predictions) -> list[str]:
    """A sentence for each target with classes or labels that none of the rows measured on has."""
    texts = []
    for target in predictions.targets:
        encoded = predictions.encoded[target.name]
        encoded = encoded[target.known(encoded)]
        if len(encoded) and (names := target.absent(encoded)):
            lack = f"{len(names):,} of the {target.plural}: {listed([repr(name) for name in names], _SHOWN)}"
            texts.append(f"{target.name}: the rows lack {lack}; the scores say nothing about them")
    return texts


def _warnings(target: str, plural: str, counts: "dict[str, Counter[tuple[str, str]]]") -> list[str]:
    everywhere = sum(counts.values(), Counter())
    known = {group: count for group, count in everywhere.items() if group[0] == target}
    texts = []
    for split, there in counts.items():
        missing = {group: count for group, count in known.items() if not there[group]}
        if missing:
            so = "the model cannot learn them" if split == "train" else "scores on these rows say nothing about them"
            texts.append(f"{target}: the {NAMES[split]} rows lack {_counted(missing, plural)}; {so}")
    most = min(_FEW, _SHARE * sum(known.values()) / max(1, len(known)))
    few = {group: count for group, count in known.items() if count < most}
    if few:
        texts.append(
            f"{target}: hardly any row has {_counted(few, plural)}; too few to learn them well or to score them surely"
        )
    return texts


def _counted(groups: dict[tuple[str, str], int], plural: str) -> str:
    """``2 of the classes: 'a' (1 row in all), 'b' (3 rows in all)``, the rarest first."""
    rarest = sorted(groups.items(), key=lambda item: (item[1], item[0]))
    shown = [f"{name!r} ({count:,} row{'s' * (count != 1)} in all)" for (_, name), count in rarest[:_SHOWN]]
    more = f" .. and {len(groups) - _SHOWN:,} more" if len(groups) > _SHOWN else ""
    return f"{len(groups):,} of the {plural}: {', '.join(shown)}{more}"
