"""Texts as words, and words as parts that are hashed: every word has some that the train rows had, too.

A word that was never seen has character n-grams that were (Bojanowski et al. 2017, arXiv 1607.04606), and two words
beside each other have an id of their own, as the pairs of a linear model (Joulin et al. 2016, arXiv 1607.01759). The
hash is CRC-32 of UTF-8: an id means the same in every process, on every system, in every version.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from perceiver_pytorch._lazy import numpy as np

LONGEST_WORD = 40
"""Characters; a longer run of letters is several words."""

_GRAMS = (3, 4, 5)
# Marks of vowels and tones, which regular expressions do not count as letters.
_MARKS = (
    r"\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0dff\u135d-\u135f"
)
# Scripts without spaces between words: Thai to Tibetan, Burmese, Khmer, kana, Chinese characters.
_UNSPACED = (
    r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\U00020000-\U0003ffff"
)
_LETTER = rf"(?:(?![\d_{_UNSPACED}])[\w{_MARKS}])"
_WORD = re.compile(
    rf"[a-zA-Z]{{1,{LONGEST_WORD}}}(?![\w'’{_MARKS}])"  # most words: the shortest way
    r"|\d{1,3}(?:[.,]?\d{1,3}){0,9}"
    rf"|[{_UNSPACED}]"
    rf"|{_LETTER}{{1,{LONGEST_WORD}}}(?:['’]{_LETTER}{{1,3}}(?!\w))?"
    r"|([^\w\s]|_)\1{0,7}"
)
_DIGIT = re.compile(r"\d")


class Word(NamedTuple):
    """A word of a text.

    Attributes:
        raw: as it is written.
        folded: its letters in one case.
        code: hash of `folded`, 32 bits.
        parts: uint32, hashes of its spelling (case, number of digits) and of its n-grams.
    """

    raw: str
    folded: str
    code: int
    parts: "np.ndarray"


def words_of(text: str) -> Iterator[Word]:
    """The words, numbers and marks of a text in turn; characters of scripts without spaces are words."""
    return (word_of(match.group()) for match in _WORD.finditer(text))


@lru_cache(maxsize=1 << 16)
def word_of(raw: str) -> Word:
    """A single word, number or mark."""
    folded = raw.casefold()
    edged = f"<{folded}>"
    grams = [edged[i : i + size] for size in _GRAMS for i in range(len(edged) - size + 1)]
    return Word(raw, folded, hashed(folded), np.array([*map(hashed, [f"\n{_spelling(raw)}", *grams])], dtype=np.uint32))


def hashed(text: str) -> int:
    """CRC-32 of the text's UTF-8."""
    return zlib.crc32(text.encode("utf-8", errors="replace"))


def _spelling(raw: str) -> str:
    """How a word is written: lower, Capital, UPPER or mixed, or how many digits it has."""
    if _DIGIT.match(raw):
        return _DIGIT.sub("0", raw)
    if raw.islower():
        return "lower"
    if raw.isupper():
        return "UPPER" if len(raw) > 1 else "Capital"
    return "Capital" if raw.istitle() else "mixed"


def repeated_words(texts: Iterable[Iterable[Word]], most: int) -> list[str]:
    """The words that two texts have at least, most frequent first, as many as asked for."""
    counts: Counter[str] = Counter()
    for words in texts:
        counts.update({word.folded for word in words})
    known = [word for word, count in counts.items() if count > 1]
    return sorted(known, key=lambda word: (-counts[word], word))[:most]
