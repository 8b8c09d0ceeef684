"""Metrics of labels against scikit-learn, and what else a target of labels says."""

import pytest
import torch
from sklearn import metrics as sk

from perceiver_pytorch.data import LabelsTarget
from perceiver_pytorch.data.targets import Answer, intervals

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
    never = LABELS.measured(torch.full((2, 3), -1.0), torch.tensor([[1.0, 0, 0], [0, 0, 0]]))["per_label"]
    assert [(row["f1"], row["precision"], row["recall"]) for row in never] == [(0, 0, 0)] * 3
    assert [row["label"] for row in never] == ["x", "y", "w"]


def test_a_row_in_words_and_in_a_file():
    values = LABELS.values(torch.tensor([[3.0, -3.0, 3.0], [-3.0, -3.0, -3.0]]))
    assert LABELS.columns(values.numpy())["prediction"] == ["x|w", ""]
    assert list(LABELS.columns(values.numpy())) == ["prediction", "p_x", "p_y", "p_w"]
    assert LABELS.answer(values[0], torch.tensor([1.0, 0, 1])) == Answer("x, w", "x, w", True)
    assert LABELS.answer(values[1], torch.tensor([0.0, 1, 0])) == Answer("(none)", "y", False)
    assert LABELS.answer(values[1], None) == Answer("(none)")
    for separator, joint in ((",", "x, w"), ("", "x|w"), (";", "x;w")):
        target = LabelsTarget("g", LABELS.labels, LABELS.counts, 8, separator)
        assert target.columns(values.numpy())["prediction"][0] == joint


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


def test_labels_are_learned_in_order_with_their_rows():
    target = LabelsTarget.fit("g", [["b", "a"], ["a"], [], ["10", "9"]])
    assert (target.labels, target.counts) == (("9", "10", "a", "b"), (1, 1, 2, 1))
    assert (target.rows, target.separator, target.size, target.shape) == (4, "", 4, (4,))
    assert target.note() == "4 labels, 1.2 a row"
    assert LabelsTarget.fit("g", ["a;b", "a", None, "b"], ";").separator == ";"
    assert LabelsTarget.fit("g", ["a;b", "a", None, "b"], ";").rows == 3
    with pytest.raises(ValueError, match="has no label in 2 train rows"):
        LabelsTarget.fit("g", [[], []])
    with pytest.raises(ValueError, match="has 3 different labels in 2 train rows, too many to learn"):
        LabelsTarget.fit("g", [["a", "b"], ["c"]])
    assert LabelsTarget.fit("g", [["a", "b"], ["a"]]).size == 2


def test_labels_that_do_not_fit_together_are_refused():
    for labels in ((), ("a", "a")):
        with pytest.raises(ValueError, match="labels must hold one or more different names"):
            LabelsTarget("g", labels, (1,) * len(labels), 2, "")
    with pytest.raises(ValueError, match="counts must hold one count per name"):
        LabelsTarget("g", ("a",), (1, 1), 2, "")
    with pytest.raises(ValueError, match="rows must be at least 3, got 2"):
        LabelsTarget("g", ("a",), (3,), 2, "")


def test_lists_and_separated_texts_are_labels():
    assert LabelsTarget.recognises([["a"], ["b", "c"]], None)
    assert LabelsTarget.recognises(['["a"]'] * 19 + ["a"], None)
    assert not LabelsTarget.recognises(['["a"]'] * 18 + ["a", "b"], None)
    assert LabelsTarget.recognises(["a;b", "c"], ";")
    assert not LabelsTarget.recognises(["ab", "c"], ";")
    assert not LabelsTarget.recognises([], None)
    assert LabelsTarget.groups([["a", "b"], [], None, 3.5, "[1"], None)[:3] == [("a", "b"), (), ()]


def test_a_cell_is_one_for_each_of_its_labels():
    assert LABELS.encode("w|x").tolist() == [1, 0, 1]
    assert LABELS.encode([]).tolist() == [0, 0, 0]
    assert LabelsTarget("g", ("x|y",), (1,), 1, "").encode("x|y").tolist() == [1]
    assert torch.tensor(LABELS.encode(None)).isnan().all()
    with pytest.raises(ValueError, match=r"the label 'q' is none of the train rows' labels \(x, y, w\)"):
        LABELS.encode("q|x")


def test_the_loss_is_binary_cross_entropy(generator):
    logits = torch.randn(9, 3, generator=generator)
    truth = torch.randint(0, 2, (9, 3), generator=generator).float()
    p, weights = logits.double().sigmoid(), torch.tensor([1.0, 7.0, 3.0])
    exact = -(truth * p.log() + (1 - truth) * (1 - p).log())
    weighted = -(weights * truth * p.log() + (1 - truth) * (1 - p).log())
    assert LABELS.loss(logits, truth).item() == pytest.approx(exact.mean().item(), abs=1e-6)
    assert LABELS.loss(logits, truth, weights=weights).item() == pytest.approx(weighted.mean().item(), abs=1e-6)
    assert LABELS.balanced_weights().tolist() == [1.0, 7.0, 3.0]
    rare = LabelsTarget("g", ("all", "few"), (1000, 1), 1000, "|")
    assert rare.balanced_weights().tolist() == pytest.approx([0.01, 100.0])


def test_half_a_probability_is_a_label():
    values = torch.tensor([[0.5, 0.49, 0.51]])
    assert LABELS.columns(values.numpy())["prediction"] == ["x|w"]
    assert LABELS.answer(values[0], None) == Answer("x, w")
    assert LABELS.answer(values[0], torch.tensor([1.0, 1, 1])).right is False
    assert (LABELS.score_name(), LABELS.score_name(balanced=True)) == ("map", "map")


def test_no_label_at_all_is_no_score(generator):
    values = LABELS.measured(torch.randn(4, 3, generator=generator), torch.zeros(4, 3))
    assert (values["map"], values["macro_f1"], values["baseline_map"]) == (None, None, None)


def test_every_score_has_its_interval():
    outputs = torch.tensor([[1.0, -1, -1], [1, 1, 0], [-1, -1, -1], [1, 1, -1], [-1, 2, -1]])
    encoded = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]])
    metrics = LABELS.measured(outputs, encoded)
    found = LABELS.intervals(metrics, outputs, encoded)
    x, y = metrics["per_label"][0]["average_precision"], metrics["per_label"][1]["average_precision"]
    joined = "Wilson for each label, joined by MOVER"
    expected = {
        "map": (intervals.mean([x, y], [intervals.wilson(x, 3), intervals.wilson(y, 2)]), joined),
        "micro_f1": (intervals.f1(4, 4), "Wilson"),  # 0.5 is a label: w is given once
        "macro_f1": (intervals.mean([2 / 3, 4 / 5], [intervals.f1(2, 2), intervals.f1(2, 1)]), joined),
    }
    assert found.keys() == expected.keys()
    for name, (interval, method) in expected.items():
        assert (found[name]["low"], found[name]["high"]) == pytest.approx(interval, abs=1e-6), name
        assert (found[name]["level"], found[name]["method"]) == (0.95, method)
    assert LABELS.absent(encoded) == ["w"]
