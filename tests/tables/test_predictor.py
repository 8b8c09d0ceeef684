"""What `Predictor` promises of whatever predicts; runs are tested in test_run.py."""

import inspect

import pytest

from perceiver_pytorch.data import DataError, InputSpec, NumbersSpec, NumberTarget
from perceiver_pytorch.data.prediction_columns import prediction_columns
from perceiver_pytorch.data.stacking import stack
from perceiver_pytorch.tables import Predictor, Run
from perceiver_pytorch.training.table.settings import DataConfig


class Sums(Predictor):
    """Predicts the sum of two numbers."""

    loaded = False
    spec = InputSpec((NumberTarget("y", 0.0, 1.0),), (NumbersSpec("numbers", ("a", "b"), (0.0, 0.0), (1.0, 1.0)),), {})
    data = DataConfig()

    def load(self):
        self.loaded = True

    def columns(self, dataset, progress=None):
        samples, bad = dataset.samples(range(len(dataset)))
        if bad and dataset.on_error == "raise":
            raise dataset.error(bad[0])
        dataset.bad |= {entry.row: entry for entry in bad}
        arrays = stack(samples, self.spec)
        values = {"y": arrays.inputs["numbers"][..., 0].sum(1, keepdims=True)}
        return prediction_columns(arrays.rows, self.spec.targets, values)


def test_rows_come_back_in_the_form_that_they_had():
    found = Sums().predict([{"a": 1, "b": 2}, {"a": 3}])
    assert [row["prediction"] for row in found] == [3.0, 3.0]
    assert Sums().predict({"a": [1, 2], "b": [1, 1]})["prediction"] == [2.0, 3.0]


def test_the_model_is_loaded_before_the_table_is_read():
    sums = Sums()
    with pytest.raises(DataError):
        sums.predict("nowhere.csv")
    assert sums.loaded


def test_bad_rows_have_their_place_among_the_others():
    rows = [{"a": "1", "b": "2"}, {"a": "much", "b": "2"}, {"a": "2", "b": "2"}]
    with pytest.warns(UserWarning, match="row 1 is left out: column 'a'"):
        found = Sums().predict(rows, on_error="skip")
    assert [row["prediction"] for row in found] == [3.0, None, 4.0]
    assert "a" in found[1]["error"]


def test_a_run_predicts_by_the_same_method():
    assert Run.predict is Predictor.predict
    assert not inspect.isabstract(Run)
