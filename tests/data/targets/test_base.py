import pytest
import torch

from perceiver_pytorch.data import ClassTarget, LabelsTarget

CLASSES = ClassTarget("c", ("a", "b", "z"), (6, 3, 1))
LABELS = LabelsTarget("g", ("x", "y", "w"), (4, 1, 2), 8, "|")


def test_nothing_known_is_an_error():
    for target, encoded in ((CLASSES, torch.tensor([-1])), (LABELS, torch.full((1, 3), torch.nan))):
        with pytest.raises(ValueError, match=f"no row has a '{target.name}'"):
            target.measured(torch.zeros(1, 3), encoded)
