"""A graph without a table takes what its file says, and nothing else."""

import json
import subprocess
import sys

import numpy as np
import pytest

from perceiver_pytorch._saved_files import DamagedFileError
from perceiver_pytorch.runtime import Graph, open_predictor
from perceiver_pytorch.runtime.describe_bundle import describe_graph
from perceiver_pytorch.runtime.graph import GRAPH
from perceiver_pytorch.runtime.signature import GraphInput, inputs_to_json

INPUTS = (
    GraphInput("in_image", "image", "data", "float32", (1, 1, 1, 3), (64, 90, 90, 3)),
    GraphInput("in_image.mask", "image", "mask", "bool", (1, 1, 1), (64, 90, 90)),
    GraphInput("in_text", "text", "data", "int64", (1, 2), (64, 30)),
    GraphInput("in_text.mask", "text", "mask", "bool", (1, 2), (64, 30)),
    GraphInput("in_points", "points", "data", "float32", (1, 1, 1), (64, 9, 1)),
    GraphInput("in_points.mask", "points", "mask", "bool", (1, 1), (64, 9)),
    GraphInput("in_points.place.0", "points", "place", "float32", (1, 1, 3), (64, 9, 3)),
)
FACTS = {
    "version": 1,
    "model": "MultiModalityPerceiver",
    "format": "onnx",
    "opset": 20,
    "precision": "float32",
    "tile": 1024,
    "inputs": inputs_to_json(INPUTS),
    "made_with": {"torch": "2.13"},
    "outputs": {"logits": {"name": "out_logits", "dtype": "float32", "shape": ["batch", 4]}},
}
IMAGE = np.zeros((2, 4, 5, 3), dtype=np.float32)


@pytest.fixture
def graph(tmp_path):
    """One whose engine gives back what it was given."""
    (tmp_path / GRAPH).write_text(json.dumps(FACTS))
    found = Graph.open(tmp_path)
    found.__dict__["engine"] = lambda arrays: {"out_logits": arrays}
    return found


def test_modalities_that_are_left_out_are_masked_tokens(graph):
    given = graph({"image": IMAGE})["logits"]
    assert {name: array.shape for name, array in given.items()} == {
        "in_image": (2, 4, 5, 3),
        "in_image.mask": (2, 4, 5),
        "in_text": (2, 2),
        "in_text.mask": (2, 2),
        "in_points": (2, 1, 1),
        "in_points.mask": (2, 1),
        "in_points.place.0": (2, 1, 3),
    }
    assert given["in_image.mask"].all()
    assert not given["in_text.mask"].any()
    assert not given["in_points.mask"].any()
    assert {name: array.dtype.name for name, array in given.items()} == {each.name: each.dtype for each in INPUTS}


def test_masks_and_coordinates_go_where_they_belong(graph):
    mask, places = np.arange(20).reshape(2, 10) % 3 > 0, np.ones((2, 4, 3))
    given = graph(
        {"text": np.ones((2, 10), dtype=np.int32), "points": np.ones((2, 4, 1))},
        {"text": mask},
        coordinates={"points": [places]},
    )["logits"]
    np.testing.assert_array_equal(given["in_text.mask"], mask)
    np.testing.assert_array_equal(given["in_points.place.0"], places)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (({},), "data must have one modality at least, of image, text, points"),
        (({"picture": IMAGE},), "a name in data must be one of"),
        ((IMAGE,), "data must be a mapping of image, text, points, got ndarray"),
        (
            ({"image": IMAGE[0]},),
            r"data of 'image' must be \(batch of 1 to 64, image_axis0 of 1 to 90, .*got \(4, 5, 3\)",
        ),
        (({"image": IMAGE[..., :2]},), r"3\), got \(2, 4, 5, 2\)"),
        (({"text": np.zeros((2, 5))},), "data of 'text' must be int64, got float64"),
        (({"text": np.zeros((2, 1), dtype=int)},), r"text_tokens of 2 to 30\), got \(2, 1\)"),
        (({"image": IMAGE}, {"image": np.ones((2, 4, 5))}), "mask of 'image' must be bool, got float64"),
        (({"image": IMAGE}, {"image": np.ones((2, 4, 4), dtype=bool)}), "image_axis1 must be the same in all inputs"),
        (({"image": IMAGE, "text": np.zeros((3, 4), dtype=int)},), "batch must be the same in all inputs: 2 in"),
        (({"points": np.ones((2, 4, 1))},), "coordinates of 'points' are needed for axis 0"),
    ],
)
def test_what_does_not_fit_is_said_to_be(arguments, error, graph):
    with pytest.raises((ValueError, TypeError), match=error):
        graph(*arguments)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"version": 9}, "version must be 1"),
        ({"format": "../model"}, "format must be one of"),
        ({"inputs": inputs_to_json(INPUTS[:1])}, "inputs must have data and a mask of 'image'"),
        ({"outputs": {"logits": {}}}, "name"),
    ],
)
def test_a_damaged_file_is_said_to_be(change, error, tmp_path):
    (tmp_path / GRAPH).write_text(json.dumps(FACTS | change))
    with pytest.raises(DamagedFileError, match=error) as raised:
        Graph.open(tmp_path)
    assert GRAPH in str(raised.value)


def test_other_folders_are_told_from_graphs(graph, tmp_path):
    with pytest.raises(DamagedFileError, match=f"has no {GRAPH}"):
        Graph.open(tmp_path / "other")
    with pytest.raises(DamagedFileError, match="an export of a model without a table, which takes arrays"):
        open_predictor(tmp_path)
    with pytest.raises(DamagedFileError, match=r"model\.onnx is not there"):
        Graph(tmp_path).engine  # noqa: B018


def test_info_says_what_a_graph_takes_and_gives(graph):
    told = describe_graph(graph.path)
    assert told["what"] == "graph of a MultiModalityPerceiver, by perceiver export"
    assert told["takes"][0] == {
        "name": "in_image",
        "dtype": "float32",
        "shape": ["batch", "image_axis0", "image_axis1", 3],
    }
    assert told["gives"] == [{"name": "out_logits", "dtype": "float32", "shape": ["batch", 4]}]


def test_a_graph_is_opened_where_torch_cannot_be_imported(graph):
    code = (
        "import sys\n"
        "for name in ('torch', 'jaxtyping', 'safetensors', 'huggingface_hub', 'pyarrow', 'PIL', 'yaml'):\n"
        "    sys.modules[name] = None\n"
        "from perceiver_pytorch import runtime\n"
        f"print(*runtime.open_graph({str(graph.path)!r}).outputs)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["logits"], done.stderr
