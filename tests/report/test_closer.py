"""Rows to look at: the worst errors are wrong answers, surest first; the least sure ones are those between classes."""

import torch

from perceiver_pytorch.data import ClassTarget, NumberTarget, Predictions
from perceiver_pytorch.report.closer import COUNT, closer_rows


def predictions(target, outputs, encoded):
    return Predictions(torch.arange(len(encoded)), (target,), {target.name: outputs}, {target.name: encoded}, {})


def test_the_worst_are_wrong_and_sure_of_it_and_the_least_sure_are_undecided():
    target = ClassTarget("kind", ("a", "b"), (5, 5))
    logits = torch.tensor([[4.0, 0.0], [0.0, 1.0], [0.1, 0.0], [3.0, 0.0], [0.0, 9.0], [0.0, 0.0]])
    truth = torch.tensor([1, 0, 0, 0, -1, 1])  # rows 0 and 1 are wrong, and 5, where none is ahead
    (found,) = closer_rows(predictions(target, logits, truth))
    assert found.worst == [0, 1, 5]
    assert found.least_sure[:2] == [5, 2]
    assert len(found.least_sure) == COUNT


def test_of_numbers_the_worst_are_furthest_off_and_none_is_unsure():
    target = NumberTarget("size", 10.0, 2.0)
    truth = torch.tensor([0.0, 1.0, float("nan"), -1.0])
    (found,) = closer_rows(predictions(target, torch.tensor([[0.1], [4.0], [9.0], [-1.0]]), truth))
    assert found.worst == [1, 0, 3]
    assert found.least_sure == []
