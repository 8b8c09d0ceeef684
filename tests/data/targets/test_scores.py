import pytest

from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.targets.scores import metric_lines, score, score_name

CLASSES = ClassTarget("c", ("a", "b", "z"), (6, 3, 1))
LABELS = LabelsTarget("g", ("x", "y", "w"), (4, 1, 2), 8, "|")
NUMBER = NumberTarget("n", 100.0, 20.0)
PLAIN, BALANCED = Choice("plain"), Choice("plain", balanced=True)


def test_the_score_is_the_kinds_metric_or_the_mean_within_0_and_1():
    classes, number = {"accuracy": 0.5, "macro_f1": 0.25}, {"r2": -3.0, "rmse": 20.0}
    assert score([CLASSES], {"c": classes}, PLAIN) == 0.5
    assert score([CLASSES], {"c": classes}, BALANCED) == 0.25
    assert score([NUMBER], {"n": number}, PLAIN) == -3.0
    assert score([NUMBER], {"n": {"r2": None, "rmse": 10.0}}, PLAIN) == pytest.approx(0.75)
    assert score([CLASSES, NUMBER], {"c": classes, "n": number}, PLAIN) == 0.25
    assert score([CLASSES, NUMBER], {"c": classes}, PLAIN) == 0.5  # the number is known in no row
    assert [score_name([target], PLAIN) for target in (CLASSES, LABELS, NUMBER)] == ["accuracy", "map", "r2"]
    assert [score_name([CLASSES], BALANCED), score_name([CLASSES, NUMBER], PLAIN)] == ["macro_f1", "score"]


MEASURED = {"accuracy": 0.75, "macro_f1": 0.5, "auroc": None, "loss": 1.25, "majority_accuracy": 0.5, "rows": 1200}


def test_metrics_are_a_line_for_each_target_and_modality():
    parts = {"picture": {"without": 0.5, "alone": 0.625}}
    lines = metric_lines([CLASSES], {**MEASURED, "score_name": "accuracy", "modalities": parts})
    assert lines == [
        "c: accuracy 0.75, macro F1 0.5, loss 1.25 on 1,200 rows (majority class: accuracy 0.5)",
        "  picture: accuracy 0.5000 without it, 0.6250 with it alone",
    ]
    few = {**MEASURED, "intervals": {"accuracy": {"low": 0.5, "high": 0.91234}, "auroc": None}}
    lines = metric_lines([CLASSES], {**few, "score_name": "accuracy", "modalities": {}})
    assert lines[0].startswith("c: accuracy 0.75 (0.5–0.912), macro F1 0.5, ")
    tasks = {"c": MEASURED, "g": {"map": 0.5, "micro_f1": 1, "macro_f1": 1, "loss": 1, "baseline_map": None, "rows": 3}}
    lines = metric_lines([CLASSES, LABELS, NUMBER], {"tasks": tasks, "score_name": "score", "modalities": parts})
    assert lines[1] == "g: mAP 0.5, micro F1 1, macro F1 1, loss 1 on 3 rows"
    assert lines[2] == "  picture: score 0.5000 without it, 0.6250 with it alone"
    assert len(lines) == 3
