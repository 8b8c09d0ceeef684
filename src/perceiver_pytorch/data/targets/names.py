"""What classes and labels share: names in order, with a number of train rows each."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def sort_names(names: Iterable[str]) -> list[str]:
    """Finite numbers first, by value, then the others as text."""
    return sorted(names, key=_order)


def check_counts(counts: tuple[int, ...], size: int) -> None:
    """Raises a ValueError unless there is one count per name."""
    if len(counts) != size or min(counts) < 0:
        raise ValueError(f"counts must hold one count per name, {size} in all, got {counts}")


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ in spaces or capitals alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(" ".join(name.casefold().split()), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def look_alike_warnings(column: str, names: Iterable[str], plural: str) -> list[str]:
    """A sentence for each group of `look_alikes`."""
    return [
        f"{column!r} has {', '.join(map(repr, alike))}, which differ in spaces or capitals alone; "
        f"they are learned as different {plural}"
        for alike in look_alikes(names)
    ]


def probability_columns(names: Iterable[str], values: np.ndarray) -> dict[str, Any]:
    """{p_NAME: float32 (rows,)} of probabilities ``(rows, names)``."""
    return {f"p_{name}": np.ascontiguousarray(values[:, i]) for i, name in enumerate(names)}


def set_mark(names: Iterable[str]) -> str:
    """What stands between the names of a set: the first of some marks that no name has in it."""
    every = "\n".join(names)
    return next((mark for mark in ("|", ";", ",", "/", "&") if mark not in every), "||")


def set_columns(names: Sequence[str], there: np.ndarray, mark: str) -> dict[str, Any]:
    """Sets, bool ``(rows, names)``, as texts, and the number of names in each."""
    sets = [mark.join(name for name, has in zip(names, row, strict=True) if has) for row in there.tolist()]
    return {"set": sets, "set_size": there.sum(1)}


def _order(name: str) -> tuple[bool, float, str]:
    try:
        value = float(name)
    except ValueError:
        value = math.nan
    return (False, value, name) if math.isfinite(value) else (True, 0.0, name)
