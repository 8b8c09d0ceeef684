"""Calibration on the validation rows of a run, with each combination of modalities."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training_helpers import TINY

from perceiver_pytorch.data import InputSpec, Table, TableDataset, recognise_columns
from perceiver_pytorch.data.calibration import calibration_of
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.models.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.table import evaluation
from perceiver_pytorch.training.table.build import build_model
from perceiver_pytorch.training.table.calibrating import calibration_batches, calibration_note, learn_calibration
from perceiver_pytorch.training.table.settings import ModelConfig

ROWS = 240


@pytest.fixture(scope="module")
def dataset() -> TableDataset:
    """Numbers say nothing; the class is drawn evenly, so whoever is sure is wrong."""
    arrow = pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    cells = {
        "x": [*rng.normal(size=ROWS - 20).tolist(), *[None] * 20],
        "place": [["here", "there"][i] for i in rng.integers(2, size=ROWS)],
        "label": [["a", "b"][i] for i in rng.integers(2, size=ROWS)],
    }
    table = Table("memory", Path(), arrow.table(cells))
    rows = np.arange(ROWS)
    spec = InputSpec.fit(table, recognise_columns(table, target="label", split=None), target="label", rows=rows)
    return TableDataset(table, rows, spec)


@pytest.fixture
def model(dataset: TableDataset) -> MultiModalityWithTextPerceiver:
    """It is far too sure of itself."""
    torch.manual_seed(0)
    model = build_model(dataset.spec, ModelConfig(**TINY))
    assert isinstance(model, MultiModalityWithTextPerceiver)
    with torch.no_grad():
        model.to_logits[1].weight.mul_(30)
    return model


def test_every_combination_has_an_entry_of_the_rows_that_have_all_of_it(
    dataset: TableDataset, model: MultiModalityWithTextPerceiver
) -> None:
    calibration = learn_calibration(model, dataset)
    assert calibration is not None
    entries = calibration.targets["label"]
    found = {each.present: each.rows for each in entries}
    assert found == {(): ROWS, ("numbers", "categories"): ROWS - 20, ("numbers",): ROWS - 20, ("categories",): ROWS}
    assert all(each.fitted.method == "temperature" and each.fitted.scale[0] < 0.5 for each in entries)
    assert calibration_of(model, dataset.spec.targets) == calibration
    assert "one temperature, from 240 rows" in calibration_note(calibration)


def test_predictions_are_calibrated_and_raw_ones_are_not(
    dataset: TableDataset, model: MultiModalityWithTextPerceiver
) -> None:
    before = evaluation.predict(model, dataset)
    calibration = learn_calibration(model, dataset)
    after = evaluation.predict(model, dataset)
    (raw,) = evaluation.predict_without(model, dataset, [()], raw=True)
    assert torch.equal(raw.outputs["label"], before.outputs["label"])
    assert torch.allclose(after.outputs["label"], raw.calibrated(calibration).outputs["label"])
    assert after.metrics()["label"]["loss"] < before.metrics()["label"]["loss"] - 0.05


def test_without_rows_or_time_nothing_is_learned(dataset: TableDataset, model: MultiModalityWithTextPerceiver) -> None:
    learn_calibration(model, dataset)
    assert learn_calibration(model, None) is None
    assert model.calibration is None
    assert learn_calibration(model, dataset, deadline=Deadline(0)) is None
    assert calibration_note(None) == ""


def test_a_saved_model_keeps_its_calibration(
    dataset: TableDataset, model: MultiModalityWithTextPerceiver, tmp_path: Path
) -> None:
    calibration = learn_calibration(model, dataset)
    model.save_pretrained(tmp_path)
    again = MultiModalityWithTextPerceiver.from_pretrained(tmp_path)
    assert calibration_of(again, dataset.spec.targets) == calibration
    model.calibration = None
    model.save_pretrained(tmp_path)
    assert MultiModalityWithTextPerceiver.from_pretrained(tmp_path).calibration is None


def test_batches_are_counted(dataset: TableDataset) -> None:
    assert calibration_batches(dataset.spec, 100, 240, 256) == 3 + 3
    assert calibration_batches(dataset.spec, 9000, 5000, 500) == 4 + 2 * 1 + 1 + 2


def test_outputs_that_are_not_finite_are_left_out(dataset: TableDataset, model: MultiModalityWithTextPerceiver) -> None:
    with torch.no_grad():
        model.to_logits[1].weight.fill_(float("nan"))
    calibration = learn_calibration(model, dataset)
    assert calibration is not None
    assert calibration.targets == {}
    assert not isinstance(model, BlendedPerceiver)
