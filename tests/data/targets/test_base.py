import numpy as np
import pytest
import torch

from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget

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
