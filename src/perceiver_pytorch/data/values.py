"""What a cell's value means: missing or not, as a label, as a number."""

import contextlib
import datetime
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, TypeVar

T = TypeVar("T")

# How number columns that were read as text spell a missing value.
_MISSING_NUMBERS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "?"})
_SECONDS_PER_DAY = 86400.0
_MAX_SECONDS = 253402300799.0  # 9999-12-31T23:59:59
_EPOCH = datetime.datetime(1970, 1, 1)


def is_missing(value: Any) -> bool:
    """None, NaN, or a text or file of no length."""
    if isinstance(value, str | bytes):
        return not value
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_infinite(value: Any) -> bool:
    """An infinite number, or a text that spells one."""
    try:
        return math.isinf(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def readable(cells: Iterable[Any], read: Callable[[Any], T | None]) -> list[T]:
    """What can be read of the cells; the others are reported with their rows when those are decoded."""
    found = []
    for cell in cells:
        with contextlib.suppress(ValueError):
            value = read(cell)
            found += [] if value is None else [value]
    return found


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
            raise ValueError(f"must be a number, got {value[:40]!r}") from None
    elif isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        number = _days(value)
    elif value is None:
        return None
    else:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"must be a number, got a value of type {type(value).__name__}") from None
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise ValueError(f"must be a finite number, got {value!r}")
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


def as_date(value: Any) -> datetime.datetime | None:
    """A date cell in UTC, without a zone; None where it is missing.

    Args:
        value: a date, a date and time, an ISO 8601 string (`2020-01-31`, `2020-01-31T12:00:00Z`, `2020-01`), or a
            number: seconds since 1970-01-01, or milli-, micro- or nanoseconds where it is too large for seconds.

    Raises:
        ValueError: it is none of these, or outside the years 1 to 9999. The message says so without the place.
    """
    if is_missing(value) or (isinstance(value, str) and value.strip().lower() in _MISSING_NUMBERS):
        return None
    try:
        if isinstance(value, str):
            value = _iso_date(value.strip())
        if isinstance(value, datetime.datetime):
            return value.astimezone(datetime.timezone.utc).replace(tzinfo=None) if value.tzinfo else value
        if isinstance(value, datetime.date):
            return datetime.datetime(value.year, value.month, value.day)
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            seconds = float(value)
            for _ in ("milli", "micro", "nano"):
                seconds /= 1000 if abs(seconds) > _MAX_SECONDS else 1
            return _EPOCH + datetime.timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"must be a date (as 2020-01-31 or 2020-01-31T12:00:00), got {str(value)[:40]!r}")


def as_seconds(value: Any) -> float:
    """A time stamp as seconds: a number as it is, a date since 1970-01-01.

    Raises:
        ValueError: it is neither, missing or not finite. The message says so without the place.
    """
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, datetime.timedelta):
        seconds = value.total_seconds()
    else:
        date = as_date(value)
        seconds = math.nan if date is None else (date - _EPOCH).total_seconds()
    if not math.isfinite(seconds):
        raise ValueError(f"must be a time stamp (seconds or a date), got {value!r}")
    return seconds


def _iso_date(text: str) -> datetime.datetime:
    if re.fullmatch(r"\d{4}-\d{2}", text):
        text += "-01"
    text = re.sub(r"[zZ]$", "+00:00", text)
    # Python 3.10 reads three or six digits of a second's fraction only.
    text = re.sub(r"\.(\d{1,9})(?=$|[+-])", lambda match: "." + match.group(1)[:6].ljust(6, "0"), text)
    return datetime.datetime.fromisoformat(text)
