"""What a cell's value means: missing or not, as a label, as a number."""

import datetime
import math
from decimal import Decimal
from typing import Any

# How number columns that were read as text spell a missing value.
_MISSING_NUMBERS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "?"})
_SECONDS_PER_DAY = 86400.0


def is_missing(value: Any) -> bool:
    """None, NaN, or a text or file of no length."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or value in ("", b"")


def as_label(value: Any) -> str:
    """The string form of a class or category: `true`/`false`, whole numbers without a decimal point, else `str`.

    So the same class has the same name in a CSV file (1), and where a gap turned the column into floats (1.0).
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def as_number(value: Any) -> float | None:
    """A number cell as a float, None where it is missing.

    Dates are days since 1970-01-01 (UTC where they name no zone); durations and times of day are days, too.

    Raises:
        ValueError: it is not a number, or infinite. The message says so without the place.
    """
    if isinstance(value, str):
        if value.strip().lower() in _MISSING_NUMBERS:
            return None
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"a number was expected, got {value[:40]!r}") from None
    elif isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        number = _days(value)
    elif value is None:
        return None
    else:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"a number was expected, got a value of type {type(value).__name__}") from None
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise ValueError(f"a finite number was expected, got {value!r}")
    return number


def _days(value: datetime.date | datetime.time | datetime.timedelta) -> float:
    if isinstance(value, datetime.timedelta):
        return value.total_seconds() / _SECONDS_PER_DAY
    if isinstance(value, datetime.time):
        return (value.hour * 3600 + value.minute * 60 + value.second + value.microsecond * 1e-6) / _SECONDS_PER_DAY
    if isinstance(value, datetime.datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        return zoned.timestamp() / _SECONDS_PER_DAY
    return float(value.toordinal() - datetime.date(1970, 1, 1).toordinal())
