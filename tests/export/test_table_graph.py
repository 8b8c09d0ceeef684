"""Every kind of column as a graph of ONNX, alone and together."""

import dataclasses

import numpy as np
import pytest

from export_helpers import SMALL, Exported, lacking, without_others
from kinds_table import kinds_dataset
from perceiver_pytorch.export.table_graph import table_inputs
from perceiver_pytorch.training.table.build import build_model, with_heads

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters' own

NAMES = (
    *("picture", "sound", "film", "film.audio", "walk", "curve", "cloud", "note"),
    *("numbers", "categories", "dates"),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return kinds_dataset(tmp_path_factory.mktemp("kinds"))


def test_inputs_are_those_of_the_modalities(dataset):
    inputs = table_inputs(dataset.spec)
    assert [entry.modality for entry in inputs if entry.part == "data"] == [m.name for m in dataset.spec.modalities]
    assert [entry.modality for entry in inputs if entry.part == "mask"] == [m.name for m in dataset.spec.modalities]
    places = {(entry.modality, entry.axis) for entry in inputs if entry.part == "place"}
    assert {("picture", 0), ("picture", 1), ("film", 2), ("note", 0)} <= places
    assert not {name for name, _ in places} & {"numbers", "categories", "dates"}
    (cloud,) = [entry for entry in inputs if entry.modality == "cloud" and entry.part == "place"]
    assert cloud.least[-1] == cloud.most[-1] == 3


@pytest.mark.nightly
@pytest.mark.parametrize("name", [*NAMES, "together"])
def test_a_kind_is_computed_by_onnxruntime_as_by_pytorch(name, dataset, tmp_path):
    spec = dataset.spec if name == "together" else without_others(dataset.spec, name)
    names = [modality.name for modality in spec.modalities]
    model = with_heads(build_model(spec, SMALL), spec)
    samples = [dataset[i] for i in range(len(dataset))]
    samples = [dataclasses.replace(s, inputs={each: s.inputs[each] for each in names}) for s in samples]
    exported = Exported(spec, model, tmp_path)
    rng = np.random.default_rng(0)
    some = [lacking(sample, [each for each in names if rng.random() < 0.5]) for sample in samples]
    for rows in (samples, samples[:1], samples[3:5], some, [lacking(sample, names) for sample in samples[:2]]):
        exported.assert_equal(rows)
