"""Metrics of labels against scikit-learn, and what else a target of labels says."""

import pytest
import torch
from sklearn import metrics as sk

from perceiver_pytorch.data import LabelsTarget

LABELS = LabelsTarget("g", ("x", "y", "w"), (4, 1, 2), 8, "|")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_metrics_of_labels_are_scikit_learns(generator):
    logits = torch.randn(50, 3, generator=generator)
    truth = torch.randint(0, 2, (50, 3), generator=generator).float()
    truth[:, 2] = 0  # no row has it: it has no average precision, and does not count
    truth[7] = torch.nan
    keep = ~truth.isnan().any(1)
    values, given, p = LABELS.measured(logits, truth), truth[keep].numpy(), logits[keep].sigmoid().numpy()
    assert values["rows"] == 49
    assert values["map"] == pytest.approx(sk.average_precision_score(given[:, :2], p[:, :2], average="macro"), abs=1e-6)
    assert values["micro_f1"] == pytest.approx(sk.f1_score(given, p >= 0.5, average="micro"))
    assert values["macro_f1"] == pytest.approx(sk.f1_score(given[:, :2], p[:, :2] >= 0.5, average="macro"))
    assert values["baseline_map"] == pytest.approx(given[:, :2].mean())
    assert [row["rows"] for row in values["per_label"]] == given.sum(0).tolist()
    assert values["per_label"][0]["recall"] == pytest.approx(sk.recall_score(given[:, 0], p[:, 0] >= 0.5))
    assert values["per_label"][2]["average_precision"] is None
