"""Metrics of classes against scikit-learn, and what else a class target says."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from sklearn import metrics as sk

from perceiver_pytorch.data import ClassTarget
from perceiver_pytorch.data.targets import Answer

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


def test_a_row_in_words_and_in_a_file():
    values = CLASSES.values(torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]))
    columns = CLASSES.columns(values)
    assert list(columns) == ["prediction", "p_a", "p_b", "p_z"]
    assert columns["prediction"] == ["b", "a"]
    assert columns["p_b"].tolist() == values[:, 1].tolist()
    assert CLASSES.answer(values[0], torch.tensor(1)) == Answer("b (79 %)", "b", True)
    assert CLASSES.answer(values[0], torch.tensor(2)) == Answer("b (79 %)", "z", False)
    assert CLASSES.answer(values[0], None) == Answer("b (79 %)")
    assert CLASSES.right(values, torch.tensor([1, -1])).tolist() == [True, False]


def test_the_confusion_matrix_is_drawn_if_it_can_be_read():
    metrics = {"confusion": [[1, 0, 0], [0, 2, 1], [0, 0, 3]]}
    (section,) = CLASSES.sections(metrics, torch.zeros(0, 3), torch.zeros(0), " of c")
    assert section.heading == "Confusion matrix of c"
    axes = Figure().subplots()
    section.drawing.draw(axes)
    assert sorted(text.get_text() for text in axes.texts) == ["1", "1", "2", "3"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "z"]
    many = ClassTarget("c", tuple(map(str, range(61))), (1,) * 61)
    (section,) = many.sections(metrics, torch.zeros(0, 61), torch.zeros(0), "")
    assert section.drawing is None
    assert section.note == "61 classes are too many to draw; the counts are in metrics.json."


def test_too_many_classes_are_doubted():
    with pytest.raises(ValueError, match="has 30 different values in 40 train rows, too many for classes"):
        ClassTarget.fit("c", [str(i % 30) for i in range(40)])
    assert ClassTarget.fit("c", [str(i % 30) for i in range(60)]).size == 30
    assert ClassTarget.fit("c", [str(i % 20) for i in range(25)]).size == 20


def test_classes_that_look_alike_are_warned_about():
    assert CLASSES.warnings() == []
    (text,) = ClassTarget("c", ("no", "no ", "yes"), (1, 1, 1)).warnings()
    assert text.startswith("'c' has 'no', 'no ', which differ in spaces or capitals alone")
