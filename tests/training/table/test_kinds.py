"""Every kind of column at once, from a table to a model's output and the report's examples."""

import dataclasses

import pytest
import torch

from kinds_table import kinds_dataset
from perceiver_pytorch.data import InputSpec, TableDataset, collate
from perceiver_pytorch.report.page import example_parts
from perceiver_pytorch.training.table.build import build_model, run_model
from training_helpers import tiny_config


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> TableDataset:
    return kinds_dataset(tmp_path_factory.mktemp("kinds"))


def outputs(model, spec, samples):
    return run_model(model, collate(samples, spec), spec.targets)["y"]


def test_every_kind_is_there(dataset):
    kinds = {modality.name: modality.kind for modality in dataset.spec.modalities}
    assert kinds == {
        "picture": "image",
        "sound": "audio",
        "film": "video",
        "film.audio": "audio",
        "walk": "series",
        "curve": "series",
        "cloud": "points",
        "note": "words",
        "numbers": "number",
        "categories": "category",
        "dates": "date",
    }
    assert InputSpec.from_dict(dataset.spec.to_dict()) == dataset.spec


def test_one_clock_is_shared(dataset):
    clocks = {m.name: m.clock for m in dataset.spec.modalities if getattr(m, "clock", 0)}
    assert set(clocks) == {"sound", "film", "film.audio", "walk"}
    assert len(set(clocks.values())) == 1


def test_a_rows_result_does_not_depend_on_its_batch(dataset):
    model = build_model(dataset.spec, tiny_config("unused").model).eval()
    samples = [dataset[i] for i in range(len(dataset))]
    whole = outputs(model, dataset.spec, samples)
    for sample, expected in zip(samples, whole, strict=True):
        torch.testing.assert_close(outputs(model, dataset.spec, [sample])[0], expected, rtol=1e-4, atol=1e-5)


def test_every_modality_has_a_say(dataset):
    model = build_model(dataset.spec, tiny_config("unused").model).eval()
    (row,) = [i for i in range(len(dataset)) if all(dataset[i].inputs.values())][:1]
    whole = outputs(model, dataset.spec, [dataset[row]])
    for name in dataset[row].inputs:
        without = dataclasses.replace(dataset[row], inputs={**dataset[row].inputs, name: None})
        assert not torch.allclose(outputs(model, dataset.spec, [without]), whole, atol=1e-6), name


def test_the_report_shows_every_kind(dataset):
    shown: dict[str, set[str]] = {}
    for i in range(len(dataset)):
        sample = dataset[i]
        for modality in dataset.spec.modalities:
            for part in example_parts(modality, sample.inputs[modality.name], dataset.table.row(i)):
                shown.setdefault(modality.name, set()).add(part["value"][:16])
    for name, start in {
        "picture": "data:image/png;b",
        "film": "data:image/webp;",
        "sound": "data:image/png;b",
        "walk": "<svg width",
        "curve": "<svg width",
        "cloud": "<svg width",
        "dates": "2020-01-03",
    }.items():
        assert any(value.startswith(start) for value in shown[name]), (name, shown[name])
        assert any(value in ("(missing)", "") for value in shown[name]) or name == "walk"
