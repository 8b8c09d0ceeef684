"""The one error of the data modules, and the message for a library that is not installed."""

import importlib
from collections.abc import Sequence
from types import ModuleType

from perceiver_pytorch._checks import did_you_mean


class DataError(ValueError):
    """A table, or one of its cells, is not as expected.

    Args:
        message: what is wrong and where, what was expected and given, and the remedy if there is one.
        row: the row of the table (counted from 0, without the header), where one row is to blame.
        column: the column, where one column is to blame.
        reason: the message without its place, for a list of bad rows; the message itself by default.
    """

    def __init__(self, message: str, *, row: int | None = None, column: str | None = None, reason: str | None = None):
        super().__init__(message)
        self.row = row
        self.column = column
        self.reason = message if reason is None else reason


def need(module: str, purpose: str, *, extra: str = "data") -> ModuleType:
    """Import an optional library, or raise an `ImportError` that names the extra to install.

    Args:
        module: the library's import name, e.g. `"pyarrow.csv"`.
        purpose: what it is needed for, as it reads after "to", e.g. `"read tables"`.
        extra: the extra of this package that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = f'pip install "perceiver-multi-modality-pytorch[{extra}]"'
        raise ImportError(f"{module} is needed to {purpose} and could not be imported ({error}): {remedy}") from error


def near_column(name: str, known: Sequence[str]) -> str:
    """Words for the end of a message about a column that is not there: the columns that its objects became, or the one
    that its name resembles."""
    parts = [other for other in known if other.startswith(f"{name}.")]
    if parts:
        return f" (the values of its objects are columns of their own: {listed(parts, 5)})"
    return did_you_mean(name, known)


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names for a message, as many as one reads: `a, b, c` or `a, b .. and 998 more`; one without a name says so."""
    shown = [name or "(unnamed)" for name in names[:most]]
    return ", ".join(shown) + (f" .. and {len(names) - most:,} more" if len(names) > most else "")
