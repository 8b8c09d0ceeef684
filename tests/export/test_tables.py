"""A run as a bundle: what onnxruntime computes is what the run predicts, whatever rows lack."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.csv
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export_helpers import unchecked
from perceiver_pytorch._saved_files import DamagedFileError
from perceiver_pytorch.data import DataError, collate, load_table
from perceiver_pytorch.data.stacking import stack
from perceiver_pytorch.export import export
from perceiver_pytorch.export.measuring import measured
from perceiver_pytorch.export.precision import reduced
from perceiver_pytorch.export.tables import lines
from perceiver_pytorch.runtime import Bundle, open_predictor
from perceiver_pytorch.runtime.describe_bundle import describe_bundle
from perceiver_pytorch.runtime.engines import OnnxEngine
from perceiver_pytorch.tables import Run
from perceiver_pytorch.tables.describe_run import describe_run
from perceiver_pytorch.tables.rows import Reading
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.build import run_model


@pytest.fixture(scope="module")
def samples(run, mixed):
    _, dataset = run._rows(mixed, None, "all", Reading(), None, 0, Reporter(), require_target=False)
    return dataset.samples(range(len(dataset)))[0]


def without(sample, names):
    return dataclasses.replace(
        sample, inputs={key: None if key in names else value for key, value in sample.inputs.items()}
    )


def test_a_table_is_predicted_as_by_the_run(run, bundle, mixed):
    expected, found = run.predict(mixed), bundle.predict(mixed)
    assert found.column_names == expected.column_names
    assert [found[name] for name in ("prediction", "unusual")] == [expected["prediction"], expected["unusual"]]
    for name in found.column_names[2:-1]:
        np.testing.assert_allclose(found[name].to_numpy(), expected[name].to_numpy(), atol=1e-4)


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_with_any_modalities_are_predicted_as_by_the_model(data, run, bundle, samples):
    names = [modality.name for modality in run.spec.modalities]
    chosen = data.draw(st.lists(st.sampled_from(samples), min_size=1, max_size=4))
    batch = [without(sample, data.draw(st.sets(st.sampled_from(names)))) for sample in chosen]
    with torch.no_grad():
        raw = run_model(run.model, collate(batch, run.spec), run.spec.targets)["label"]
    arrays = stack(batch, run.spec)
    np.testing.assert_allclose(bundle.outputs_of(arrays)["label"], raw.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(bundle.values(arrays)["label"], raw.softmax(-1).numpy(), rtol=1e-4, atol=1e-4)


def test_a_rows_prediction_does_not_depend_on_its_batch(bundle, samples):
    whole = bundle.values(stack(samples, bundle.spec))["label"]
    for i in (0, 3, len(samples) - 1):
        alone = bundle.values(stack([samples[i]], bundle.spec))["label"][0]
        np.testing.assert_allclose(alone, whole[i], rtol=1e-4, atol=1e-5)


def test_rows_come_back_in_their_form_and_bad_ones_with_their_reason(bundle):
    full = {"picture": None, "sound": None, "note": "a dark one", "size": None, "place": None}
    found = bundle.predict([full, {"size": 3}])
    assert [set(row) for row in found] == [{"row", "prediction", "p_dark", "p_light", "unusual"}] * 2
    with pytest.raises(DataError, match="must be a number"):
        bundle.predict([full | {"size": "large"}])
    with pytest.warns(UserWarning, match="row 0 is left out"):
        found = bundle.predict([full | {"size": "large"}, {"size": "1"}], on_error="skip")
    assert found[0]["prediction"] is None
    assert "number" in found[0]["error"]


def test_what_was_measured_is_told_and_stands_in_the_card(run, bundle):
    facts = bundle.facts
    assert facts["agreement"]["largest_difference"] < 1e-4
    before, after = facts["measured"]["targets"]["label"]["accuracy"]
    assert before == after == run.metrics["accuracy"]
    card = (bundle.path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: perceiver-multi-modality-pytorch\n")
    for heading in ("What it reads", "What it predicts", "Data", "Scores", "Per modality", "Limits", "How to load"):
        assert f"\n## {heading}\n" in card
    assert "95 % interval" in card
    assert "opset 20" in card
    assert any("rows, of the run and as exported" in line for line in lines(bundle.path, facts))


@pytest.mark.parametrize(("precision", "size", "loss"), [("float16", 0.62, 1e-3), ("int8", 0.42, 0.05)])
def test_weights_of_fewer_bits_predict_nearly_the_same(precision, size, loss, bundle, samples, tmp_path):
    file = tmp_path / "model.onnx"
    shutil.copy(bundle.path / "model.onnx", file)
    reduced(file, precision)
    assert file.stat().st_size < size * (bundle.path / "model.onnx").stat().st_size
    small = Bundle(bundle.path)
    small.__dict__["engine"] = OnnxEngine(file)
    arrays = stack(samples, bundle.spec)
    found, expected = small.values(arrays)["label"], bundle.values(arrays)["label"]
    assert 0 < abs(found - expected).max() < loss


def test_a_table_that_has_moved_is_measured_where_it_is_said_to_be(run, bundle, mixed, tmp_path):
    shutil.copytree(run.path, tmp_path / "r")
    config = tmp_path / "r" / "config.yaml"
    config.write_text(config.read_text().replace(str(mixed), str(tmp_path / "gone.csv")))
    moved, told = Run.open(tmp_path / "r"), []
    assert measured(moved, bundle, None, Reporter(say=told.append, warn=told.append)) is None
    assert "say where the table is with --table" in told[0]
    found = measured(moved, bundle, load_table(str(mixed)), Reporter())
    assert found["targets"]["label"]["accuracy"] == bundle.facts["measured"]["targets"]["label"]["accuracy"]


def test_a_bundle_is_opened_by_its_folder_as_a_run_is(run, bundle):
    assert isinstance(open_predictor(bundle.path), Bundle)
    assert open_predictor(run.path) == run
    assert open_predictor(bundle.path).spec == run.spec
    with pytest.raises(DamagedFileError, match="no folder that `perceiver export` wrote"):
        Bundle.open(run.path)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"version": 99}, "version must be 1"),
        ({"format": "../model"}, "format must be one of onnx, pt2"),
        ({"inputs": []}, "inputs must be a list"),
        ({"outputs": {"other": {"values": "a", "raw": "b"}}}, "outputs must be those of the targets"),
        ({"reading": {"quoting": 3}}, "quoting"),
    ],
)
def test_a_damaged_bundle_says_which_file_and_what(change, error, bundle, tmp_path):
    shutil.copytree(bundle.path, tmp_path / "b")
    file = tmp_path / "b" / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DamagedFileError, match=error) as raised:
        Bundle.open(tmp_path / "b").predict([{"size": 1}])
    assert "bundle.json" in str(raised.value)


def test_a_graph_that_is_gone_or_damaged_is_said_to_be(bundle, tmp_path):
    shutil.copytree(bundle.path, tmp_path / "b")
    (tmp_path / "b" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(DamagedFileError, match="cannot be run by onnxruntime"):
        Bundle.open(tmp_path / "b").load()
    (tmp_path / "b" / "model.onnx").unlink()
    with pytest.raises(DamagedFileError, match="is not there; copy the whole folder"):
        Bundle.open(tmp_path / "b").load()


def test_what_cannot_be_exported_is_refused_before_anything_is_traced(run, tmp_path):
    with pytest.raises(ValueError, match="format must be"):
        export(run, tmp_path / "b", format="tflite")
    with pytest.raises(ValueError, match="precision must be"):
        export(run, tmp_path / "b", precision="int4")
    with pytest.raises(ValueError, match="use format onnx"):
        export(run, tmp_path / "b", format="pt2", precision="int8")
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="has other files"):
        export(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_command_predicts_where_torch_cannot_be_imported(bundle, mixed, tmp_path):
    code = (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "gone = {'torch', 'jaxtyping', 'safetensors', 'huggingface_hub', 'lightning', 'torchmetrics', 'yaml'}\n"
        "find = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda name, *rest: None if name.split('.')[0] in gone else find(name, *rest)\n"
        "from perceiver_pytorch.cli import main\n"
        f"sys.argv[1:] = ['predict', {str(bundle.path)!r}, {str(mixed)!r}, '-o', {str(tmp_path / 'p.csv')!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = bundle.predict(mixed)
    found = pyarrow.csv.read_csv(tmp_path / "p.csv")
    np.testing.assert_allclose(found["p_dark"].to_numpy(), expected["p_dark"].to_numpy(), rtol=1e-5)


@pytest.mark.nightly
def test_a_program_of_pytorch_predicts_the_same_without_this_packages_models(run, bundle, mixed, tmp_path):
    with unchecked():
        other = export(run, tmp_path / "b", format="pt2", tile=8, measure=False)
    expected, found = bundle.predict(mixed), other.predict(mixed)
    np.testing.assert_allclose(found["p_dark"].to_numpy(), expected["p_dark"].to_numpy(), atol=1e-5)
    code = (
        "import sys, torch\n"
        "sys.modules['perceiver_pytorch'] = None\n"
        f"program = torch.export.load({str(other.path / 'model.pt2')!r})\n"
        "print(len(program.graph.nodes) > 100)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_info_says_what_an_export_reads_and_how_it_computes(bundle, run):
    told = describe_bundle(bundle.path)
    of_run = describe_run(run.path)
    assert told["what"] == "model of perceiver export"
    assert [told[name] for name in ("targets", "inputs")] == [of_run[name] for name in ("targets", "inputs")]
    assert (told["graph"]["format"], told["graph"]["precision"], told["graph"]["tile"]) == ("onnx", "float32", 8)
    assert "in_picture" in told["graph"]["inputs"]
