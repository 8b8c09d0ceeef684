"""What models of texts look at: the bytes that an answer came from, by attention, rolled out."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from perceiver_pytorch.data import map_drawing
from perceiver_pytorch.data.kinds.base import Part
from perceiver_pytorch.explain.apart import NOTHING_APART, Apart
from perceiver_pytorch.explain.attention import Record, decoded, each_latent, recorded
from perceiver_pytorch.explain.maps import Map
from perceiver_pytorch.explain.rows import Explanation
from perceiver_pytorch.models.text.byte_tokenizer import FIRST_BYTE, MASK, SPECIAL_TOKENS, ByteTokenizer
from perceiver_pytorch.models.text.perceiver_ar import PerceiverAR

MOST_ANSWERS = 64
"""Bytes that are explained at a time."""
TEXT = "text"

Logits = Callable[[Tensor], Tensor]
"""From ids ``(1, length)`` to logits: of each position, or of the classes of the whole."""


def explain_next(
    model: PerceiverAR, text: str, numbers: Sequence[int] | None = None, apart: Apart = NOTHING_APART
) -> list[Explanation]:
    """Which earlier bytes a causal model looked at before it named a byte.

    Args:
        model: in evaluation mode.
        text: what it reads.
        numbers: of the bytes, from 0, at least one byte after the first; None: the byte that follows the text.
        apart: layers, heads and latents told apart, besides.

    Raises:
        ValueError: for an empty text, or a byte that does not follow any.
    """
    ids = ByteTokenizer().encode(text)
    explained = []
    for number in _asked(numbers if numbers is not None else [len(ids)], 1, len(ids)):
        before = ids[max(0, number - model.max_length) : number]
        with recorded(model) as record:
            logits = model(torch.tensor([before], device=model.embedding.weight.device))[0, -1]
        output = each_latent(record, [-1])
        truth = ids[number] if number < len(ids) else None
        explained.append(_of_byte(number, record, output, logits, before, truth, apart))
    return explained


def explain_gaps(
    model: nn.Module,
    logits: Logits,
    text: str,
    numbers: Sequence[int] | None = None,
    *,
    most: int,
    frame: bool = False,
    apart: Apart = NOTHING_APART,
) -> list[Explanation]:
    """Which bytes a masked model looked at before it filled a gap.

    Args:
        model: in evaluation mode.
        logits: what it says of the tokens of a text.
        text: with [MASK] where a byte is missing.
        numbers: of the tokens to explain, from 0, hidden before; None: those that are [MASK].
        most: tokens that the model reads.
        frame: whether it reads a token before and one after the text.
        apart: as in `explain_next`.

    Raises:
        ValueError: for a text without gaps where no byte is named, one that is too long, or a byte that there is not.
    """
    ids, first = ByteTokenizer().encode(text, specials=True, frame=frame), int(frame)
    _check_length(ids, most)
    gaps = [place - first for place, token in enumerate(ids) if token == MASK]
    if numbers is None and not gaps:
        raise ValueError("the text has no [MASK] to explain; put one in, or name the bytes to hide, from 0")
    asked = _asked(gaps if numbers is None else numbers, 0, len(ids) - 2 * first - 1)
    hidden = [MASK if place - first in asked else token for place, token in enumerate(ids)]
    with recorded(model) as record:
        said = logits(torch.tensor([hidden]))[0]
    outputs, explained = decoded(record), []
    for number in asked:
        place = first + number
        truth = None if ids[place] == MASK else ids[place]
        explained.append(_of_byte(number, record, outputs[:, [place]], said[place], hidden, truth, apart))
    return explained


def explain_class(
    model: nn.Module,
    logits: Logits,
    text: str,
    labels: Sequence[str],
    *,
    most: int,
    apart: Apart = NOTHING_APART,
) -> list[Explanation]:
    """Which bytes a classifier of texts looked at; arguments as in `explain_gaps`."""
    ids = ByteTokenizer().encode(text, specials=True, frame=True)
    _check_length(ids, most)
    with recorded(model) as record:
        said = logits(torch.tensor([ids]))[0]
    best = int(said.argmax())
    maps = _maps(record, decoded(record)[:, [0]], apart)
    return [
        Explanation(0, "label", labels[best], None, of_class(said, best), maps, None, _drawn(maps, ids), noun="text")
    ]


def of_class(logits: Tensor, chosen: int) -> tuple[float, str]:
    """The log-odds of a class; of the only one there is, what the model says."""
    if len(logits) == 1:
        return float(logits[0]), "output"
    others = torch.cat([logits[:chosen], logits[chosen + 1 :]]).float().logsumexp(0)
    return float(logits[chosen].float() - others), "log-odds"


def _of_byte(
    number: int, record: Record, output: Tensor, logits: Tensor, read: Sequence[int], truth: int | None, apart: Apart
) -> Explanation:
    bytes_alone = logits[FIRST_BYTE:]  # a special token would be no byte
    best = int(bytes_alone.argmax())
    maps = _maps(record, output, apart)
    prediction, evidence = name_of(FIRST_BYTE + best), of_class(bytes_alone, best)
    true = None if truth is None else name_of(truth)
    return Explanation(number, TEXT, prediction, true, evidence, maps, None, _drawn(maps, read), noun="byte")


def _maps(record: Record, output: Tensor, apart: Apart) -> dict[str, Map]:
    """Of each token, of one output of one text."""
    (rolled,) = record.rollout(output)
    found = {"attention": rolled[0, 0], **{name: share[0] for name, (share,) in apart.shares(record)}}
    grids = {way: share.float().cpu().numpy() for way, share in found.items()}
    return {way: Map({TEXT: grid}, {TEXT: grid}) for way, grid in grids.items()}


def _drawn(maps: dict[str, Map], ids: Sequence[int]) -> dict[str, dict[str, list[Part]]]:
    """A drawing of each map: the letters, of bytes that are one together, and the names of special tokens."""
    pieces, places = letters(ids)
    drawings: dict[str, dict[str, list[Part]]] = {}
    for way, found in maps.items():
        heat = np.bincount(places, weights=found.grids[TEXT])
        value = map_drawing.words(pieces, heat.tolist(), room=1)
        drawings[way] = {TEXT: [{"kind": "drawing", "name": TEXT, "value": value}]}
    return drawings


def letters(ids: Sequence[int]) -> tuple[list[str], np.ndarray]:
    """The letters of a text, and for each of its tokens the number of its letter."""
    pieces: list[bytearray | str] = []
    places = []
    for token in ids:
        byte = token - FIRST_BYTE
        goes_on = byte & 0xC0 == 0x80 and bool(pieces) and isinstance(pieces[-1], bytearray) and pieces[-1][0] >= 0xC0
        if byte < 0:
            pieces.append(SPECIAL_TOKENS[token])
        elif goes_on:
            pieces[-1].append(byte)  # type: ignore[union-attr]
        else:
            pieces.append(bytearray([byte]))
        places.append(len(pieces) - 1)
    shown = [each if isinstance(each, str) else each.decode("utf-8", "replace") for each in pieces]
    return ["⏎" if each == "\n" else each for each in shown], np.array(places)


def name_of(token: int) -> str:
    """A byte as people read it: the letter, or its number."""
    byte = token - FIRST_BYTE
    if byte < 0:
        return SPECIAL_TOKENS[token]
    return repr(chr(byte)) if byte < 128 else f"byte 0x{byte:02x}"


def _asked(numbers: Sequence[int], first: int, last: int) -> list[int]:
    found = sorted({int(number) for number in numbers})
    if last < first:
        raise ValueError("the text is empty: there is nothing to look at")
    if not found or found[0] < first or found[-1] > last:
        named = ", ".join(map(str, found)) or "none"
        raise ValueError(f"bytes must be numbers from {first} to {last} for this text, got {named}")
    if len(found) > MOST_ANSWERS:
        raise ValueError(f"at most {MOST_ANSWERS} bytes are explained at a time, got {len(found)}: name some")
    return found


def _check_length(ids: Sequence[int], most: int) -> None:
    if len(ids) > most:
        raise ValueError(f"the text has {len(ids)} tokens, and the model reads at most {most}: give it a part")
