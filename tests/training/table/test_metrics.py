"""Metrics and losses against scikit-learn and plain formulas."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics as sk

from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget
from perceiver_pytorch.training.table.losses import class_weights, target_loss, weighted_mean
from perceiver_pytorch.training.table.metrics import score, score_name, target_metrics

CLASSES = ClassTarget("c", ("a", "b", "z"), (6, 3, 1))
LABELS = LabelsTarget("g", ("x", "y", "w"), (4, 1, 2), 8, "|")
NUMBER = NumberTarget("n", 100.0, 20.0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_metrics_of_classes_are_scikit_learns(generator):
    logits = torch.randn(60, 3, generator=generator)
    truth = torch.randint(-1, 3, (60,), generator=generator)
    keep, values = truth >= 0, target_metrics(CLASSES, logits, truth)
    given, p = truth[keep].numpy(), logits[keep].softmax(-1).double().numpy()
    p /= p.sum(1, keepdims=True)
    chosen = p.argmax(1)
    assert values["rows"] == len(given) < 60
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(given, chosen))
    assert values["macro_f1"] == pytest.approx(sk.f1_score(given, chosen, average="macro"))
    assert values["auroc"] == pytest.approx(sk.roc_auc_score(given, p, multi_class="ovr"), abs=1e-6)
    assert values["loss"] == pytest.approx(sk.log_loss(given, p), abs=1e-5)
    assert values["confusion"] == sk.confusion_matrix(given, chosen).tolist()
    assert values["majority_accuracy"] == pytest.approx(np.bincount(given).max() / len(given))


def test_the_area_of_two_classes_is_that_of_the_second(generator):
    target = ClassTarget("c", ("no", "yes"), (1, 1))
    logits, truth = torch.randn(40, 2, generator=generator), torch.randint(0, 2, (40,), generator=generator)
    expected = sk.roc_auc_score(truth.numpy(), logits.softmax(-1)[:, 1].numpy())
    assert target_metrics(target, logits, truth)["auroc"] == pytest.approx(expected, abs=1e-6)
    assert target_metrics(target, logits, torch.zeros(40, dtype=torch.int64))["auroc"] is None


def test_metrics_of_labels_are_scikit_learns(generator):
    logits = torch.randn(50, 3, generator=generator)
    truth = torch.randint(0, 2, (50, 3), generator=generator).float()
    truth[:, 2] = 0  # no row has it: it has no average precision, and does not count
    truth[7] = torch.nan
    keep = ~truth.isnan().any(1)
    values, given, p = target_metrics(LABELS, logits, truth), truth[keep].numpy(), logits[keep].sigmoid().numpy()
    assert values["rows"] == 49
    assert values["map"] == pytest.approx(sk.average_precision_score(given[:, :2], p[:, :2], average="macro"), abs=1e-6)
    assert values["micro_f1"] == pytest.approx(sk.f1_score(given, p >= 0.5, average="micro"))
    assert values["macro_f1"] == pytest.approx(sk.f1_score(given[:, :2], p[:, :2] >= 0.5, average="macro"))
    assert values["baseline_map"] == pytest.approx(given[:, :2].mean())
    assert [row["rows"] for row in values["per_label"]] == given.sum(0).tolist()
    assert values["per_label"][0]["recall"] == pytest.approx(sk.recall_score(given[:, 0], p[:, 0] >= 0.5))
    assert values["per_label"][2]["average_precision"] is None


def test_metrics_of_numbers_are_scikit_learns_in_their_unit(generator):
    outputs, encoded = torch.randn(30, 1, generator=generator), torch.randn(30, generator=generator)
    encoded[3] = torch.nan
    keep = ~encoded.isnan()
    values = target_metrics(NUMBER, outputs, encoded)
    truth, given = encoded[keep].double().numpy() * 20 + 100, outputs[keep, 0].double().numpy() * 20 + 100
    assert values["mae"] == pytest.approx(sk.mean_absolute_error(truth, given))
    assert values["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, given))
    assert values["r2"] == pytest.approx(sk.r2_score(truth, given))
    assert values["baseline_mae"] == pytest.approx(np.abs(truth - 100).mean())
    assert target_metrics(NUMBER, outputs[:1], encoded[:1])["r2"] is None


def test_nothing_known_is_an_error():
    for target, encoded in ((CLASSES, torch.tensor([-1])), (LABELS, torch.full((1, 3), torch.nan))):
        with pytest.raises(ValueError, match=f"no row has a '{target.name}'"):
            target_metrics(target, torch.zeros(1, 3), encoded)


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
    weights = class_weights(CLASSES, True)
    counts = torch.tensor(CLASSES.counts, dtype=torch.float32)
    torch.testing.assert_close(weights * counts, torch.full((3,), counts.sum().item() / 3))
    torch.testing.assert_close(class_weights(LABELS, True), torch.tensor([1.0, 7.0, 3.0]))
    assert class_weights(NUMBER, True) is None
    assert class_weights(CLASSES, False) is None
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
