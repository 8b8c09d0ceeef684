"""Text columns: UTF-8 bytes, or the tokens of a tokenizer, as ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ..cells import Where
from ..errors import DataError, need
from ..options import SpecOptions
from ..values import as_label, is_missing
from .base import Encoded, Spec, check_positive

_STEP = 8  # lengths are multiples of this
_NUM_BYTE_IDS = 257


@dataclass(frozen=True)
class TextSpec(Spec):
    """One text column as at most `length` ids: of bytes (byte + 1, so 1..256; 0 is padding), or a tokenizer's tokens.

    Attributes:
        name: the modality's and the column's name.
        length: tokens; longer texts lose their end (bytes: at a whole character).
        tokenizer: what a `tokenizer.json` of the `tokenizers` library holds; empty: bytes.
    """

    name: str
    length: int
    tokenizer: str = ""

    kind: ClassVar[str] = "text"
    dtype: ClassVar[str] = "int64"
    channels: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_positive(self, "length")
        if self.tokenizer:
            _tokenizer(self.tokenizer)

    @classmethod
    def fit(cls, name: str, values: Iterable[Any], options: SpecOptions, tokenizer: str = "") -> TextSpec:
        """Learn the length: that of the longest text up to the options' limit, rounded up to a multiple of 8.

        Args:
            tokenizer: what the file `options.tokenizer` holds.

        Raises:
            DataError: it is no tokenizer.
        """
        at_most = options.max_text_tokens if tokenizer else options.max_text_bytes
        try:
            whole = cls(name, 1, tokenizer)
        except ValueError as error:
            raise DataError(f"column {name!r}: {error}", column=name) from error
        longest = max((len(whole.ids(value)) for value in values if not is_missing(value)), default=1)
        length = min(longest, at_most)
        return cls(name, max(_STEP, -(-length // _STEP) * _STEP), tokenizer)

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return _tokenizer(self.tokenizer)[1] if self.tokenizer else _NUM_BYTE_IDS

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.axes

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """Ids as int16 or int32 (tokens,) (int64 in a batch: a kept sample takes a quarter of the memory)."""
        value = row[self.name]
        if is_missing(value):
            return None
        ids = self.ids(value)
        if len(ids) <= self.length:
            return Encoded(ids) if len(ids) else None
        if self.tokenizer:
            return Encoded(ids[: self.length], changes=("cut",))
        # A character that is only half inside goes as a whole.
        whole = _utf8(value)[: self.length].decode("utf-8", errors="ignore").encode("utf-8")
        return Encoded(ids[: len(whole)], changes=("cut",)) if whole else None

    def ids(self, value: Any) -> np.ndarray:
        """All ids of a text."""
        if self.tokenizer:
            text = value if isinstance(value, str) else as_label(value)
            ids = _tokenizer(self.tokenizer)[0].encode(text.encode("utf-8", errors="replace").decode("utf-8")).ids
            return np.array(ids, dtype=np.int32)
        return np.frombuffer(_utf8(value), dtype=np.uint8).astype(np.int16) + np.int16(1)

    def note(self) -> str:
        if self.tokenizer:
            return f"tokens of {self.vocab_size:,} kinds, at most {self.length}"
        return f"UTF-8 bytes, at most {self.length}"


@lru_cache(maxsize=8)
def _tokenizer(json: str) -> tuple[Any, int]:
    """A tokenizer that neither cuts nor pads, and its number of ids."""
    library = need("tokenizers", "read text with a tokenizer")
    try:
        tokenizer = library.Tokenizer.from_str(json)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer, max(tokenizer.get_vocab().values()) + 1
    except Exception as error:  # the library raises bare Exceptions
        raise ValueError(f"it cannot be read as a tokenizer.json of the tokenizers library ({error})") from error


def _utf8(value: Any) -> bytes:
    text = value if isinstance(value, str) else as_label(value)
    return text.encode("utf-8", errors="replace")
