"""What modalities and columns are worth: a column that decides alone has all of it, one that says nothing none."""

import numpy as np
import pytest
import torch
from torch import nn

from data_helpers import fitted, table_of
from perceiver_pytorch.data import TableDataset
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.table import evaluation, worth
from perceiver_pytorch.training.table.build import model_name

ROWS = 120


class OneColumn(nn.Module):
    """Answers by the sign of the first number, and knows nothing of the others."""

    def __init__(self, name):
        super().__init__()
        self.name, self.weight = model_name(name), nn.Parameter(torch.zeros(1))

    def forward(self, inputs, masks, coordinates=None):
        values = inputs[self.name][:, 0, 0]
        mask = masks.get(self.name)
        there = 1.0 if mask is None else mask[:, 0].float()
        return torch.stack([-values * there - 0.01, values * there], -1) * 5 + self.weight


@pytest.fixture
def made(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS)
    table = table_of(
        tmp_path,
        x=x.tolist(),
        noise=rng.normal(size=ROWS).tolist(),
        place=[["here", "there"][i % 2] for i in range(ROWS)],
        label=[["low", "high"][int(value > 0)] for value in x],
    )
    spec, _ = fitted(table, "label")
    spec.targets[0].__dict__["classes"] = ("low", "high")
    spec.targets[0].__dict__.pop("_index", None)
    return OneColumn("numbers"), TableDataset(table, np.arange(ROWS), spec, workers=0)


def measured(model, dataset, deadline=None):
    predictions, metrics = evaluation.measure(model, dataset, choice=Choice())
    return metrics, worth.measure_worth(model, dataset, predictions, metrics, choice=Choice(), deadline=deadline)


def test_a_column_that_decides_is_told_from_one_that_says_nothing(made):
    _, found = measured(*made)
    columns = found["columns"]
    assert columns.keys() == {"x", "noise", "place"}
    assert columns["x"]["low"] > 0.2
    assert columns["x"]["low"] < columns["x"]["drop"] < columns["x"]["high"]
    for name in ("noise", "place"):
        assert columns[name] == {"drop": 0.0, "low": 0.0, "high": 0.0}
    assert found["rows"] == ROWS
    assert found["left_out"] == []


def test_values_of_modalities_add_up_to_the_score_beyond_that_of_nothing(made):
    metrics, found = measured(*made)
    modalities = found["modalities"]
    values = {name: each["value"] for name, each in modalities["values"].items()}
    assert modalities["exact"]
    assert modalities["whole"] == metrics["score"]
    assert sum(values.values()) == pytest.approx(modalities["whole"] - modalities["nothing"])
    assert values["categories"] == 0
    assert values["numbers"] > 0.3


def test_what_there_is_no_time_for_is_named(made):
    _, found = measured(*made, deadline=Deadline(-1.0))
    assert found["columns"] == {}
    assert found["left_out"] == ["x", "noise", "place"]


def test_without_all_combinations_there_are_no_values(made):
    model, dataset = made
    predictions, metrics = evaluation.measure(model, dataset, choice=Choice())
    metrics["combinations"] = metrics["combinations"][:1]
    found = worth.measure_worth(model, dataset, predictions, metrics, choice=Choice())
    assert found["modalities"] is None


def test_of_many_modalities_values_are_sampled_with_their_errors(tmp_path):
    names = [f"text{i}" for i in range(7)]
    words = {name: [f"some words of number {(i * 7 + j) % 11} here" for i in range(40)] for j, name in enumerate(names)}
    table = table_of(tmp_path, **words, label=["a", "b"] * 20)
    spec, _ = fitted(table, "label", kinds=dict.fromkeys(names, "text"))

    class FirstWords(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, inputs, masks, coordinates=None):
            mask = masks.get(model_name("text0"))
            there = torch.ones(len(inputs[model_name("text0")])) if mask is None else mask.any(1).float()
            rows = torch.arange(len(there)) % 2
            return torch.stack([1.0 - rows * 2 * there, torch.zeros(len(there))], -1) + self.weight

    dataset = TableDataset(table, np.arange(40), spec, workers=0)
    _, found = measured(FirstWords(), dataset)
    values = found["modalities"]["values"]
    assert not found["modalities"]["exact"]
    assert values["text0"]["value"] == pytest.approx(0.5)
    assert values["text3"] == {"value": pytest.approx(0.0), "standard_error": pytest.approx(0.0)}


def test_people_read_what_is_worth_most_first():
    values = {"a": {"value": 0.1, "standard_error": None}, "b": {"value": 0.3, "standard_error": 0.02}}
    modalities = {"nothing": 0.5, "whole": 0.9, "exact": False, "orders": 16, "values": values}
    columns = {f"c{i}": {"drop": i / 100, "low": 0.0, "high": 1.0} for i in range(worth.MOST_LINES + 3)}
    told = {"score_title": "accuracy", "modalities": modalities, "columns": columns, "rows": 64, "left_out": ["x"]}
    lines = worth.worth_lines(told)
    assert "0.5000 without any input" in lines[0]
    assert lines[1:3] == ["  b: +0.3000 ± 0.0200", "  a: +0.1000"]
    assert lines[4] == "  c22: +0.2200 (+0.0000 to +1.0000)"
    assert lines[-2:] == ["  and 3 more", "  not measured: x"]
    assert worth.worth_lines(told | {"modalities": None, "columns": {}, "left_out": []}) == []
