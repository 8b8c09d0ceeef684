"""Text as bytes: six special tokens and the 256 bytes (Perceiver IO, arXiv 2107.14795, section 4.1)."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from perceiver_pytorch import _checks

SPECIAL_TOKENS = ("[PAD]", "[BOS]", "[EOS]", "[MASK]", "[CLS]", "[SEP]")
PAD, BOS, EOS, MASK, CLS, SEP = range(len(SPECIAL_TOKENS))
FIRST_BYTE = len(SPECIAL_TOKENS)
VOCAB_SIZE = FIRST_BYTE + 256

_SPECIAL = re.compile("|".join(re.escape(token) for token in SPECIAL_TOKENS).encode())


class ByteTokenizer:
    """Turns text into token ids and back: id 6 + b is the byte b, ids 0 to 5 are `SPECIAL_TOKENS`.

    The ids are those of Perceiver IO's published language model. There is nothing to train and nothing to download, and
    any text has ids, whatever its language or encoding.

    >>> tokenizer = ByteTokenizer()
    >>> tokenizer.encode("Hi!")
    [78, 111, 39]
    >>> tokenizer.decode([78, 111, 39])
    'Hi!'
    """

    vocab_size = VOCAB_SIZE

    def encode(self, text: str | bytes, *, specials: bool = False, frame: bool = False) -> list[int]:
        """Token ids of a text.

        Args:
            text: as UTF-8, or bytes as they are.
            specials: read the names of special tokens in the text, such as ``[MASK]``, as these tokens.
            frame: put ``[CLS]`` before and ``[SEP]`` after the text, as the published language model expects.
        """
        if not isinstance(text, str | bytes):
            raise TypeError(f"text must be str or bytes, got {type(text).__name__}")
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        ids: list[int] = []
        place = 0
        for match in _SPECIAL.finditer(data) if specials else ():
            ids += [FIRST_BYTE + byte for byte in data[place : match.start()]]
            ids.append(SPECIAL_TOKENS.index(match.group().decode()))
            place = match.end()
        ids += [FIRST_BYTE + byte for byte in data[place:]]
        return [CLS, *ids, SEP] if frame else ids

    def decode_bytes(self, ids: Sequence[int] | Tensor) -> bytes:
        """The bytes of token ids ``(length,)``; special tokens are left out.

        Raises:
            ValueError: for an id that is not in [0, 262).
        """
        values = [int(value) for value in ids]
        for value in values:
            if not 0 <= value < VOCAB_SIZE:
                raise ValueError(f"token ids must lie in [0, {VOCAB_SIZE}), got {value}")
        return bytes(value - FIRST_BYTE for value in values if value >= FIRST_BYTE)

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """The text of token ids ``(length,)``; special tokens are left out, bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def batch(
        self,
        texts: Sequence[str | bytes],
        *,
        length: int | None = None,
        side: str = "right",
        specials: bool = False,
        frame: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Token ids ``(batch, length)`` int64 of several texts, and their mask ``(batch, length)`` bool, True = token.

        Args:
            texts: one per sample.
            length: tokens per sample; default: those of the longest text. Longer texts lose their end.
            side: where shorter texts are filled up with ``[PAD]``: ``"right"``, or ``"left"`` for a causal model.
            specials, frame: as in `encode`.
        """
        _checks.choice("side", side, ("right", "left"))
        if isinstance(texts, str | bytes) or not len(texts):
            raise ValueError("texts must be a list of at least one text")
        rows = [self.encode(text, specials=specials, frame=frame) for text in texts]
        width = max(map(len, rows)) if length is None else _checks.positive_int("length", length)
        ids = torch.full((len(rows), width), PAD)
        mask = torch.zeros(len(rows), width, dtype=torch.bool)
        for i, row in enumerate(rows):
            kept = row[:width]
            place = slice(0, len(kept)) if side == "right" else slice(width - len(kept), width)
            ids[i, place] = torch.tensor(kept, dtype=torch.int64)
            mask[i, place] = True
        return ids, mask
