"""Metrics of labels against scikit-learn, and what else a target of labels says."""

import pytest
import torch
from sklearn import metrics as sk

from perceiver_pytorch.data import LabelsTarget
from perceiver_pytorch.data.targets import Answer

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


def test_a_row_in_words_and_in_a_file():
    values = LABELS.values(torch.tensor([[3.0, -3.0, 3.0], [-3.0, -3.0, -3.0]]))
    assert LABELS.columns(values)["prediction"] == ["x|w", ""]
    assert list(LABELS.columns(values)) == ["prediction", "p_x", "p_y", "p_w"]
    assert LABELS.answer(values[0], torch.tensor([1.0, 0, 1])) == Answer("x, w", "x, w", True)
    assert LABELS.answer(values[1], torch.tensor([0.0, 1, 0])) == Answer("(none)", "y", False)
    assert LABELS.answer(values[1], None) == Answer("(none)")
    for separator, joint in ((",", "x, w"), ("", "x|w"), (";", "x;w")):
        target = LabelsTarget("g", LABELS.labels, LABELS.counts, 8, separator)
        assert target.columns(values)["prediction"][0] == joint


def test_the_report_has_a_row_per_label_the_most_common_first(generator):
    logits, truth = torch.randn(20, 3, generator=generator), torch.zeros(20, 3)
    truth[:4, 0], truth[:9, 1] = 1, 1
    (section,) = LABELS.sections(LABELS.measured(logits, truth), LABELS.values(logits), truth, "")
    assert (section.heading, section.header[:3]) == ("Labels", ("label", "rows", "average precision"))
    assert [row[:2] for row in section.rows] == [["y", "9"], ["x", "4"], ["w", "0"]]
    assert section.rows[2][2] == "–"
    assert all(len(row) == len(section.header) for row in section.rows)


def test_labels_that_look_alike_are_warned_about():
    (text,) = LabelsTarget("g", ("A", "a"), (1, 1), 2, "").warnings()
    assert text == "'g' has 'A', 'a', which differ in spaces or capitals alone; they are learned as different labels"
