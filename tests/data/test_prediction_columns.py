import numpy as np

from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget
from perceiver_pytorch.data.prediction_columns import prediction_columns

TARGETS = (
    ClassTarget("c", ("a", "b"), (3, 2)),
    LabelsTarget("l", ("x", "y"), (1, 2), 3, "|"),
    NumberTarget("n", 10.0, 2.0),
)


def test_columns_are_made_of_arrays_alone():
    values = {
        "c": np.array([[0.25, 0.75], [0.9, 0.1]], np.float32),
        "l": np.array([[0.6, 0.5], [0.1, 0.4]], np.float32),
        "n": np.array([[11.0], [8.5]]),
    }
    columns = prediction_columns(np.array([4, 7]), TARGETS, values)
    assert columns["c_prediction"] == ["b", "a"]
    assert columns["c_p_b"].tolist() == [0.75, np.float32(0.1)]
    assert columns["l_prediction"] == ["x|y", ""]
    assert columns["n_prediction"].tolist() == [11.0, 8.5]
    assert columns["row"].tolist() == [4, 7]
