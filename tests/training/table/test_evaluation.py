"""A model that has learned nothing on rows of a table: outputs in order, with and without modalities."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data_helpers import table_of
from perceiver_pytorch.data import DataError, InputSpec, TableDataset, recognise_columns
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.loading import Listed
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.table import evaluation
from perceiver_pytorch.training.table.build import build_model
from perceiver_pytorch.training.table.evaluation import (
    combinations_left_out,
    measure,
    modality_scores,
    modality_warnings,
    predict,
    predict_without,
)
from training_helpers import tiny_config

ROWS = 24


@pytest.fixture
def dataset(tmp_path) -> TableDataset:
    rng = np.random.default_rng(0)
    words = [f"remark {i % 5} of this row" if i % 4 else None for i in range(ROWS)]
    table = table_of(tmp_path, x=rng.normal(size=ROWS).tolist(), note=words, y=["a", "b", None] * (ROWS // 3))
    kinds = recognise_columns(table, target="y", split=None, overrides={"note": "text"})
    spec = InputSpec.fit(table, kinds, target="y", rows=np.arange(ROWS))
    return TableDataset(table, np.arange(ROWS), spec, require_target=False)


@pytest.fixture
def model(dataset):
    return build_model(dataset.spec, tiny_config("unused").model)


def untold(model):
    """The model as one that does not tell its tokens, as published ones."""
    return Untold(model)


class Untold(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *args, **options):
        return self.model(*args, **options)


def test_outputs_are_those_of_the_rows_in_order(dataset, model):
    whole, parts = (predict(model, dataset, batch_size=size) for size in (256, 7))
    assert whole.rows.tolist() == parts.rows.tolist() == list(range(ROWS))
    torch.testing.assert_close(parts.outputs["y"], whole.outputs["y"], rtol=1e-4, atol=1e-5)
    assert whole.encoded["y"].tolist() == [0, 1, -1] * (ROWS // 3)
    assert whole.present["note"].tolist() == [bool(i % 4) for i in range(ROWS)]
    assert whole.present["numbers"].all()
    assert not model.training


def test_rows_in_memory_are_answered_by_length_and_told_in_order(dataset, model, monkeypatch, tmp_path):
    texts = [f"remark {i} " + "and more " * (i * 7 % 11) for i in range(ROWS)]
    table = table_of(tmp_path, x=[0.5] * ROWS, note=texts, y=["a", "b", None] * (ROWS // 3))
    dataset = TableDataset(table, np.arange(ROWS), dataset.spec, require_target=False)
    late = predict(model, dataset, batch_size=5)
    widths = []
    original = evaluation.answers

    def watched(model, batch, *arguments):
        widths.append(batch.inputs["note"].shape[1])
        return original(model, batch, *arguments)

    monkeypatch.setattr(evaluation, "answers", watched)
    dataset.prepare()
    found = predict(model, dataset, batch_size=5)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1]
    assert found.rows.tolist() == list(range(ROWS))
    torch.testing.assert_close(found.outputs["y"], late.outputs["y"], rtol=1e-4, atol=1e-5)
    assert torch.equal(found.encoded["y"], late.encoded["y"])
    assert all(torch.equal(found.present[name], late.present[name]) for name in late.present)


def test_a_modality_that_is_left_out_counts_as_missing(dataset, model):
    whole, without = predict_without(model, dataset, [[], ["note"]])
    same = (whole.outputs["y"] == without.outputs["y"]).all(1)
    assert same.tolist() == [not i % 4 for i in range(ROWS)]
    assert torch.equal(without.outputs["y"], predict(model, dataset, left_out=["note"]).outputs["y"])
    whole_model = predict_without(untold(model), dataset, [[], ["note"]])
    for found, expected in zip((whole, without), whole_model, strict=True):
        torch.testing.assert_close(found.outputs["y"], expected.outputs["y"])
    assert without.present["note"].any()  # what the rows have, not what the model was shown


def test_progress_is_told_and_no_rows_are_an_error(dataset, model):
    told = []
    predict(model, dataset, batch_size=10, progress=lambda *done: told.append(done))
    assert told == [(10, ROWS), (20, ROWS), (ROWS, ROWS)]
    dataset.rows = dataset.rows[:0]
    with pytest.raises(DataError, match="none of the 0 rows can be used"):
        predict(model, dataset)


def test_every_combination_is_measured_on_the_same_rows(dataset, model):
    predictions, metrics = measure(model, dataset, choice=Choice("plain"))
    assert metrics["rows"] == ROWS * 2 // 3
    assert (metrics["score"], metrics["score_name"]) == (metrics["accuracy"], "accuracy")
    found = metrics["intervals"]["accuracy"]
    assert found["low"] < metrics["accuracy"] < found["high"]
    assert metrics["accuracy"] == predictions.metrics()["y"]["accuracy"]
    assert [entry["present"] for entry in metrics["combinations"]] == [["note", "numbers"], ["note"], ["numbers"]]
    assert [entry["complete_rows"] for entry in metrics["combinations"]] == [18, 18, ROWS]
    assert metrics["modalities"]["note"]["alone"] == metrics["modalities"]["numbers"]["without"]
    assert measure(model, dataset, choice=Choice("plain", balanced=True))[1]["score"] == metrics["macro_f1"]


def test_of_many_rows_some_are_drawn_for_what_is_not_whole(dataset, model):
    whole, metrics = measure(model, dataset, choice=Choice("plain"), batch_size=7, sample=10)
    assert len(whole.rows) == ROWS
    assert [entry["rows"] for entry in metrics["combinations"]] == [ROWS, 10, 10]
    assert metrics["combinations"][0]["score"] == metrics["score"]
    again = predict_without(model, dataset, [["note"], ["numbers"]], batch_size=7, rows=10)
    places = np.searchsorted(whole.rows.numpy(), again[0].rows.numpy())
    without = predict_without(model, dataset, [["note"]])[0].outputs["y"][places]
    torch.testing.assert_close(again[0].outputs["y"], without, rtol=1e-4, atol=1e-5)


def test_modalities_are_read_once_whatever_is_left_out(dataset, model, monkeypatch):
    calls = []
    read = model.tokens
    monkeypatch.setattr(model, "tokens", lambda *args, **options: calls.append(1) or read(*args, **options))
    measure(model, dataset, choice=Choice("plain"), batch_size=ROWS)
    assert len(calls) == 1


def test_a_modality_that_is_better_alone_is_told(dataset):
    targets = dataset.spec.targets
    metrics = {
        "intervals": {"accuracy": {"low": 0.6, "high": 0.8}},
        "combinations": [
            {"present": ["a", "b"], "absent": [], "score": 0.7},
            {"present": ["a"], "absent": ["b"], "score": 0.79},
            {"present": ["b"], "absent": ["a"], "score": 0.5},
        ],
    }
    assert modality_warnings(targets, metrics, Choice("plain")) == []
    metrics["combinations"][1]["score"] = 0.81
    (text,) = modality_warnings(targets, metrics, Choice("plain"))
    assert text == "y: accuracy 0.810 with 'a' alone, and 0.700 (0.6–0.8) with all modalities: the others do harm"
    metrics["intervals"]["accuracy"]["low"] = 0.5
    assert modality_warnings(targets, metrics, Choice("plain")) == []
    assert modality_warnings(targets, metrics | {"combinations": metrics["combinations"][:1]}, Choice("plain")) == []


def test_what_a_modality_is_worth():
    entries = [
        {"present": ["a", "b", "c"], "absent": [], "score": 1.0},
        {"present": ["a", "b"], "absent": ["c"], "score": 0.75},
        {"present": ["c"], "absent": ["a", "b"], "score": 0.5},
    ]
    assert modality_scores(entries) == {"c": {"without": 0.75, "alone": 0.5}}
    assert modality_scores([{"present": ["a"], "absent": [], "score": 1.0}]) == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_no_predictions(dataset, model, value):
    model.to_logits[-1].bias.data[0] = value
    with pytest.raises(ValueError, match=f"outputs are not finite for {ROWS} of {ROWS} rows, the first of them row 0"):
        predict(model, dataset)


def test_without_time_the_whole_model_alone_is_measured(dataset, model):
    plain = Choice("plain")
    _, whole = measure(model, dataset, choice=plain, batch_size=7, deadline=Deadline(1000.0))
    _, cut = measure(model, dataset, choice=plain, batch_size=7, deadline=Deadline(0.0))
    assert len(whole["combinations"]) == 3
    assert cut["combinations"] == whole["combinations"][:1]
    assert cut["accuracy"] == whole["accuracy"]
    assert cut["modalities"] == {}
    assert combinations_left_out(dataset, whole) == ""
    expected = "the time limit left time for 1 of 3 combinations of modalities"
    assert combinations_left_out(dataset, cut) == expected


@pytest.mark.parametrize(("left", "expected"), [(100.0, 3), (8.0, 2), (7.9, 1), (0.0, 1)])
def test_what_the_time_is_enough_for_is_judged_by_the_first_batch(dataset, model, monkeypatch, left, expected):
    """Eight rows take 6 seconds three times; the 16 others then 4 seconds each time."""
    times = iter([10.0, 16.0])
    monkeypatch.setattr(evaluation, "now", lambda: next(times))
    limited = SimpleNamespace(left=lambda: left)
    found = predict_without(model, dataset, [[], ["note"], ["numbers"]], batch_size=8, deadline=limited)
    assert len(found) == expected
    assert all(len(predictions.rows) == ROWS for predictions in found)


def test_a_single_batch_is_enough_for_all(dataset, model):
    found = predict_without(model, dataset, [[], ["note"]], batch_size=ROWS, deadline=SimpleNamespace(left=lambda: 1.0))
    assert len(found) == 2


def test_rows_come_in_batches_of_256_unless_another_size_is_given(dataset, model, monkeypatch):
    sizes = []
    monkeypatch.setattr(evaluation, "Listed", lambda places, size: sizes.append(size) or Listed(places, size))
    predict(model, dataset)
    predict_without(model, dataset, [[]])
    measure(model, dataset, choice=Choice("plain"))
    measure(model, dataset, choice=Choice("plain"), batch_size=5)
    assert sizes == [256, 256, 256, 5]


def test_of_outputs_that_are_not_finite_the_first_row_is_named():
    outputs = torch.zeros(3, 2)
    outputs[1, 1] = outputs[2, 0] = torch.inf
    rows = torch.tensor([7, 40, 41])
    evaluation._check_finite([{"y": torch.zeros(3, 2)}], rows)
    with pytest.raises(ValueError, match="for 2 of 3 rows, the first of them row 40: its training diverged"):
        evaluation._check_finite([{"y": torch.zeros(3, 2)}, {"y": outputs}], rows)
    many = torch.full((1200, 1), torch.nan)
    with pytest.raises(ValueError, match="for 1,200 of 1,200 rows"):
        evaluation._check_finite([{"y": many}], torch.arange(1200))


def test_of_several_targets_each_has_its_metrics_and_scores(tmp_path):
    rng = np.random.default_rng(0)
    table = table_of(tmp_path, x=rng.normal(size=ROWS).tolist(), c=["a", "b"] * 12, n=[i / 7 for i in range(ROWS)])
    kinds = recognise_columns(table, target=["c", "n"], split=None)
    spec = InputSpec.fit(table, kinds, target=["c", "n"], rows=np.arange(ROWS))
    several = TableDataset(table, np.arange(ROWS), spec)
    predictions, metrics = measure(build_model(spec, tiny_config("unused").model), several, choice=Choice("plain"))
    found = predictions.metrics()
    assert set(metrics["tasks"]) == {"c", "n"}
    (entry,) = metrics["combinations"]
    assert entry["scores"] == {"c": found["c"]["accuracy"], "n": found["n"]["r2"]}
    assert metrics["score"] == entry["score"]
    assert metrics["score_name"] == "score"
    assert metrics["modalities"] == {}
    assert metrics["tasks"]["c"]["accuracy"] == found["c"]["accuracy"]
    assert set(metrics["tasks"]["c"]["intervals"]) >= {"accuracy"}
