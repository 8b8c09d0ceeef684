"""Questions about a written and a dialled digit, in several wordings, with their answers."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """One thing to ask: its wordings, and the answer for (written digit, dialled digit)."""

    wordings: tuple[str, ...]
    answer: Callable[[int, int], str]


def _parity(digit: int) -> str:
    return "no" if digit % 2 else "yes"


# Which digit a question needs (both, the picture's, the sound's) is said by its words alone.
QUESTIONS: dict[str, Question] = {
    "sum": Question(
        (
            "What is the sum of the two digits?",
            "What do the written and the dialled digit add up to?",
            "Add the dialled digit to the written one.",
            "How much are both digits together?",
            "What is written plus dialled?",
        ),
        lambda written, dialled: str(written + dialled),
    ),
    "difference": Question(
        (
            "What is the difference between the two digits?",
            "How far apart are the written and the dialled digit?",
            "By how much do the two digits differ?",
            "Take the smaller digit from the larger one.",
            "What is the distance from the written to the dialled digit?",
        ),
        lambda written, dialled: str(abs(written - dialled)),
    ),
    "larger": Question(
        (
            "What is the larger of the two digits?",
            "Which digit is larger, the written or the dialled one?",
            "What is the maximum of both digits?",
            "Name the higher of the two digits.",
            "How large is the larger digit?",
        ),
        lambda written, dialled: str(max(written, dialled)),
    ),
    "smaller": Question(
        (
            "What is the smaller of the two digits?",
            "Which digit is smaller, the written or the dialled one?",
            "What is the minimum of both digits?",
            "Name the lower of the two digits.",
            "How large is the smaller digit?",
        ),
        lambda written, dialled: str(min(written, dialled)),
    ),
    "dialled_even": Question(
        (
            "Is the dialled digit even?",
            "Is the digit in the sound an even one?",
            "Can the dialled digit be halved without a rest?",
            "Does the tone stand for an even digit?",
        ),
        lambda written, dialled: _parity(dialled),
    ),
    "written_even": Question(
        (
            "Is the written digit even?",
            "Is the digit in the picture an even one?",
            "Can the written digit be halved without a rest?",
            "Does the picture show an even digit?",
        ),
        lambda written, dialled: _parity(written),
    ),
    "written": Question(
        (
            "Which digit is written?",
            "What digit does the picture show?",
            "Read the digit in the picture.",
            "What is the handwritten digit?",
            "Which digit do you see?",
        ),
        lambda written, dialled: str(written),
    ),
    "dialled": Question(
        (
            "Which digit is dialled?",
            "What digit does the tone stand for?",
            "Name the digit in the sound.",
            "What is the dialled digit?",
            "Which digit do you hear?",
        ),
        lambda written, dialled: str(dialled),
    ),
}
