"""Metrics of classes against scikit-learn, and what else a class target says."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from perceiver_pytorch.data import ClassTarget

CLASSES = ClassTarget("c", ("a", "b", "z"), (6, 3, 1))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_metrics_of_classes_are_scikit_learns(generator):
    logits = torch.randn(60, 3, generator=generator)
    truth = torch.randint(-1, 3, (60,), generator=generator)
    keep, values = truth >= 0, CLASSES.measured(logits, truth)
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
    assert target.measured(logits, truth)["auroc"] == pytest.approx(expected, abs=1e-6)
    assert target.measured(logits, torch.zeros(40, dtype=torch.int64))["auroc"] is None
