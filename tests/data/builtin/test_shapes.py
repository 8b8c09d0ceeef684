import hashlib
import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from perceiver_pytorch.data import builtin_table, load_table, recognise_columns
from perceiver_pytorch.data.builtin import shapes
from perceiver_pytorch.data.builtin.shapes import COLOURS, QUESTIONS, Scene, picture, shapes_rows, shapes_scenes
from perceiver_pytorch.training.table.settings import preset

NAMES = list(COLOURS)


@pytest.fixture(scope="module")
def scenes():
    return shapes_scenes()


@pytest.fixture(scope="module")
def rows(scenes):
    return list(shapes_rows(scenes))


def seen(image: np.ndarray, colour: str) -> np.ndarray:
    """Pixels of a colour, (rows, columns): found in the picture alone."""
    distances = np.abs(image.astype(int) - np.array(COLOURS[colour])).sum(-1)
    return np.argwhere(distances < 40)


def read_shape(pixels: np.ndarray) -> str:
    """A square fills the box around its pixels; a triangle's middle lies below the box's."""
    rows, (height, width) = pixels[:, 0], np.ptp(pixels, axis=0) + 1
    if len(pixels) == height * width:
        return "square"
    return "triangle" if rows.mean() - (rows.min() + rows.max()) / 2 > 0.08 * height else "circle"


def test_answers_follow_from_the_pictures(scenes, rows):
    """Shapes and places are read from pixels, and questions answered anew from these."""
    number = -1
    for row in rows[::21]:
        if row.scene != number:
            number, image = row.scene, picture(scenes[row.scene])
            found = {name: seen(image, name) for name in NAMES}
            kinds = {name: read_shape(pixels) for name, pixels in found.items()}
            middles = {name: pixels[:, ::-1].mean(0) + 0.5 for name, pixels in found.items()}
        named = sorted((row.question.index(name), name) for name in NAMES if name in row.question)
        assert row.answer == read_answer(row, [name for _, name in named], kinds, middles), row


def read_answer(row, named, kinds, middles):
    one = named[0]
    x, y = middles[one]
    others = [name for name in NAMES if name != one]
    by_distance = sorted(others, key=lambda name: np.hypot(*(middles[name] - middles[one])))
    words = row.question.lower()
    if row.asked == "left_of":
        left = named[::-1] if "right" in words else named
        return "yes" if middles[left[0]][0] < middles[left[1]][0] else "no"
    return {
        "shape": kinds[one],
        "left": "yes" if x < 24 else "no",
        "top": "yes" if y < 24 else "no",
        "corner": f"{'upper' if y < 24 else 'lower'} {'left' if x < 24 else 'right'}",
        "nearest": kinds[by_distance[0]],
        "farthest": kinds[by_distance[-1]],
        "same": str(sum(kinds[name] == kinds[one] for name in others)),
    }[row.asked]


def test_unclear_questions_are_not_asked():
    places = np.array([[23.0, 10], [10, 23], [40, 10], [40, 30], [10, 40], [25, 40]])
    scene = Scene(np.zeros(6, dtype=int), places)
    assert QUESTIONS["left"].answer(scene, 0, 1) is None
    assert QUESTIONS["top"].answer(scene, 1, 0) is None
    assert QUESTIONS["corner"].answer(scene, 1, 0) is None
    assert QUESTIONS["left_of"].answer(scene, 2, 3) is None
    assert QUESTIONS["left"].answer(scene, 1, 0) == "yes"
    level = Scene(np.array([0, 1, 2, 0, 0, 0]), np.array([[20.0, 20], [10, 20], [30, 20], [40, 40], [10, 40], [40, 8]]))
    assert QUESTIONS["nearest"].answer(level, 0, 1) is None


def test_every_question_is_asked_of_every_scene_and_none_is_answered_by_its_words(scenes, rows):
    assert Counter(row.split for row in rows) == {"train": 2000 * 8, "val": 200 * 8, "test": 400 * 8}
    assert set(Counter(row.asked for row in rows).values()) == {len(scenes)}
    assert Counter(question.kind for question in QUESTIONS.values()) == {"relational": 4, "non-relational": 4}
    answers: dict[str, Counter] = {}
    for row in rows:
        if row.split == "train":
            answers.setdefault(row.question, Counter())[row.answer] += 1
    tested = [row for row in rows if row.split == "test"]
    right = [answers[row.question].most_common(1)[0][0] == row.answer for row in tested]
    assert np.mean(right) < 0.42


def test_shapes_do_not_touch_and_lie_inside(scenes):
    for scene in scenes[::20]:
        image = picture(scene)
        edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        assert (edge == shapes._PAPER).all()
        for one in range(6):
            assert np.sort(scene.distances(one))[1] >= shapes._APART


def test_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path))
    monkeypatch.setattr(shapes, "_SCENES", {"train": 6, "val": 2, "test": 3})
    table = load_table("shapes")
    assert table.column_names == ["image", "question", "question_kind", "answer", "split"]
    assert Counter(table.column("split")) == {"train": 48, "val": 16, "test": 24}
    assert Counter(table.column("question_kind")) == {"relational": 44, "non-relational": 44}
    columns = preset("auto", "shapes").data.columns
    kinds = recognise_columns(table, target="answer", split="split", overrides=columns)
    assert kinds == {"image": "image", "question": "text", "question_kind": "ignore"}
    with Image.open(io.BytesIO(table.row(0)["image"])) as image:
        assert np.array_equal(np.asarray(image), picture(shapes_scenes()[0]))
    first = builtin_table("shapes").read_bytes()
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path / "other"))
    assert builtin_table("shapes").read_bytes() == first


def test_a_set_that_keeps_its_version_keeps_its_rows(scenes, rows):
    """Else its version in store.py counts up."""
    lines = [" ".join(map(str, vars(row).values())) for row in rows]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest().startswith("c3b3adefb4ee8812")
    assert scenes[0].shapes.tolist() == [0, 1, 2, 2, 2, 1]
    assert hashlib.sha256(picture(scenes[-1]).tobytes()).hexdigest().startswith("0674e15334ad1ab5")
