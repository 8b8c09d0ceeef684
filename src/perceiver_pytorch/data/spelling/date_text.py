"""Dates written as text: the formats that are recognised, and one that somebody gives, read many at a time."""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.values import as_date

if TYPE_CHECKING:
    import pyarrow

_NAMES = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_MONTH_OF = {name[:length]: i for length in (3, 9) for i, name in enumerate(_NAMES, 1)} | {"sept": 9}
_PARTS = {
    "d": "(?P<day>3[01]|[12][0-9]|0?[1-9])",
    "m": "(?P<month>1[0-2]|0?[1-9])",
    "Y": "(?P<year>[0-9]{4})",
    "y": "(?P<short>[0-9]{2})",
    "b": r"(?P<name>[A-Za-z]{3,9})\.?",
    "a": r"[A-Za-z]{2,9}\.?",
    "H": "(?P<hour>2[0-3]|[01]?[0-9])",
    "I": "(?P<half>1[0-2]|0?[1-9])",
    "M": "(?P<minute>[0-5][0-9])",
    "S": "(?P<second>[0-5][0-9](?:[.,][0-9]{1,9})?)",
    "p": r"(?P<noon>[AaPp]\.?[Mm]\.?)",
    "z": "(?P<zone>[zZ]|UTC|GMT|[-+][0-9]{2}:?[0-9]{2})",
}
_SAME = {"B": "b", "A": "a"}
_DAY_FIRST = "%d{0}%m{0}%Y", "%d{0}%m{0}%y"
_MONTH_FIRST = "%m{0}%d{0}%Y", "%m{0}%d{0}%y"
_NAMED = (
    *("%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d. %b %Y", "%d %b, %Y", "%d%b%Y", "%b %d, %Y", "%b %d %Y", "%Y-%b-%d"),
    *("%Y %b %d", "%d-%b-%y", "%d %b %y", "%b %Y", "%b-%Y"),
)
_FORMATS = (
    *(format.format(sign) for sign in "/-. " for format in ("%Y{0}%m{0}%d", _DAY_FIRST[0], _MONTH_FIRST[0])),
    *(format.format(sign) for sign in "/." for format in (_DAY_FIRST[1], _MONTH_FIRST[1])),
    *(f"{weekday}{named}" for weekday in ("", "%a, ", "%a ") for named in _NAMED),
)
_CLOCKS = ("", "%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p")
_TIMES = ("", *(f"{a}{b}{c}" for a, b, c in product((" ", ", ", "T", ":"), _CLOCKS[1:], ("", " %z", "%z"))))
_SECONDS_PER_DAY = 86400


@dataclass(frozen=True)
class DateText:
    """A format of dates.

    Attributes:
        format: as Python's strptime has it, of %d %m %Y %y %b %B %a %A %H %I %M %S %p %z. Zeros in front may be
            missing, %b and %B are English names of either length, %S takes a fraction, too.

    Raises:
        ValueError: another directive, one that comes twice, or no year.
    """

    format: str

    what: ClassVar[str] = "dates"
    iso: ClassVar[str] = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}($|\s|T)"

    def __post_init__(self) -> None:
        self._regex  # noqa: B018 (checks the format)

    @cached_property
    def pattern(self) -> str:
        """A regular expression with a group for each part."""
        found, parts = "", re.split(r"(%.|\s+)", self.format, flags=re.DOTALL)
        for part in parts:
            key = _SAME.get(part[1:], part[1:])
            if part.startswith("%") and part != "%%":
                if key not in _PARTS:
                    raise ValueError(f"it has {part!r}; it must be made of {', '.join('%' + name for name in _PARTS)}")
                found += _PARTS[key]
            else:
                found += " +" if part.isspace() else re.escape(part.replace("%%", "%"))
        return found

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        try:
            regex = re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"a directive comes twice ({error})") from None
        if not regex.groupindex.keys() & {"year", "short"}:
            raise ValueError("it has no year (%Y or %y)")
        if "day" in regex.groupindex and not regex.groupindex.keys() & {"month", "name"}:
            raise ValueError("it has a day without a month (%m or %b)")
        return regex

    @property
    def timed(self) -> bool:
        """Whether it has a time of day."""
        return bool(self._regex.groupindex.keys() & {"hour", "half"})

    @property
    def other_order(self) -> "DateText | None":
        """The format with day and month in each other's place, where both are numbers that lie side by side."""
        both = re.match(r"%([dm])([/. -])%([dm])\2%[Yy]", self.format)
        return both and DateText(f"%{both[3]}{both[2]}%{both[1]}{self.format[5:]}")

    def read(self, texts: "pyarrow.StringArray") -> "tuple[np.ndarray, np.ndarray]":
        """Each text as datetime64[us], in UTC where it has a zone, and whether it is a date of this format.

        Args:
            texts: different texts, none of them missing.
        """
        compute = need("pyarrow.compute", "read tables")
        given = compute.extract_regex(compute.utf8_trim_whitespace(texts), f"^{self.pattern}$")
        fits = given.is_valid().to_numpy(zero_copy_only=False).copy()
        dates = np.zeros(len(texts), dtype="datetime64[us]")
        if fits.any():
            parts = {name: given.filter(given.is_valid()).field(name) for name in self._regex.groupindex}
            values, real = _dates(parts)
            places = np.flatnonzero(fits)
            dates[places], fits[places] = values, real
        return dates, fits

    def as_it_is(self, texts: "pyarrow.StringArray") -> bool:
        """Whether ISO 8601 writes the same."""
        compute = need("pyarrow.compute", "read tables")
        return bool(self.read(texts)[1].all() and compute.all(compute.match_substring_regex(texts, self.iso)).as_py())

    def plain(self, text: str) -> datetime.datetime | None:
        """A text as ISO 8601 has it; a `ValueError` if it is no date then."""
        return as_date(text)

    def tells(self, text: str) -> int:
        """How much a text shows of the way it is written: whether it would be no date if it were the other one."""
        return self.other_order is not None and not self.other_order._regex.fullmatch(text.strip())

    def shown(self, texts: "pyarrow.StringArray") -> str:
        """How the one text is read, for people."""
        date = self.read(texts)[0][0].astype("datetime64[s]" if self.timed else "datetime64[D]")
        return f"{str(date).replace('T', ' ')} ({self.format})"

    def __str__(self) -> str:
        return self.format


def _dates(parts: "dict[str, pyarrow.StringArray]") -> "tuple[np.ndarray, np.ndarray]":
    """Dates of their parts as text, and which of them there are: there is no 31 February."""
    years = _numbers(parts["year"]) if "year" in parts else _numbers(parts["short"])
    if "short" in parts:
        years = years + np.where(years < 69, 2000, 1900)  # as POSIX has it
    months = (
        _numbers(parts["month"]) if "month" in parts else _months(parts["name"]) if "name" in parts else years * 0 + 1
    )
    first = ((years - 1970) * 12 + np.maximum(months, 1) - 1).astype("datetime64[M]")
    days = _numbers(parts["day"]) if "day" in parts else years * 0 + 1
    length = ((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
    real = (days <= length) & (months > 0) & (years > 0)
    dates = first.astype("datetime64[D]") + (days - 1).astype("timedelta64[D]")
    return dates.astype("datetime64[us]") + _times(parts).astype("timedelta64[us]"), real


def _times(parts: "dict[str, pyarrow.StringArray]") -> "np.ndarray":
    """Microseconds of the day, in UTC where there is a zone."""
    compute = need("pyarrow.compute", "read tables")
    zero = np.zeros(len(next(iter(parts.values()))), dtype=np.int64)
    hours = _numbers(parts["hour"]) if "hour" in parts else zero
    if "half" in parts:
        hours = _numbers(parts["half"])
    if "half" in parts and "noon" in parts:
        late = compute.starts_with(compute.ascii_lower(parts["noon"]), "p").to_numpy(zero_copy_only=False)
        hours = hours % 12 + 12 * late
    minutes = _numbers(parts["minute"]) if "minute" in parts else zero
    minutes = hours * 60 + minutes - (_offsets(parts["zone"]) if "zone" in parts else 0)
    seconds = 0.0
    if "second" in parts:
        seconds = compute.replace_substring(parts["second"], ",", ".").cast("float64").to_numpy(zero_copy_only=False)
    return minutes * 60_000_000 + np.rint(seconds * 1e6).astype(np.int64)


def _offsets(zones: Any) -> "np.ndarray":
    """Minutes before UTC of zones."""
    known = {zone: _offset(zone) for zone in zones.unique().to_pylist()}
    return np.array([known[zone] for zone in zones.to_pylist()])


def _offset(zone: str) -> int:
    if zone[0] not in "+-":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return -minutes if zone[0] == "-" else minutes


def _months(names: Any) -> "np.ndarray":
    """Numbers of months by their names, 0 of others."""
    compute = need("pyarrow.compute", "read tables")
    names = compute.ascii_lower(names)
    known = {name: _MONTH_OF.get(name, 0) for name in names.unique().to_pylist()}
    return np.array([known[name] for name in names.to_pylist()], dtype=np.int64)


def _numbers(texts: Any) -> "np.ndarray":
    return texts.cast("int64").to_numpy(zero_copy_only=False)


def possible_formats(texts: Iterable[str]) -> list[DateText]:
    """The formats that one of some texts may have."""
    found: dict[str, None] = {}
    for text in map(str.strip, texts):
        for format in _FORMATS if len(text) <= 64 and any(map(str.isdigit, text)) else ():
            start = _compiled(format).match(text)
            rest = text[start.end() :] if start else None
            found |= {format + time: None for time in _TIMES if rest is not None and _compiled(time).fullmatch(rest)}
    return [DateText(format) for format in found]


@lru_cache(maxsize=512)
def _compiled(format: str) -> re.Pattern[str]:
    return re.compile("".join(_PARTS[p[1:]] if p[:1] == "%" else re.escape(p) for p in re.split("(%.)", format)))
