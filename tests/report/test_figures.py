import re

from perceiver_pytorch.data.targets import Drawing
from perceiver_pytorch.report import figures


def words(svg):
    assert svg.startswith("<svg")
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg)


def test_learning_curves_name_what_is_measured():
    history = [{"epoch": i, "train_loss": 1 / i, "val_loss": 2 / i, "val_r2": 0.1 * i} for i in (1, 2)]
    assert {"train", "validation", "validation R²"} <= set(words(figures.learning_curves(history, "val_r2", "R²")))


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
