"""Text columns: UTF-8 bytes as token ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..cells import Where
from ..options import SpecOptions
from ..values import as_label, is_missing
from .base import Encoded, Spec, check_positive

_STEP = 8  # lengths are multiples of this


@dataclass(frozen=True)
class TextSpec(Spec):
    """One text column as `length` byte ids: byte + 1, so 1..256, and 0 for padding.

    Attributes:
        name: the modality's and the column's name.
        length: tokens; longer texts lose their end, at a whole character.
    """

    name: str
    length: int

    kind: ClassVar[str] = "text"
    dtype: ClassVar[str] = "int64"
    vocab_size: ClassVar[int] = 257
    channels: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_positive(self, "length")

    @classmethod
    def fit(cls, name: str, values: Iterable[Any], options: SpecOptions) -> TextSpec:
        """Learn the length: that of the longest text up to `options.max_text_bytes`, rounded up to a multiple of 8."""
        longest = max((len(_utf8(value)) for value in values if not is_missing(value)), default=1)
        length = min(longest, options.max_text_bytes)
        return cls(name, max(_STEP, -(-length // _STEP) * _STEP))

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
        """Byte ids as int16 (bytes,) (int64 in a batch: a kept sample takes a quarter of the memory)."""
        value = row[self.name]
        if is_missing(value):
            return None
        data = _utf8(value)
        cut = len(data) > self.length
        if cut:  # a character that is only half inside goes as a whole
            data = data[: self.length].decode("utf-8", errors="ignore").encode("utf-8")
        ids = np.frombuffer(data, dtype=np.uint8).astype(np.int16) + np.int16(1)
        return Encoded(ids, changes=("cut",) if cut else ())

    def note(self) -> str:
        return f"UTF-8 bytes, at most {self.length}"


def _utf8(value: Any) -> bytes:
    text = value if isinstance(value, str) else as_label(value)
    return text.encode("utf-8", errors="replace")
