"""Text columns: words, UTF-8 bytes, or the tokens of a tokenizer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from perceiver_pytorch._files import read_text
from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data import map_drawing
from perceiver_pytorch.data.cell_memory import CELL_BYTES, claim
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.kinds.base import CUT, ColumnSpec, Encoded, Kind, ModalitySpec, Part, check_positive
from perceiver_pytorch.data.kinds.category import few_and_short
from perceiver_pytorch.data.kinds.words import WordAugmentation, WordsSpec
from perceiver_pytorch.data.train_rows import TrainRows, spread
from perceiver_pytorch.data.values import as_label, is_missing
from perceiver_pytorch.data.word_tokens import words_of

_STEP = 8  # lengths are multiples of this
_NUM_BYTE_IDS = 257
_MOST_LETTERS = 20.0  # of a word on average, if a column's texts are words
_LOOKED_AT = 1000  # texts, and characters of each, that tell
_PIECE = 16  # bytes of a word that maps show as one
_TOKENIZED = 100  # bytes that the tokenizers library takes for a character


@dataclass(frozen=True, kw_only=True)
class TextSettings(Settings):
    """How texts become ids."""

    text_units: str = knob(
        "auto",
        "what a text is read as; auto: words, but bytes where it has hardly any, as genes or codes have",
        choices=("auto", "words", "bytes"),
        before="bytes",
    )
    max_text_bytes: int = knob(512, "as bytes, longer texts lose their end", above=0)
    tokenizer: str | None = knob(
        None, "file of the tokenizers library, tokenizer.json, whose tokens are read instead of words or bytes"
    )
    max_text_tokens: int = knob(256, "as words or by a tokenizer, longer texts lose their end", above=0)
    max_words: int = knob(16384, "words that are known at most, of those that two train rows have", least=0)
    word_channels: int = knob(64, "width of a word in the model", above=0)


@dataclass(frozen=True)
class TextSpec(ColumnSpec):
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
    changes: ClassVar[Mapping[str, str]] = {"cut": CUT, "unknown": "have tokens that the tokenizer does not know"}

    def __post_init__(self) -> None:
        check_positive(self, "length")
        if self.tokenizer:
            _tokenizer(self.tokenizer)

    @classmethod
    def fit(
        cls, name: str, values: Iterable[Any], options: TextSettings, tokenizer: str = "", cell_bytes: int = CELL_BYTES
    ) -> "TextSpec":
        """Learn the length: that of the longest text up to the options' limit, rounded up to a multiple of 8.

        Args:
            tokenizer: what the file `options.tokenizer` holds.
            cell_bytes: memory that reading a text may take.

        Raises:
            DataError: it is no tokenizer.
        """
        at_most = options.max_text_tokens if tokenizer else options.max_text_bytes
        try:
            whole = cls(name, 1, tokenizer)
        except ValueError as error:
            raise DataError(f"column {name!r}: {error}", column=name) from error
        texts = (_text(value) for value in values if not is_missing(value))
        if tokenizer:  # others are bad rows, which are told when they are decoded
            lengths = (len(whole.ids(text)) for text in texts if _TOKENIZED * len(text) <= cell_bytes)
        else:
            lengths = (len(whole.ids(text[:at_most])) for text in texts)
        length = min(max(lengths, default=1), at_most)
        return cls(name, max(_STEP, -(-length // _STEP) * _STEP), tokenizer)

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return _tokenizer(self.tokenizer)[1] if self.tokenizer else _NUM_BYTE_IDS

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.length,)

    def fewer_tokens(self) -> dict[str, Any]:
        return {"max_text_tokens" if self.tokenizer else "max_text_bytes": max(1, self.length // 2)}

    @property
    def channels(self) -> int:
        return 1

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """Ids as int16 or int32 (tokens,) (int64 in a batch: a kept sample takes a quarter of the memory)."""
        value = row[self.name]
        if is_missing(value):
            return None
        text = _text(value)
        if self.tokenizer:
            try:
                claim("the text", f"{len(text):,} characters", _TOKENIZED * len(text), where.cell_bytes)
            except ValueError as error:
                raise where.error(self.name, str(error)) from error
        else:
            text = text[: self.length + 1]  # the rest, which may be long, would be cut off
        ids = self.ids(text)
        changes = ("unknown",) if self.tokenizer and _unknown(self.tokenizer) in ids else ()
        if len(ids) <= self.length:
            return Encoded(ids, changes=changes) if len(ids) else None
        if self.tokenizer:
            return Encoded(ids[: self.length], changes=("cut", *changes))
        # A character that is only half inside goes as a whole.
        whole = _utf8(text)[: self.length].decode("utf-8", errors="ignore").encode("utf-8")
        return Encoded(ids[: len(whole)], changes=("cut",)) if whole else None

    def ids(self, text: str) -> "np.ndarray":
        """All ids of a text."""
        if self.tokenizer:
            ids = _tokenizer(self.tokenizer)[0].encode(text.encode("utf-8", errors="replace").decode("utf-8")).ids
            return np.array(ids, dtype=np.int32)
        return np.frombuffer(_utf8(text), dtype=np.uint8).astype(np.int16) + np.int16(1)

    def pieces(self, encoded: Encoded, most: int) -> "np.ndarray":
        """A token of the tokenizer each; of bytes a word each, or a few letters of a long one."""
        if self.tokenizer:
            return np.arange(len(encoded.values))
        return _byte_pieces(bytes((encoded.values - 1).astype(np.uint8)))

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        labels = self.pieces(encoded, 0)
        shown = [self._text_of(encoded.values[labels == label]) for label in range(labels.max() + 1)]
        counted = np.bincount(labels, weights=heat)
        return [{"kind": "drawing", "name": self.name, "value": map_drawing.words(shown, counted.tolist())}]

    def _text_of(self, ids: "np.ndarray") -> str:
        if self.tokenizer:
            return str(_tokenizer(self.tokenizer)[0].decode(ids.tolist(), skip_special_tokens=False))
        return bytes((ids - 1).astype(np.uint8)).decode("utf-8", errors="replace")

    def token_options(self) -> dict[str, Any]:
        return {} if self.tokenizer else {"text_units": "bytes"}

    def note(self) -> str:
        if self.tokenizer:
            return f"tokens of {self.vocab_size:,} kinds, at most {self.length}"
        return f"UTF-8 bytes, at most {self.length}"


class TextKind(Kind):
    """Texts: words that are no categories."""

    name = "text"
    spec = TextSpec
    other_specs = (WordsSpec,)
    settings = TextSettings
    augmentation = WordAugmentation
    plain = True

    def recognises(self, column: Column) -> bool:
        return bool(column.words) and not few_and_short(column)

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        (name,) = columns
        options = rows.options(name)
        tokenizer = "" if options.tokenizer is None else _tokenizer_file(name, Path(options.tokenizer), rows)
        values = (cells[name] for _, cells in rows.table.iterate(rows.rows, [name]))
        if not tokenizer and _is_words(name, rows, options.text_units):
            texts = (_text(value) for value in values if not is_missing(value))
            limits = {"max_length": options.max_text_tokens, "max_words": options.max_words}
            return [WordsSpec.fit(name, texts, width=options.word_channels, **limits)]
        return [TextSpec.fit(name, values, options, tokenizer, rows.cell_bytes)]


def _is_words(name: str, rows: TrainRows, units: str) -> bool:
    """Whether a column is read as words: as asked for, else where its texts have words of a usual length."""
    if units != "auto":
        return units == "words"
    cells = rows.table.iterate(spread(rows.rows, _LOOKED_AT), [name])
    texts = [_text(row[name])[:_LOOKED_AT] for _, row in cells if not is_missing(row[name])]
    letters = sum(len(text) - text.count(" ") for text in texts)
    return letters <= _MOST_LETTERS * sum(1 for text in texts for _ in words_of(text))


def _tokenizer_file(name: str, path: Path, rows: TrainRows) -> str:
    """What the file holds, looked for here and in the table's folder."""
    root = rows.table.root
    places = [path, *([root / path] if isinstance(root, Path) else [])]
    found = next((place for place in places if place.exists()), None)
    try:
        if found is None:
            raise FileNotFoundError("no such file, here or in the table's folder")
        return read_text(found)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"column {name!r}: the tokenizer {path} cannot be read ({error})", column=name) from error


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


@lru_cache(maxsize=8)
def _unknown(json: str) -> int:
    """The id of a tokenizer's unknown token; -1 where all texts can be written with its tokens."""
    tokenizer, _ = _tokenizer(json)
    token = getattr(tokenizer.model, "unk_token", None)
    id_ = None if token is None else tokenizer.token_to_id(token)
    return -1 if id_ is None else id_


def _byte_pieces(text: bytes) -> "np.ndarray":
    """int64 (bytes,): words with the space behind them; of longer ones a few letters at a time, each whole."""
    numbers, number, length, after_space = np.zeros(len(text), dtype=np.int64), -1, _PIECE, False
    for i, byte in enumerate(text):
        is_space, goes_on = byte in b" \n\t\r", byte & 0xC0 == 0x80  # the second byte of a letter, or a later one
        if not goes_on and ((after_space and not is_space) or (length >= _PIECE and not is_space)):
            number, length = number + 1, 0
        numbers[i], length, after_space = max(0, number), length + 1, is_space
    return numbers


def _text(value: Any) -> str:
    return value if isinstance(value, str) else as_label(value)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")
