import re
import warnings
from xml.etree import ElementTree

import pytest

from perceiver_pytorch.data.targets import Drawing
from perceiver_pytorch.data.targets.classes import ClassTarget
from perceiver_pytorch.report import figures

HISTORY = [{"epoch": i, "train_loss": 1 / i, "val_loss": 2 / i, "val_r2": 0.1 * i} for i in (1, 2)]


def words(svg):
    assert svg.startswith("<svg")
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg)


def test_learning_curves_name_what_is_measured():
    assert {"train", "validation", "validation R²"} <= set(words(figures.learning_curves(HISTORY, "val_r2", "R²")))


def test_bits_are_drawn_beside_baselines():
    history = [{"step": i, "train_loss": 1 / i, "val_bits_per_byte": 2 / i} for i in (1, 2)]
    assert {"gzip: 2.50", "bits per byte"} <= set(words(figures.bits_curve(history, {"gzip": 2.5})))


def test_combinations_show_scores_and_the_baseline():
    measured = [{"present": ["a", "b"], "score": 0.75}, {"present": ["b"], "score": 0.5}]
    with_baseline = words(figures.combinations(measured, "accuracy", ("majority class", 0.25)))
    assert {"a", "b", "0.750", "0.500", "accuracy", "majority class: 0.250"} <= set(with_baseline)
    assert not any("majority" in word for word in words(figures.combinations(measured, "accuracy", None)))


def test_a_target_draws_onto_axes():
    svg = figures.drawn(Drawing(2.0, 1.0, lambda axes: axes.set(xlabel="of its own")))
    assert "of its own" in words(svg)
    assert 'width="144pt" height="72pt"' in svg


NAMES = ("$5%-$10%", "$10%-$20%", r"\frac{", "a_b^c", "猫と犬が好き", "<b>&amp;", "_hidden", "%s {0}")


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are_written(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target = ClassTarget("y", (name, "other"), (1, 1))
        (section,) = target.sections({"confusion": [[1, 0], [0, 1]]}, None, None, "")
        matrix = figures.drawn(section.drawing)
        curves = figures.learning_curves(HISTORY, "val_r2", name)
        combined = [{"present": [name, "b"], "score": 0.75}, {"present": ["b"], "score": 0.5}]
        bars = figures.combinations(combined, name, ("majority class", 0.25))
    for svg in (matrix, curves, bars):
        texts = [
            "".join(text.itertext()) for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
        ]
        assert any(text.endswith(name) for text in texts)


def test_a_figure_that_fails_says_why_in_its_place():
    def draw(axes):
        raise RuntimeError("no <room>\x00 for it\nand more")

    svg = figures.drawn(Drawing(2.0, 1.0, draw))
    assert "".join(ElementTree.fromstring(svg).itertext()) == "This figure could not be drawn: no <room> for it"
    assert "KeyError" in figures.drawn(Drawing(2.0, 1.0, lambda axes: (_ for _ in ()).throw(KeyError())))
    assert "could not be drawn" in figures.bits_curve([{"step": 1}], {})


def test_formulas_of_others_stay_formulas():
    import matplotlib

    figures.drawn(Drawing(2.0, 1.0, lambda axes: axes.set_xlabel("$x$")))
    assert matplotlib.rcParams["text.parse_math"]
