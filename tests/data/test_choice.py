import pytest

from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget
from perceiver_pytorch.data.choice import SCORES, Choice

EVEN = ClassTarget("y", ("a", "b"), (50, 150))
SKEWED = ClassTarget("y", ("a", "b"), (49, 151))
MANY = ClassTarget("y", ("a", "b", "c"), (60, 40, 10))
LABELS = LabelsTarget("g", ("x", "y"), (4, 1), 8, "|")
NUMBER = NumberTarget("n", 100.0, 20.0)


def test_skewed_classes_are_chosen_by_a_score_that_their_majority_does_not_decide():
    suited = [Choice().of(target) for target in (EVEN, SKEWED, MANY, LABELS, NUMBER)]
    assert suited == ["accuracy", "auroc", "balanced_accuracy", "map", "r2"]
    assert [Choice("plain").of(target) for target in (SKEWED, MANY, LABELS)] == ["accuracy", "accuracy", "map"]


def test_balanced_weights_go_with_macro_f1():
    for by in ("suited", "plain"):
        assert Choice(by, balanced=True).of(SKEWED) == "macro_f1"


def test_a_given_score_is_taken_where_there_is_one():
    choice = Choice("macro_f1", balanced=False)
    assert [choice.of(target) for target in (SKEWED, LABELS, NUMBER)] == ["macro_f1", "macro_f1", "r2"]
    choice.check([NUMBER, LABELS])
    with pytest.raises(ValueError, match=r"choose_by must be a score of the targets, got 'macro_f1'; n .* by r2"):
        choice.check([NUMBER])
    Choice().check([NUMBER])


def test_all_scores_of_all_kinds_can_be_given():
    kinds = (ClassTarget, LabelsTarget, NumberTarget)
    assert {name for kind in kinds for name in kind.scores} == set(SCORES)
    assert all(set(kind.scores) <= kind.titles.keys() for kind in kinds)


def test_the_suited_score_is_the_default():
    assert (Choice().by, Choice().balanced) == ("suited", False)
    Choice("plain").check([NUMBER])
    Choice("no score").check([NUMBER])
    scores = "accuracy, balanced_accuracy, macro_f1, auroc, r2"
    with pytest.raises(ValueError, match=rf"got 'map'; y, n can be chosen by {scores}$"):
        Choice("map").check([EVEN, NUMBER])
