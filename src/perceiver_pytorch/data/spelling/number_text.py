"""Numbers written as text: thousands that are parted, decimals after a comma, units, and other signs for minus."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.values import as_number

if TYPE_CHECKING:
    import pyarrow

DECIMALS = (".", ",")
THOUSANDS = (",", ".", " ", "'")
PER = frozenset("%‰")  # a number without such a sign would mean something else
_CODES = (
    "USD|EUR|GBP|JPY|CNY|INR|CHF|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|BGN|TRY|RUB|UAH|BRL|MXN|ARS|CLP|COP|ZAR|KRW|"
    "SGD|HKD|TWD|THB|IDR|MYR|PHP|VND|ILS|AED|SAR|EGP|NGN|KES|PKR|BDT"
)
_SIGNS = r"[%‰]|(?:US|NZ|HK|A|C|R|S)?\$|[€£¥₹₽₩₺₪฿₫₴₦]|Rs\.?|kr\.?|zł|Kč|Ft|Fr\."
_UNITS = f"{_SIGNS}|{_CODES}"
_LOOSE = re.compile(
    rf"[-+(\s]*(?P<before>{_UNITS})?[-+\s]*\d?[\d.,' ]*\d\.?(e[+-]?\d+)?\s*(?P<after>{_UNITS})?\)?", re.I
)
# Typographic signs, and the plain ones that they stand for.
_PLAIN = (("[\u2212\u2013\ufe63\uff0d]", "-"), ("[\u00a0\u2007\u2009\u202f]", " "), ("\u2019", "'"))


@dataclass(frozen=True)
class NumberText:
    """One way to write numbers.

    Attributes:
        decimal: what stands before the decimals: "." or ",".
        thousands: what parts thousands: ",", ".", "'", a space, or nothing. Numbers may do without it.
        unit: what stands before or behind the numbers and is left out; a percent sign must be there.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""

    what: ClassVar[str] = "numbers"

    def read(self, texts: "pyarrow.StringArray") -> "tuple[pyarrow.StringArray, np.ndarray]":
        """Each text as Python writes the number, and (bool) whether it is a number written in this way.

        Args:
            texts: different texts, none of them missing.
        """
        compute = need("pyarrow.compute", "read tables")
        plain = simple(texts)
        there = compute.match_substring(plain, self.unit) if self.unit else None
        if self.unit:
            unit = re.escape(self.unit)
            for pattern, rest in ((rf"^([-+(]*)\s*{unit}\s*", r"\1"), (rf"\s*{unit}(\)?)$", r"\1")):
                plain = compute.replace_substring_regex(plain, pattern, rest, max_replacements=1)
        plain = compute.replace_substring_regex(plain, r"^\((.*)\)$", r"-\1")  # as accountants write it
        fits = compute.match_substring_regex(plain, self._pattern)
        if self.thousands:
            plain = compute.replace_substring(plain, self.thousands, "")
        if self.decimal != ".":
            plain = compute.replace_substring(plain, self.decimal, ".")
        if self.unit in PER:
            fits = compute.and_(fits, compute.or_(there, compute.match_substring_regex(plain, r"^[-+0.]*$")))
        return plain, fits.to_numpy(zero_copy_only=False)

    def as_it_is(self, texts: "pyarrow.StringArray") -> bool:
        """Whether Python writes the same."""
        compute = need("pyarrow.compute", "read tables")
        plain, fits = self.read(texts)
        return bool(fits.all()) and compute.all(compute.equal(plain, compute.utf8_trim_whitespace(texts))).as_py()

    def plain(self, text: str) -> float | None:
        """A text as Python reads it; a `ValueError` if it is no number then, or might be another one."""
        if self != NumberText():
            raise ValueError(f"must be written as {self}, got {text!r}")
        return as_number(text)

    def tells(self, text: str) -> int:
        """How much a text shows of the way it is written."""
        return len(text)

    def shown(self, texts: "pyarrow.StringArray") -> str:
        """How the one text is read, for people."""
        return str(self.read(texts)[0][0])

    @property
    def _pattern(self) -> str:
        point, parted = re.escape(self.decimal), re.escape(self.thousands)
        whole = "[0-9]+"
        if parted:
            indian = rf"|[1-9][0-9]?(?:{parted}[0-9]{{2}})+{parted}[0-9]{{3}}" if self.thousands == "," else ""
            whole = rf"(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{parted}[0-9]{{3}})+{indian})"
        return rf"^[-+]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][-+]?[0-9]+)?$"

    def __str__(self) -> str:
        """How it writes a number."""
        number = f"1{self.thousands}234{self.decimal}5"
        return f"{number}{self.unit}" if self.unit in PER else f"{self.unit}{number}"


def simple(texts: "pyarrow.StringArray") -> "pyarrow.StringArray":
    """Texts without spaces at their ends, and with plain signs for typographic ones."""
    compute = need("pyarrow.compute", "read tables")
    texts = compute.utf8_trim_whitespace(texts)
    if compute.all(compute.string_is_ascii(texts)).as_py() is False:
        for pattern, sign in _PLAIN:
            texts = compute.replace_substring_regex(texts, pattern, sign)
    return texts


def units(texts: Iterable[str]) -> tuple[int, Counter[str]]:
    """How many of some texts may be numbers, in whatever way they are written, and their units ("" for none)."""
    found: Counter[str] = Counter()
    for text in texts:
        for pattern, sign in _PLAIN:
            text = text if text.isascii() else re.sub(pattern, sign, text)
        match = _LOOSE.fullmatch(text.strip())
        if match:
            found[match["before"] or match["after"] or ""] += 1
    return found.total(), found


def may_be_a_code(texts: "pyarrow.StringArray", number: NumberText) -> bool:
    """Whether numbers in groups may be telephone numbers or other codes: all have as many digits, seven or more."""
    compute = need("pyarrow.compute", "read tables")
    if number.thousands not in (" ", ".") or number.unit:
        return False
    digits = compute.replace_substring(simple(texts), number.thousands, "")
    lengths = compute.unique(compute.utf8_length(digits)).to_pylist()
    return (
        len(texts) > 2 and len(lengths) == 1 and lengths[0] >= 7 and compute.all(compute.utf8_is_digit(digits)).as_py()
    )
