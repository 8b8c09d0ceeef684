import numpy as np
import pytest
import torch

from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget, Target

CLASSES = ClassTarget("c", ("a", "b", "z"), (6, 3, 1))
LABELS = LabelsTarget("g", ("x", "y", "w"), (4, 1, 2), 8, "|")


def test_nothing_known_is_an_error():
    for target, encoded in ((CLASSES, torch.tensor([-1])), (LABELS, torch.full((1, 3), torch.nan))):
        with pytest.raises(ValueError, match=f"no row has a '{target.name}'"):
            target.measured(torch.zeros(1, 3), encoded)


NUMBER = NumberTarget("n", 100.0, 20.0)


@pytest.mark.parametrize("target", [CLASSES, LABELS, NUMBER], ids=lambda target: target.kind)
def test_what_is_unknown_is_known_to_be(target):
    unknown = target.unknown()
    assert (unknown.shape, str(unknown.dtype)) == (target.shape, target.dtype)
    there = {"class": "a", "labels": "x", "number": 3}[target.kind]
    rows = np.stack([target.encode(there), unknown, target.encode(None)]).astype(target.dtype)
    assert target.known(rows).tolist() == [True, False, False]
    assert target.known(torch.from_numpy(rows)).tolist() == [True, False, False]


@pytest.mark.parametrize("target", [CLASSES, LABELS, NUMBER], ids=lambda target: target.kind)
def test_what_is_shown_first_is_measured(target):
    encoded = torch.from_numpy(np.stack([target.encode({"class": "a", "labels": "x", "number": 3}[target.kind])] * 2))
    metrics = target.measured(torch.zeros(2, target.size), encoded)
    assert {*target.titles, target.baseline.metric} <= metrics.keys()
    assert {target.baseline.measures, target.score_name(), target.score_name(balanced=True)} <= target.titles.keys()


def test_a_kind_need_not_say_everything():
    for method, arguments, expected in (
        (Target.recognises, (["a"], None), False),
        (Target.strata, (["a"],), None),
        (Target.groups, (["a", None], None), [(), ()]),
    ):
        assert method(*arguments) == expected
    assert Target.warnings(NUMBER) == []
    assert Target.shape.fget(NUMBER) == ()
    assert Target.balanced_weights(NUMBER) is None
    assert Target.suited_score(CLASSES, True) == "macro_f1"
    assert Target.right(NUMBER, torch.zeros(2, 1), torch.zeros(2)) is None
    assert Target.intervals(NUMBER, {}, torch.zeros(2, 1), torch.zeros(2)) == {}
    assert Target.sections(NUMBER, {}, torch.zeros(2, 1), torch.zeros(2), "") == []
    assert (Target.score(NUMBER, {"r2": None}, "r2"), Target.score(NUMBER, {"r2": 0.5}, "r2")) == (0.0, 0.5)


def test_a_kind_with_strata_has_a_group_per_cell():
    class Striped(ClassTarget):
        groups = classmethod(Target.groups.__func__)

    assert Striped.groups(["a", 1.0], None) == [("a",), ("1",)]


def test_a_line_for_the_terminal():
    metrics = {"accuracy": 0.91234567, "auroc": None, "loss": 0.5, "majority_accuracy": 0.25, "rows": 1234}
    assert CLASSES.line(metrics) == "c: accuracy 0.9123, loss 0.5 on 1,234 rows (majority class: accuracy 0.25)"
    metrics |= {"intervals": {"accuracy": {"low": 0.9, "high": 0.93}}, "majority_accuracy": None}
    assert CLASSES.line(metrics) == "c: accuracy 0.9123 (0.9–0.93), loss 0.5 on 1,234 rows"


def test_measured_rows_are_those_that_are_known():
    logits = torch.tensor([[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]])
    found = CLASSES.measured(logits.half(), torch.tensor([0, -1, 1]))
    assert (found["kind"], found["rows"], found["accuracy"]) == ("class", 2, 0.5)
