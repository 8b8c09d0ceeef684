import pytest

from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget
from perceiver_pytorch.data.targets.scores import score, score_name

CLASSES = ClassTarget("c", ("a", "b", "z"), (6, 3, 1))
LABELS = LabelsTarget("g", ("x", "y", "w"), (4, 1, 2), 8, "|")
NUMBER = NumberTarget("n", 100.0, 20.0)


def test_the_score_is_the_kinds_metric_or_the_mean_within_0_and_1():
    classes, number = {"accuracy": 0.5, "macro_f1": 0.25}, {"r2": -3.0, "rmse": 20.0}
    assert score([CLASSES], {"c": classes}) == 0.5
    assert score([CLASSES], {"c": classes}, balanced=True) == 0.25
    assert score([NUMBER], {"n": number}) == -3.0
    assert score([NUMBER], {"n": {"r2": None, "rmse": 10.0}}) == pytest.approx(0.75)
    assert score([CLASSES, NUMBER], {"c": classes, "n": number}) == 0.25
    assert score([CLASSES, NUMBER], {"c": classes}) == 0.5  # the number is known in no row
    assert [score_name([target]) for target in (CLASSES, LABELS, NUMBER)] == ["accuracy", "map", "r2"]
    assert [score_name([CLASSES], balanced=True), score_name([CLASSES, NUMBER])] == ["macro_f1", "score"]
