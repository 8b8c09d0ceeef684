"""Metrics of classes against scikit-learn, and what else a class target says."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from sklearn import metrics as sk

from perceiver_pytorch.data import ClassTarget
from perceiver_pytorch.data.targets import Answer, intervals
from perceiver_pytorch.data.targets.base import Baseline

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
    columns = CLASSES.columns(values.numpy())
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


def test_too_many_classes_are_doubted():
    with pytest.raises(ValueError, match="has 30 different values in 40 train rows, too many for classes"):
        ClassTarget.fit("c", [str(i % 30) for i in range(40)])
    with pytest.raises(ValueError, match="has 21 different values in 41 train rows"):
        ClassTarget.fit("c", [str(i % 21) for i in range(41)])
    assert ClassTarget.fit("c", [str(i % 21) for i in range(42)]).size == 21
    assert ClassTarget.fit("c", [str(i % 30) for i in range(60)]).size == 30
    assert ClassTarget.fit("c", [str(i % 20) for i in range(25)]).size == 20


def test_classes_that_look_alike_are_warned_about():
    assert CLASSES.warnings() == []
    (text,) = ClassTarget("c", ("no", "no ", "yes"), (1, 1, 1)).warnings()
    assert text.startswith("'c' has 'no', 'no ', which differ in spaces or capitals alone")


def test_classes_are_learned_in_order_with_their_rows():
    target = ClassTarget.fit("c", ["b", 10, "a", 9.5, "b", "b"])
    assert (target.classes, target.counts) == (("9.5", "10", "a", "b"), (1, 1, 1, 3))
    assert (target.name, target.size, target.note()) == ("c", 4, "4 classes")
    assert ClassTarget.recognises(["anything"], None)
    with pytest.raises(ValueError, match=r"has one value only in the train rows \(a\); two classes are needed"):
        ClassTarget.fit("c", ["a", "a"])


def test_classes_that_are_not_different_are_refused():
    for classes in (("a",), ("a", "a")):
        with pytest.raises(ValueError, match="classes must hold two or more different names"):
            ClassTarget("c", classes, (1,) * len(classes))
    with pytest.raises(ValueError, match="counts must hold one count per name, 2 in all"):
        ClassTarget("c", ("a", "b"), (1, 2, 3))


def test_a_cell_is_the_index_of_its_class():
    assert [int(CLASSES.encode(cell)) for cell in ("a", "b", "z")] == [0, 1, 2]
    assert int(CLASSES.encode(None)) == int(CLASSES.unknown()) == -1
    assert int(ClassTarget("c", ("1", "2"), (1, 1)).encode(2.0)) == 1
    with pytest.raises(ValueError, match=r"the class 'q' is none of the train rows' classes \(a, b, z\)"):
        CLASSES.encode("q")


def test_groups_are_what_a_split_keeps_of_each():
    assert ClassTarget.strata(["a", 1.0]) == ["a", "1"]
    assert ClassTarget.groups(["a", None, 1.0], None) == [("a",), (), ("1",)]


def test_the_loss_is_cross_entropy(generator):
    logits, truth = torch.randn(9, 3, generator=generator), torch.randint(0, 3, (9,), generator=generator)
    exact = -logits.double().log_softmax(-1)
    assert CLASSES.loss(logits, truth).item() == pytest.approx(exact[torch.arange(9), truth].mean().item(), abs=1e-6)
    weights = CLASSES.balanced_weights()
    torch.testing.assert_close(weights, torch.tensor([10 / 18, 10 / 9, 10 / 3]))
    weighted = (exact[torch.arange(9), truth] * weights[truth]).sum() / weights[truth].sum()
    assert CLASSES.loss(logits, truth, weights=weights).item() == pytest.approx(weighted.item(), abs=1e-6)
    smoothed = 0.9 * exact[torch.arange(9), truth] + 0.1 * exact.mean(-1)
    assert CLASSES.loss(logits, truth, label_smoothing=0.1).item() == pytest.approx(smoothed.mean().item(), abs=1e-6)
    assert ClassTarget("c", ("a", "b"), (0, 3)).balanced_weights().tolist() == pytest.approx([2, 2 / 3])


def test_the_score_is_one_that_shows_every_class():
    assert (CLASSES.score_name(), CLASSES.score_name(balanced=True)) == ("accuracy", "macro_f1")
    even, skewed = ClassTarget("c", ("a", "b"), (3, 1)), ClassTarget("c", ("a", "b"), (31, 10))
    assert (even.suited_score(), skewed.suited_score()) == ("accuracy", "auroc")
    many = ClassTarget("c", ("a", "b", "z"), (50, 45, 5))
    assert many.suited_score() == "accuracy"
    assert (CLASSES.suited_score(), CLASSES.suited_score(balanced=True)) == ("balanced_accuracy", "macro_f1")
    assert CLASSES.baseline == Baseline("majority class", "majority_accuracy", "accuracy")


def test_a_matrix_of_classes_is_drawn_as_large_as_it_needs():
    def drawn(size, name="{}"):
        target = ClassTarget("c", tuple(name.format(i) for i in range(size)), (1,) * size)
        counts = np.full((size, size), 2)
        counts[0] = 0
        counts[1, 0], counts[1, 1:] = 3, 0
        section, *_ = target.sections({"confusion": counts.tolist()}, torch.zeros(0, size), torch.zeros(0), "")
        axes = Figure().subplots()
        section.drawing.draw(axes)
        return section, axes

    values = torch.zeros(0)
    section, axes = drawn(5)
    assert (section.drawing.width, section.drawing.height) == pytest.approx((4.3, 4.3))
    (image,) = axes.images
    assert image.get_clim() == (0, 1)
    assert image.get_array()[0].tolist() == [0] * 5  # no row has the class
    assert image.get_array()[2].tolist() == [0.2] * 5
    assert {text.get_text(): text.get_color() for text in axes.texts} == {"3": "white", "2": "black"}
    assert next((text.get_position(), text.get_text()) for text in axes.texts) == ((0, 1), "3")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert [label.get_rotation() for label in axes.get_xticklabels()] == [0] * 5
    assert all(spine.get_visible() for spine in axes.spines.values())
    assert {label.get_rotation() for label in drawn(5, "no{}")[1].get_xticklabels()} == {90}
    assert {label.get_rotation() for label in drawn(5, "n{}")[1].get_xticklabels()} == {0}
    assert {text.get_fontsize() for text in axes.texts} == {7}
    single = Figure().subplots()
    (section,) = ClassTarget("c", ("a", "b"), (1, 1)).sections({"confusion": [[1, 0], [1, 1]]}, values, values, "")
    section.drawing.draw(single)
    assert single.images[0].get_array().tolist() == [[1, 0], [0.5, 0.5]]
    assert [text.get_color() for text in single.texts] == ["white", "black", "black"]
    assert len(drawn(30)[1].texts) > 0
    assert len(drawn(31)[1].texts) == 0
    assert drawn(60)[0].drawing.width == 10


def test_every_score_has_its_interval():
    """Of the rows of a and b alone: no row has z, or is taken for it."""
    outputs = torch.tensor([[2.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 3, 0], [1, 0, 0], [0, 2, 0], [0, 1, 0]])
    encoded = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    metrics = CLASSES.measured(outputs, encoded)
    found = CLASSES.intervals(metrics, outputs, encoded)
    assert metrics["confusion"] == [[2, 1, 0], [1, 3, 0], [0, 0, 0]]
    p = outputs.softmax(-1).numpy()
    areas = [sk.roc_auc_score(encoded.numpy() == i, p[:, i]) for i in range(2)]
    joined = "for each class, joined by MOVER"
    assert found == {
        "accuracy": stated(intervals.wilson(5 / 7, 7), "Wilson"),
        "balanced_accuracy": stated(
            intervals.mean([2 / 3, 3 / 4], [intervals.wilson(2 / 3, 3), intervals.wilson(3 / 4, 4)]), f"Wilson {joined}"
        ),
        "macro_f1": stated(
            intervals.mean([2 / 3, 3 / 4], [intervals.f1(2, 2), intervals.f1(3, 2)]), f"Wilson {joined}"
        ),
        "auroc": stated(
            intervals.mean(areas, [intervals.auroc(areas[0], 3, 4), intervals.auroc(areas[1], 4, 3)]),
            f"Newcombe {joined}",
        ),
    }
    assert CLASSES.absent(encoded) == ["z"]
    # A class that no row has counts for F1 where it is predicted, as it does in the score itself.
    outputs[0, 2] = 9
    found = CLASSES.intervals(CLASSES.measured(outputs, encoded), outputs, encoded)
    three = intervals.mean([2 / 5, 3 / 4, 0], [intervals.f1(1, 3), intervals.f1(3, 2), intervals.f1(0, 1)])
    assert found["macro_f1"] == stated(three, f"Wilson {joined}")


def test_two_classes_have_one_area():
    target = ClassTarget("c", ("no", "yes"), (1, 1))
    outputs, encoded = torch.tensor([[0.0, 1], [0, 2], [0, 0], [0, 3]]), torch.tensor([0, 0, 0, 1])
    metrics = target.measured(outputs, encoded)
    assert target.intervals(metrics, outputs, encoded)["auroc"] == stated(intervals.auroc(1.0, 1, 3), "Newcombe")


def stated(interval, method):
    low, high = interval
    return {"low": pytest.approx(low), "high": pytest.approx(high), "level": 0.95, "method": method}
