import pytest
import torch

from perceiver_pytorch.data import ClassTarget, NumberTarget, Predictions

CLASSES = ClassTarget("c", ("a", "b"), (3, 2))
NUMBER = NumberTarget("n", 10.0, 2.0)


def predictions(*targets, known=True):
    outputs = {"c": torch.tensor([[0.0, 1.0], [3.0, 0.0]]), "n": torch.tensor([[0.5], [-1.0]])}
    encoded = {"c": torch.tensor([1, -1]) if known else torch.tensor([-1, -1]), "n": torch.tensor([torch.nan] * 2)}
    return Predictions(torch.tensor([4, 7]), targets, outputs, encoded, {})


def test_one_targets_columns_have_plain_names():
    columns = predictions(CLASSES).columns()
    assert list(columns) == ["row", "prediction", "p_a", "p_b"]
    assert columns["row"].tolist() == [4, 7]
    assert columns["prediction"] == ["b", "a"]


def test_several_targets_columns_have_their_names_before_them():
    columns = predictions(CLASSES, NUMBER).columns()
    assert list(columns) == ["row", "c_prediction", "c_p_a", "c_p_b", "n_prediction"]
    assert columns["n_prediction"].tolist() == [11.0, 8.0]


def test_columns_of_equal_names_are_told_apart():
    target = ClassTarget("c", ("prediction", "b"), (3, 2))
    other = NumberTarget("c_p", 10.0, 2.0)
    outputs = {"c": torch.zeros(1, 2), "c_p": torch.zeros(1, 1)}
    columns = Predictions(torch.tensor([0]), (target, other), outputs, {}, {}).columns()
    assert list(columns) == ["row", "c_prediction", "c_p_prediction", "c_p_b", "c_p_prediction_"]


def test_targets_that_are_known_somewhere_are_measured():
    assert list(predictions(CLASSES, NUMBER).metrics()) == ["c"]
    assert predictions(CLASSES).metrics()["c"]["rows"] == 1
    with pytest.raises(ValueError, match="no row has a target that the model knows"):
        predictions(CLASSES, NUMBER, known=False).metrics()


def test_intervals_are_of_the_rows_that_are_known():
    both = predictions(CLASSES, NUMBER)
    found = both.intervals(both.metrics())
    assert list(found) == ["c"]
    assert found["c"] == CLASSES.intervals(both.metrics()["c"], both.outputs["c"][:1], both.encoded["c"][:1])


def test_values_are_what_outputs_mean():
    both = predictions(CLASSES, NUMBER)
    assert both.values(NUMBER).tolist() == [[11.0], [8.0]]
    torch.testing.assert_close(both.values(CLASSES), both.outputs["c"].softmax(-1))
