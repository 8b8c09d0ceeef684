"""Losses against plain formulas."""

import pytest
import torch
import torch.nn.functional as F

from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget
from perceiver_pytorch.training.table.losses import target_loss, weighted_mean

CLASSES = ClassTarget("c", ("a", "b", "z"), (6, 3, 1))
LABELS = LabelsTarget("g", ("x", "y", "w"), (4, 1, 2), 8, "|")
NUMBER = NumberTarget("n", 100.0, 20.0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_unknown_targets_neither_count_nor_have_gradients(generator):
    for target, encoded, loss in (
        (CLASSES, torch.tensor([0, -1, 2]), F.cross_entropy),
        (LABELS, torch.tensor([[0.0, 1, 1], [torch.nan] * 3, [1, 0, 0]]), F.binary_cross_entropy_with_logits),
        (NUMBER, torch.tensor([0.5, torch.nan, -1]), lambda out, y: F.mse_loss(out[:, 0], y)),
    ):
        outputs = torch.randn(3, target.size, generator=generator, requires_grad=True)
        value = target_loss(target, outputs, encoded)
        torch.testing.assert_close(value, loss(outputs[[0, 2]], encoded[[0, 2]]))
        value.backward()
        assert not outputs.grad[1].any()
        assert outputs.grad[[0, 2]].any()
        none = target_loss(target, outputs, encoded[[1, 1, 1]])
        none.backward()
        assert none.item() == 0


def test_balanced_weights_make_every_class_count_alike():
    weights = CLASSES.balanced_weights()
    counts = torch.tensor(CLASSES.counts, dtype=torch.float32)
    torch.testing.assert_close(weights * counts, torch.full((3,), counts.sum().item() / 3))
    torch.testing.assert_close(LABELS.balanced_weights(), torch.tensor([1.0, 7.0, 3.0]))
    assert NUMBER.balanced_weights() is None
    # A row of the rare class moves the loss as much as all rows of the common one.
    truth = torch.tensor([0] * 6 + [1] * 3 + [2])
    logits = torch.zeros(10, 3, requires_grad=True)
    target_loss(CLASSES, logits, truth, weights=weights).backward()
    pulls = torch.stack([-logits.grad[truth == i, i].sum() for i in range(3)])
    torch.testing.assert_close(pulls, pulls.mean().expand(3))


def test_losses_are_weighted_by_task():
    losses = {"c": torch.tensor(1.0), "n": torch.tensor(4.0)}
    assert weighted_mean(losses, [CLASSES, NUMBER], {}).item() == 2.5
    assert weighted_mean(losses, [CLASSES, NUMBER], {"n": 0.0}).item() == 1.0
    assert weighted_mean(losses, [CLASSES, NUMBER], {"c": 3.0}).item() == pytest.approx(1.75)
    assert weighted_mean(losses, [CLASSES, NUMBER], {"c": 3.0, "other": 9.0}).item() == pytest.approx(1.75)


def test_smoothing_moves_a_share_of_the_answer_to_all_classes(generator):
    outputs, truth = torch.randn(3, 3, generator=generator), torch.tensor([0, 1, 2])
    expected = F.cross_entropy(outputs, truth, label_smoothing=0.3)
    torch.testing.assert_close(target_loss(CLASSES, outputs, truth, label_smoothing=0.3), expected)
    assert not torch.isclose(target_loss(CLASSES, outputs, truth), expected)
