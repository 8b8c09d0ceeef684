"""Weights of a model and of its heads, from validation rows."""

import numpy as np
import pytest
import torch

from data_helpers import table_of
from perceiver_pytorch.data import InputSpec, TableDataset, recognise_columns
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.table import blending
from perceiver_pytorch.training.table.blending import blend_batches, blend_note, blend_shares, learn_blend
from perceiver_pytorch.training.table.build import build_model
from training_helpers import tiny_config

ROWS = 40
FIRST = torch.tensor([0.5, 0.25, 0.25])


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    words = [f"remark {i % 5}" if i % 4 else None for i in range(ROWS)]
    table = table_of(tmp_path, x=rng.normal(size=ROWS).tolist(), note=words, y=["a", "b"] * (ROWS // 2))
    kinds = recognise_columns(table, target="y", split=None, overrides={"note": "text"})
    spec = InputSpec.fit(table, kinds, target="y", rows=np.arange(ROWS))
    return TableDataset(table, np.arange(ROWS), spec)


@pytest.fixture
def model(dataset):
    trunk = build_model(dataset.spec, tiny_config("unused").model)
    heads = [
        {"reads": [[name, None]], "name": "pooled", "channels": modality.data_channels, "size": 2}
        for name, modality in trunk.modalities.items()
    ]
    return BlendedPerceiver(trunk=trunk, heads=heads)


def classes(dataset):
    (target,) = dataset.spec.targets
    return target


def fitted(dataset, rows, there=None):
    """With a trunk that guesses, a head that knows and one that is wrong."""
    torch.manual_seed(0)
    encoded = torch.arange(rows) % 2
    knows = 4.0 * torch.nn.functional.one_hot(encoded, 2).float()
    answers = torch.stack([torch.randn(rows, 2), knows, -knows])
    there = torch.ones(3, rows, dtype=torch.bool) if there is None else there
    return blending._fitted_to(classes(dataset), answers, there, encoded, FIRST)


def test_what_answers_well_counts_most(dataset):
    weights = fitted(dataset, 400)
    assert weights.sum().item() == pytest.approx(1.0)
    assert weights[1] > 0.85
    assert weights[2] < 0.05


def test_few_rows_change_little(dataset):
    few, more = (abs(fitted(dataset, rows) - FIRST).sum() for rows in (2, 50))
    assert few < more
    assert few < 0.6


def test_what_no_row_has_keeps_its_weight(dataset):
    there = torch.ones(3, 100, dtype=torch.bool)
    there[1] = False
    weights = fitted(dataset, 100, there)
    assert weights[1] == FIRST[1]
    assert weights[0] > weights[2]


def test_without_a_known_target_nothing_is_learned(dataset):
    unknown = torch.full((5,), -1)
    there = torch.ones(3, 5, dtype=torch.bool)
    assert blending._fitted_to(classes(dataset), torch.zeros(3, 5, 2), there, unknown, FIRST) is FIRST


def test_each_pattern_is_learned_from_the_rows_that_have_it(dataset, model):
    before = model.blend.clone()
    whole = blending._answered(model, dataset, 0b11, 16)
    alone = blending._answered(model, dataset, 0b10, 16)
    assert whole.parts.answers.shape[1] == len(whole.encoded["y"]) == ROWS * 3 // 4
    names = [reading.modalities for reading in model.readings]
    assert alone.parts.answers.shape[1] == {("in_note",): ROWS * 3 // 4, ("in_numbers",): ROWS}[names[1]]
    learn_blend(model, dataset, batch_size=16)
    assert torch.equal(model.blend[0], before[0])
    assert not any(torch.equal(model.blend[pattern], before[pattern]) for pattern in (1, 2, 3))
    assert not model.training
    again = model.blend.clone()
    model.blend.copy_(before)
    learn_blend(model, dataset, batch_size=16)
    assert torch.equal(model.blend, again)


def test_a_joint_head_is_there_with_any_other(dataset, model):
    trunk = model.trunk
    reads = [[name, None] for name in trunk.modalities]
    channels = [modality.data_channels for modality in trunk.modalities.values()]
    joint = {"reads": reads, "name": "columns", "channels": channels, "lengths": [None, None], "size": 2}
    sizes = [{"name": "pooled", "channels": count, "size": 2} for count in channels]
    own = [{"reads": [pair], **rest} for pair, rest in zip(reads, sizes, strict=True)]
    model = BlendedPerceiver(trunk=trunk, heads=[*own, joint])
    before = model.blend.clone()
    assert model.joint == 2
    torch.testing.assert_close(before[0, :, 0], torch.tensor([0.45, 0.05, 0.05, 0.45]))
    learn_blend(model, dataset, batch_size=16)
    learned = [i for i in range(8) if not torch.equal(model.blend[i], before[i])]
    assert learned == [0b101, 0b110, 0b111]
    assert "by a head that reads it all" in blend_note(model, dataset.spec)


def test_without_time_rows_or_heads_all_stays(dataset, model):
    before = model.blend.clone()
    learn_blend(model, dataset, deadline=Deadline(0.0))
    learn_blend(model, None)
    learn_blend(model.trunk, dataset)
    assert torch.equal(model.blend, before)


def test_a_few_rows_of_many_are_enough(dataset, model, monkeypatch):
    monkeypatch.setattr(blending, "WHOLE_ROWS", 12)
    monkeypatch.setattr(blending, "PATTERN_ROWS", 8)
    assert blending._answered(model, dataset, 0b11, 5).parts.there.shape[1] <= 12
    assert blending._answered(model, dataset, 0b01, 5).parts.there.shape[1] <= 8
    assert blend_batches(2, ROWS, 5) == 3 + 2 * 2
    assert blend_batches(7, ROWS, 5) == 3


def test_the_shares_are_told(dataset, model):
    weights = model.blend.clone()
    weights[-1, :, 0] = torch.tensor([2.0, 1.0, 1.0])
    model.set_blend(weights)
    assert blend_shares(model, dataset.spec) == {"model": 0.5, "note": 0.25, "numbers": 0.25}
    text = "50% of the answer is given by the model as a whole, 25% by what reads note alone, 25% by what reads numbers"
    assert text in blend_note(model, dataset.spec)
    assert (blend_shares(model.trunk, dataset.spec), blend_note(model.trunk, dataset.spec)) == ({}, "")
