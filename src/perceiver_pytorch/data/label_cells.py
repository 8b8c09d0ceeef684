"""Cells that hold several labels at once: lists, JSON lists, or text with a separator."""

import ast
import json
from collections.abc import Iterable, Sequence
from typing import Any

from perceiver_pytorch.data.values import as_label, is_missing

SEPARATORS = ("|", ";", ",")
"""Separators looked for, in this order."""

_SOME = 0.02  # a separator stands in at least this share of the cells that have a value
_LONGEST = 60  # characters of a label; a longer part is prose
_MAX_LITERAL = 100_000  # characters of a list written as text


def labels_of(value: Any, separator: str | None) -> tuple[str, ...] | None:
    """The labels of a cell, each once, in its order; None where the cell is missing. An empty list has none.

    Args:
        value: a list, a list written as JSON or as Python does, or text.
        separator: what stands between the labels of a text; None: a text is a label.

    Raises:
        ValueError: a list written as text cannot be read, or holds more than plain values.
    """
    if not isinstance(value, list | tuple) and is_missing(value):
        return None
    if isinstance(value, str) and is_list_text(value):
        value = _literal(value.strip())
    if not isinstance(value, list | tuple):
        text = as_label(value)
        value = text.split(separator) if separator else [text]
    if any(isinstance(part, list | tuple | dict) for part in value):
        raise ValueError(f"must be a list of labels, got {str(value)[:60]!r}")
    parts = [as_label(part).strip() for part in value if not is_missing(part)]
    return tuple(dict.fromkeys(part for part in parts if part))


def is_list_text(value: Any) -> bool:
    """Whether a cell is a list written as text: ``["a", "b"]``."""
    return isinstance(value, str) and value.strip().startswith("[") and value.strip().endswith("]")


def find_separator(cells: Iterable[Any]) -> str | None:
    """The separator of cells that hold several labels each, or None where each holds one value.

    A separator counts where its parts are short and come back in other combinations: fewer different parts than
    different cells. "Portland, OR" and "Salem, OR" have as many, and stay as they are.
    """
    texts = [cell for cell in cells if isinstance(cell, str) and cell]
    return next((separator for separator in SEPARATORS if _separates(separator, texts)), None)


def _separates(separator: str, texts: Sequence[str]) -> bool:
    if sum(separator in text for text in texts) < max(1, _SOME * len(texts)):
        return False
    distinct = set(texts)
    parts = {part.strip() for text in distinct for part in text.split(separator)}
    return len(parts) < len(distinct) and max(map(len, parts)) <= _LONGEST


def _literal(text: str) -> list[Any]:
    """A list in JSON, or as Python prints one (which is how pandas writes lists into CSV files)."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _python_list(text)
    if not isinstance(value, list):
        raise ValueError(f"must be a list of labels, got {text[:60]!r}")
    return value


def _python_list(text: str) -> Any:
    # literal_eval runs nothing; flat lists alone are let in, since deep nesting would exhaust its stack.
    if len(text) <= _MAX_LITERAL and not set("({") & set(text) and text.count("[") == 1:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
    raise ValueError(f"must be a list of labels, got {text[:60]!r}")
