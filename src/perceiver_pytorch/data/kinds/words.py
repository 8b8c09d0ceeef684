"""Text columns as words: ids of the words that train rows repeat, and of hashed parts of every word."""

import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data import map_drawing
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.kinds.base import CUT, ColumnSpec, Encoded, ModalitySpec, ModelInput, Part, check_positive
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.values import as_label, is_missing
from perceiver_pytorch.data.word_tokens import Word, hashed, repeated_words, word_of, words_of

if TYPE_CHECKING:
    from torch import Tensor

PARTS = 8192
"""Ids that parts of words are hashed to; pairs of words have as many of their own."""
IDS = 16
"""Ids of a word at most."""

_STEP = 8  # lengths are multiples of this
_FACTOR = 0x9E3779B1  # odd: a pair's hash is another one when its words change places
_MOST_NEW, _FEWEST = 0.5, 3  # share of new words, and words of a text, from which on it is asked if they are unusual
_START = hashed("")  # of what stands before the first word


@dataclass(frozen=True, kw_only=True)
class WordAugmentation(Settings):
    """How texts that are read as words change at random."""

    word_dropout: float = knob(
        0.3, "share of the words that lose what is known of them; half of these lose their parts, too", least=0, most=1
    )


@dataclass(frozen=True)
class WordsSpec(ColumnSpec):
    """One text column as at most `length` words of `ids` ids each, of which 0 stands for none.

    A word's ids are its own, that of the pair with the word before, and those of its spelling and its n-grams. The last
    three are hashed: 1 to `parts` are of spellings and n-grams, as many behind them of pairs. The known words have the
    ids behind those. A word that is not known has hashed ids alone.

    Attributes:
        name: the modality's and the column's name.
        length: words; longer texts lose their end.
        words: the known words, with a space between them.
        width: channels of the vector that the model makes of a word.
        parts: number of hashed ids of parts, and of pairs.
        ids: of a word at most; longer words lose their longer n-grams.
    """

    name: str
    length: int
    words: str
    width: int
    parts: int = PARTS
    ids: int = IDS

    kind: ClassVar[str] = "words"
    dtype: ClassVar[str] = "int64"
    changes: ClassVar[Mapping[str, str]] = {"cut": CUT}
    in_common: ClassVar[str] = "words"

    def __post_init__(self) -> None:
        check_positive(self, "length", "width", "parts")
        if self.ids < 3:
            raise ValueError(f"ids must be 3 or more, got {self.ids}")

    @classmethod
    def fit(cls, name: str, texts: Iterable[str], *, max_length: int, max_words: int, width: int) -> "WordsSpec":
        """Learn the length, which is that of the longest text up to a limit, and the words that two texts have.

        Args:
            max_length: words of a text that are read at most.
            max_words: words that are known at most, the most frequent ones.
            width: channels of a word in the model.
        """
        longest = 1

        def read(text: str) -> list[Word]:
            nonlocal longest
            words = list(islice(words_of(text), max_length))
            longest = max(longest, len(words))
            return words

        known = repeated_words(map(read, texts), max_words)
        return cls(name, -(-longest // _STEP) * _STEP, " ".join(known), width)

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.length,)

    def fewer_tokens(self) -> dict[str, Any]:
        return {"max_text_tokens": max(1, self.length // 2)}

    @property
    def channels(self) -> int:
        return self.ids

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """Ids as int32 (words, ids) (int64 in a batch: a kept sample takes half of the memory)."""
        value = row[self.name]
        if is_missing(value):
            return None
        words = self._words(value, self.length + 1)
        if not words:
            return None
        ids = self._ids(words[: self.length])
        changes = ("cut",) if len(words) > self.length else ()
        return Encoded(ids, changes=changes, unusual=self._strange(ids))

    def _strange(self, ids: "np.ndarray") -> tuple[Oddity, ...]:
        """Whether most words of a text, (words, ids), are new."""
        new = float((ids[:, 0] == 0).mean())
        if new <= _MOST_NEW or len(ids) < _FEWEST:
            return ()
        return (Oddity("new words", f"{self.name} has {new:.0%} words that the train rows do not repeat", new),)

    def _words(self, cell: Any, most: int) -> list[Word]:
        """The first words. They are looked for one by one: of a long text only its beginning takes memory."""
        return list(islice(words_of(cell if isinstance(cell, str) else as_label(cell)), most))

    def _ids(self, words: Sequence[Word]) -> "np.ndarray":
        known = _places(self.words)
        ids = np.zeros((len(words), self.ids), dtype=np.int32)
        ids[:, 0] = [known.get(word.folded, 0) for word in words]
        ids[:, 0] += np.where(ids[:, 0] > 0, 2 * self.parts, 0)
        codes = np.array([_START, *(word.code for word in words)], dtype=np.uint64)
        ids[:, 1] = (codes[:-1] + codes[1:] * np.uint64(_FACTOR)) % np.uint64(self.parts) + np.uint64(1 + self.parts)
        ids[:, 2:] = np.stack([_part_ids(word.raw, self.parts, self.ids - 2) for word in words])
        return ids

    def model_input(self) -> ModelInput:
        stem = {"name": "words", "num_ids": self.num_ids, "channels": self.width, "shared": True}
        return dataclasses.replace(super().model_input(), stem=stem)

    def augmented(self, values: "Tensor", mask: "Tensor | None", settings: Any) -> "Tensor":
        """Some words without their own id and that of their pair, or without any: a word that is rare or new has to be
        read by its parts, and a text without it."""
        import torch

        if not settings.word_dropout:
            return values
        chance = torch.rand(values.shape[:2], device=values.device)[..., None]
        own = torch.arange(values.shape[-1], device=values.device) < 2
        lost = (chance < settings.word_dropout / 2) | ((chance < settings.word_dropout) & own)
        return values.masked_fill(lost, 0)

    @property
    def num_ids(self) -> int:
        """Ids of all kinds, 0 included."""
        return 1 + 2 * self.parts + len(_places(self.words))

    def note(self) -> str:
        return f"at most {self.length}, {len(_places(self.words)):,} of them known, and parts of all"

    def pieces(self, encoded: Encoded, most: int) -> "np.ndarray":
        """A word each."""
        return np.arange(len(encoded.values))

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        words = [word.raw for word in self._words(row[self.name], len(encoded.values))]
        return [{"kind": "drawing", "name": self.name, "value": map_drawing.words(words, heat.tolist())}]

    def token_options(self) -> dict[str, Any]:
        return {"text_units": "words", "word_channels": self.width}

    def id_meanings(self) -> Sequence[Hashable]:
        """A number for what is hashed, and each known word."""
        return [*range(1 + 2 * self.parts), *_places(self.words)]


def sharing_words(modalities: Sequence[ModalitySpec], most: int) -> list[ModalitySpec]:
    """The modalities, with the known words of each text column known in all: a table's texts have one vocabulary.

    Args:
        most: words that are known at most; the most frequent ones of each column first.
    """
    lists = [spec.words.split(" ") for spec in modalities if isinstance(spec, WordsSpec)]
    if len(lists) < 2:
        return list(modalities)
    places: dict[str, int] = {}
    for words in lists:
        for i, word in enumerate(filter(None, words)):
            places[word] = min(i, places.get(word, i))
    together = " ".join(sorted(places, key=lambda word: (places[word], word))[:most])
    return [dataclasses.replace(spec, words=together) if isinstance(spec, WordsSpec) else spec for spec in modalities]


@lru_cache(maxsize=8)
def _places(words: str) -> dict[str, int]:
    """{known word: its place, from 1}."""
    return {word: i for i, word in enumerate(filter(None, words.split(" ")), start=1)}


@lru_cache(maxsize=1 << 16)
def _part_ids(raw: str, parts: int, most: int) -> "np.ndarray":
    """int32 (most,), 0 where a word has no more parts."""
    ids = np.zeros(most, dtype=np.int32)
    found = word_of(raw).parts[:most]
    ids[: len(found)] = 1 + found % parts
    return ids
