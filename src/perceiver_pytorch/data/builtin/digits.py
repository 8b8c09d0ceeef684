"""The set `digits`: a handwritten digit, a dialled digit, and a question about them.

The pictures are the 1,797 8x8 images of scikit-learn's digits (the test part of "Optical Recognition of Handwritten
Digits", UCI, Alpaydin and Kaynak 1998). Their order is kept, because neighbouring images come from one writer: the last
360 are test (other writers than in train), the 180 before them val. The sounds are dialled digits (`dtmf`). No question
can be answered by its words alone, and most need one particular or both of the other modalities.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perceiver_pytorch.data.builtin.dtmf import dialled, wav_bytes
from perceiver_pytorch.data.builtin.questions import QUESTIONS
from perceiver_pytorch.data.errors import need

if TYPE_CHECKING:
    import pyarrow

NUM_TEST_IMAGES = 360
NUM_VAL_IMAGES = 180
_ROWS_PER_IMAGE = {"train": 24, "val": 5, "test": 5}
_TONES_PER_DIGIT = {"train": 200, "val": 30, "test": 60}
_SEED = 20230


@dataclass(frozen=True, eq=False)
class DigitsRow:
    """One row before it is written: the places of image and tone in their lists, both digits, and the question."""

    image: int
    tone: int
    written: int
    dialled: int
    asked: str
    question: str
    answer: str
    split: str


def digits_tones(seed: int = _SEED) -> list[np.ndarray]:
    """All clips, float64 (1600,) within -1..1 at 8 kHz: of each split in turn, its tones of 0, of 1, .. of 9."""
    rng = np.random.default_rng([seed, 1])
    return [dialled(digit, rng) for count in _TONES_PER_DIGIT.values() for digit in range(10) for _ in range(count)]


def digits_rows(labels: np.ndarray, seed: int = _SEED) -> Iterator[DigitsRow]:
    """Make the rows for images with these labels (in scikit-learn's order): 24 for each train image, 5 for others.

    The kinds of question come from a shuffled deck of all eight, dealt to the end before it is shuffled again, so each
    is asked equally often; tones and wordings are drawn evenly. No image and no tone occurs in two splits.
    """
    rng = np.random.default_rng([seed, 2])
    kinds = list(QUESTIONS)
    deck: list[str] = []
    for image, written in enumerate(labels.tolist()):
        split = _split(image, len(labels))
        for _ in range(_ROWS_PER_IMAGE[split]):
            deck = deck or [kinds[i] for i in rng.permutation(len(kinds))]
            asked = deck.pop()
            question = QUESTIONS[asked]
            digit = int(rng.integers(10))
            tone = _first_tone(split, digit) + int(rng.integers(_TONES_PER_DIGIT[split]))
            wording = question.wordings[rng.integers(len(question.wordings))]
            yield DigitsRow(image, tone, written, digit, asked, wording, question.answer(written, digit), split)


def digits_table() -> "pyarrow.Table":
    """The set as a table with the columns image (PNG bytes), audio (WAV bytes), question, answer and split.

    Equal images and clips are kept once (dictionary encoding).
    """
    arrow = need("pyarrow", "build the set digits")
    digits = need("sklearn.datasets", "build the set digits", extra="sets").load_digits()
    rows = list(digits_rows(digits.target))
    images = arrow.array([png_bytes(image) for image in digits.images], arrow.binary())
    clips = arrow.array([wav_bytes(clip) for clip in digits_tones()], arrow.binary())
    return arrow.table(
        {
            "image": arrow.DictionaryArray.from_arrays(arrow.array([row.image for row in rows], arrow.int32()), images),
            "audio": arrow.DictionaryArray.from_arrays(arrow.array([row.tone for row in rows], arrow.int32()), clips),
            "question": [row.question for row in rows],
            "answer": [row.answer for row in rows],
            "split": [row.split for row in rows],
        }
    )


def png_bytes(image: np.ndarray) -> bytes:
    """An image of values 0..16 (8, 8) as an 8-bit grey PNG file, 16 being white."""
    pil = need("PIL.Image", "build the set digits")
    buffer = io.BytesIO()
    pil.fromarray(np.round(image * (255 / 16)).astype(np.uint8)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _split(image: int, num_images: int) -> str:
    if image >= num_images - NUM_TEST_IMAGES:
        return "test"
    return "val" if image >= num_images - NUM_TEST_IMAGES - NUM_VAL_IMAGES else "train"


def _first_tone(split: str, digit: int) -> int:
    """The place of a split's first tone of a digit in `digits_tones`."""
    first = 0
    for name, count in _TONES_PER_DIGIT.items():
        if name == split:
            return first + digit * count
        first += 10 * count
    raise ValueError(f"no split {split!r}")
