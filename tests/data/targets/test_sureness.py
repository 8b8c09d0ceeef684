"""ECE and Brier score against scikit-learn and a dense count."""

import itertools

import numpy as np
import pytest
import torch

from perceiver_pytorch.data.targets import ClassTarget, LabelsTarget
from perceiver_pytorch.data.targets.sureness import BINS, ece, reliability


def test_bins_are_counted_as_by_hand() -> None:
    stated = torch.tensor([0.0, 0.01, 0.5, 0.51, 1.0])
    happened = torch.tensor([False, True, False, True, True])
    bins = reliability(stated, happened)
    assert [each["rows"] for each in bins] == [2, 2, 1]
    assert [each["found"] for each in bins] == [0.5, 0.5, 1.0]
    assert ece(bins) == pytest.approx((2 * abs(0.005 - 0.5) + 2 * abs(0.505 - 0.5)) / 5)


def test_ece_is_the_gap_of_a_dense_count() -> None:
    rng = np.random.default_rng(0)
    stated, happened = rng.uniform(size=1000), rng.uniform(size=1000) < 0.3
    gap, edges = 0.0, np.linspace(0, 1, BINS + 1)
    for low, high in itertools.pairwise(edges):
        inside = (stated >= low) & (stated < high)
        gap += inside.mean() * abs(stated[inside].mean() - happened[inside].mean())
    found = reliability(torch.from_numpy(stated), torch.from_numpy(happened))
    assert ece(found) == pytest.approx(gap)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_brier_score_is_that_of_scikit_learn(classes: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(0)
    outputs, truth = torch.randn(300, classes, generator=generator), torch.randint(classes, (300,), generator=generator)
    probabilities = outputs.double().softmax(-1).numpy()
    if classes == 2:
        expected = metrics.brier_score_loss(truth.numpy(), probabilities[:, 1])
    else:
        expected = ((probabilities - np.eye(classes)[truth.numpy()]) ** 2).sum(1).mean()
    found = ClassTarget("c", tuple("abcd"[:classes]), (1,) * classes).sureness(outputs, truth)
    assert found["brier"] == pytest.approx(expected)
    assert found["loss"] == pytest.approx(metrics.log_loss(truth.numpy(), probabilities))


def test_labels_are_counted_one_by_one() -> None:
    outputs, truth = torch.tensor([[2.0, -2.0]]), torch.tensor([[1.0, 1.0]])
    found = LabelsTarget("l", ("a", "b"), (1, 1), 1, "").sureness(outputs, truth)
    p = outputs.sigmoid()
    assert found["brier"] == pytest.approx(float(((1 - p) ** 2).mean()))
    assert sum(each["rows"] for each in found["bins"]) == 2
