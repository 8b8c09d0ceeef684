"""The set `shapes`: questions about six drawn shapes, of which half ask for one shape and half compare several.

The idea is that of Sort-of-CLEVR (Santoro et al. 2017, "A simple neural network module for relational reasoning");
pictures and questions are our own. Each picture has one shape of each of six colours, so a colour names a shape.
Answers follow from what was drawn, and nothing is asked that two pixels would decide. By its words alone, about 38 %
of the questions are answered rightly.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perceiver_pytorch.data.errors import need

if TYPE_CHECKING:
    import pyarrow

COLOURS = {
    "red": (214, 39, 40),
    "green": (44, 160, 44),
    "blue": (31, 119, 220),
    "orange": (255, 145, 0),
    "purple": (140, 60, 190),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle")
SIZE = 48  # pixels of a side
RADIUS = 4.5  # pixels from the middle of a shape to its sides
RELATIONAL, SINGLE = "relational", "non-relational"
_EDGE = RADIUS + 2  # pixels from the middle of a shape to the picture's edge, at least
_APART = 12.0  # pixels between the middles of two shapes, at least
_CLEAR = 2.0  # pixels by which what a question asks for has to differ
_PAPER = 240
_WINDOW = 12  # pixels of a side of the square that a shape lies in; it lies in the picture
_FINE = 4  # points of a pixel's side, for smooth edges
_SCENES = {"train": 2000, "val": 200, "test": 400}
_SEED = 20170


@dataclass(frozen=True, eq=False)
class Scene:
    """What is drawn: for each of `COLOURS` a shape, the place of its name in `SHAPES`, and its middle.

    Attributes:
        shapes: int64 (6,).
        places: float64 (6, 2), x to the right and y downwards, in pixels.
    """

    shapes: np.ndarray
    places: np.ndarray

    def distances(self, one: int) -> np.ndarray:
        """Pixels from the shape of a colour to those of all colours."""
        return np.hypot(*(self.places - self.places[one]).T)


@dataclass(frozen=True)
class Asked:
    """One thing to ask about one or two colours.

    Attributes:
        kind: relational, where the answer depends on several shapes.
        wordings: with {0}, and {1} where it is about two colours.
        answer: for a scene and the places of the colours; None where it is not clear.
    """

    kind: str
    wordings: tuple[str, ...]
    answer: Callable[[Scene, int, int], str | None]


def _clear(difference: float, yes: str, no: str) -> str | None:
    return None if abs(difference) < _CLEAR else yes if difference > 0 else no


def _nearest(scene: Scene, one: int, sign: int) -> str | None:
    """The shape at the least distance (sign 1) or the greatest (-1)."""
    distances = sign * scene.distances(one)
    distances[one] = np.inf
    first, second = np.argsort(distances)[:2]
    return None if distances[second] - distances[first] < _CLEAR else SHAPES[scene.shapes[first]]


def _corner(x: float, y: float) -> str | None:
    """Which quarter of the picture a place is in."""
    side, height = _clear(SIZE / 2 - x, "left", "right"), _clear(SIZE / 2 - y, "upper", "lower")
    return None if side is None or height is None else f"{height} {side}"


QUESTIONS: dict[str, Asked] = {
    "shape": Asked(
        SINGLE,
        ("What shape is {0}?", "What is the shape of the {0} thing?", "Name the {0} shape."),
        lambda scene, one, _: SHAPES[scene.shapes[one]],
    ),
    "left": Asked(
        SINGLE,
        ("Is the {0} shape on the left?", "Does the {0} thing lie in the left half?", "Is {0} left of the middle?"),
        lambda scene, one, _: _clear(SIZE / 2 - scene.places[one, 0], "yes", "no"),
    ),
    "top": Asked(
        SINGLE,
        ("Is the {0} shape at the top?", "Does the {0} thing lie in the upper half?", "Is {0} above the middle?"),
        lambda scene, one, _: _clear(SIZE / 2 - scene.places[one, 1], "yes", "no"),
    ),
    "corner": Asked(
        SINGLE,
        ("In which corner is {0}?", "Which quarter of the picture has the {0} shape?", "Where is the {0} thing?"),
        lambda scene, one, _: _corner(*scene.places[one]),
    ),
    "nearest": Asked(
        RELATIONAL,
        (
            "What shape is nearest to {0}?",
            "What is the shape that is closest to the {0} one?",
            "Which shape does {0} have next to it?",
        ),
        lambda scene, one, _: _nearest(scene, one, 1),
    ),
    "farthest": Asked(
        RELATIONAL,
        (
            "What shape is farthest from {0}?",
            "What is the shape that is most distant from the {0} one?",
            "Which shape is farther away from {0} than all others?",
        ),
        lambda scene, one, _: _nearest(scene, one, -1),
    ),
    "same": Asked(
        RELATIONAL,
        (
            "How many others have the shape of {0}?",
            "How many more are of the same shape as the {0} one?",
            "Count the other shapes that are like {0}.",
        ),
        lambda scene, one, _: str(int((scene.shapes == scene.shapes[one]).sum()) - 1),
    ),
    "left_of": Asked(
        RELATIONAL,
        (
            "Is {0} left of {1}?",
            "Does the {0} shape lie farther to the left than the {1} one?",
            "Is {1} to the right of {0}?",
        ),
        lambda scene, one, other: _clear(scene.places[other, 0] - scene.places[one, 0], "yes", "no"),
    ),
}


@dataclass(frozen=True, eq=False)
class ShapesRow:
    """One row before it is written: the place of its scene in `shapes_scenes`, what is asked, and the answer."""

    scene: int
    asked: str
    question: str
    answer: str
    split: str


def shapes_scenes(seed: int = _SEED) -> list[Scene]:
    """All scenes: those of train, of val, of test. In each, every question can be asked."""
    rng = np.random.default_rng([seed, 1])
    return [_scene(rng) for _ in range(sum(_SCENES.values()))]


def shapes_rows(scenes: list[Scene], seed: int = _SEED) -> Iterator[ShapesRow]:
    """Every question once about every scene; colours (where the answer is clear) and wordings are drawn evenly."""
    rng = np.random.default_rng([seed, 2])
    names = list(COLOURS)
    splits = [split for split, count in _SCENES.items() for _ in range(count)]
    for number, (scene, split) in enumerate(zip(scenes, splits, strict=True)):
        for asked, question in QUESTIONS.items():
            one, other, answer = _drawn_question(scene, question, rng)
            wording = question.wordings[rng.integers(len(question.wordings))]
            yield ShapesRow(number, asked, wording.format(names[one], names[other]), answer, split)


def shapes_table() -> "pyarrow.Table":
    """The set as a table with the columns image (PNG bytes), question, question_kind, answer and split.

    Equal images are kept once (dictionary encoding).
    """
    arrow = need("pyarrow", "build the set shapes")
    scenes = shapes_scenes()
    rows = list(shapes_rows(scenes))
    images = arrow.array([_png(picture(scene)) for scene in scenes], arrow.binary())
    places = arrow.array([row.scene for row in rows], arrow.int32())
    return arrow.table(
        {
            "image": arrow.DictionaryArray.from_arrays(places, images),
            "question": [row.question for row in rows],
            "question_kind": [QUESTIONS[row.asked].kind for row in rows],
            "answer": [row.answer for row in rows],
            "split": [row.split for row in rows],
        }
    )


def picture(scene: Scene) -> np.ndarray:
    """The scene as an image, uint8 (48, 48, 3)."""
    image = np.full((SIZE, SIZE, 3), float(_PAPER))
    for colour, shape, place in zip(COLOURS.values(), scene.shapes, scene.places, strict=True):
        left, top = np.floor(place - RADIUS - 1).astype(int)
        points = (np.arange(_WINDOW * _FINE) + 0.5) / _FINE
        inside = _inside(SHAPES[shape], left + points[None, :] - place[0], top + points[:, None] - place[1])
        share = inside.reshape(_WINDOW, _FINE, _WINDOW, _FINE).mean((1, 3))[..., None]
        window = image[top : top + _WINDOW, left : left + _WINDOW]
        window += share * (np.array(colour) - window)
    return np.round(image).astype(np.uint8)


def _inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points are inside a shape, given from its middle."""
    if shape == "circle":
        return np.hypot(x, y) <= RADIUS
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) <= 0.9 * RADIUS
    return (y <= 0.9 * RADIUS) & (y >= 2.2 * np.abs(x) - 1.2 * RADIUS)


def _scene(rng: np.random.Generator) -> Scene:
    while True:
        scene = Scene(rng.integers(len(SHAPES), size=len(COLOURS)), _apart(rng, len(COLOURS)))
        if all(any(_clear_answers(scene, asked)) for asked in QUESTIONS.values()):
            return scene


def _apart(rng: np.random.Generator, count: int) -> np.ndarray:
    """Middles, float64 (count, 2), drawn one by one where there is room; anew where too many draws find none."""
    found = np.empty((0, 2))
    for _ in range(20 * count):
        place = rng.uniform(_EDGE, SIZE - _EDGE, size=2)
        if not len(found) or np.hypot(*(found - place).T).min() >= _APART:
            found = np.vstack([found, place])
        if len(found) == count:
            return rng.permutation(found)
    return _apart(rng, count)


def _clear_answers(scene: Scene, asked: Asked) -> Iterator[bool]:
    return (asked.answer(scene, one, other) is not None for one, other in _pairs())


def _pairs() -> list[tuple[int, int]]:
    return [(one, other) for one in range(len(COLOURS)) for other in range(len(COLOURS)) if one != other]


def _drawn_question(scene: Scene, asked: Asked, rng: np.random.Generator) -> tuple[int, int, str]:
    """Two colours and the answer, drawn evenly of those whose answer is clear."""
    pairs = _pairs()
    for place in rng.permutation(len(pairs)):
        one, other = pairs[place]
        answer = asked.answer(scene, one, other)
        if answer is not None:
            return one, other, answer
    raise AssertionError("a scene without a clear answer")


def _png(image: np.ndarray) -> bytes:
    pil = need("PIL.Image", "build the set shapes")
    buffer = io.BytesIO()
    pil.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
