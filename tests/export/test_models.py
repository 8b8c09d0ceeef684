"""Saved models and language models as graphs: onnxruntime gives what PyTorch gives, for any sizes and masks."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import perceiver_pytorch as P
from export_helpers import unchecked
from perceiver_pytorch.export import export
from perceiver_pytorch.interop.array_perceiver_io import TokenPerceiverIO
from perceiver_pytorch.runtime import Graph
from perceiver_pytorch.training.language.run import LanguageRun
from small_models import CLASSES, VOCABULARY, blended, build, multi_task, perceiver_io

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters' own

LANGUAGE_RUNS = Path(__file__).parents[1] / "training/language/runs_of_102f612"
SMALL_TEXT = {"latent_dim": 16, "depth": 1}


def masked_lm():
    torch.manual_seed(0)
    return P.PerceiverLM(max_length=24, embedding_dim=16, num_latents=4, qk_dim=16, v_dim=16, **SMALL_TEXT)


def causal():
    torch.manual_seed(0)
    heads = {"heads": 2, "dim_head": 8, "cross_heads": 2, "cross_dim_head": 8}
    return P.PerceiverAR(max_length=40, num_latents=4, **heads, **SMALL_TEXT)


def upstream_text():
    torch.manual_seed(0)
    return TokenPerceiverIO(dim=8, num_tokens=VOCABULARY, max_seq_len=24, num_latents=4, latent_heads=2, **SMALL_TEXT)


FAMILIES = {
    **{name: lambda name=name: build(name) for name in CLASSES},
    "PerceiverIO": perceiver_io,
    "MultiTaskPerceiver": multi_task,
    "BlendedPerceiver": blended,
    "PerceiverAR": causal,
    "PerceiverLM": masked_lm,
    "TokenPerceiverIO": upstream_text,
}


AS_PROGRAMS = ["Perceiver", "PerceiverIO", "MultiTaskPerceiver", "BlendedPerceiver", "PerceiverAR", "PerceiverLM"]


def exported(model, folder, **options):
    with unchecked():
        return export(model, folder, tile=4, **options)


def drawn(graph, rows, length):
    """Arrays of every modality, with masks, and queries."""
    rng, data, mask, queries = np.random.default_rng(rows), {}, {}, {}
    for entry in graph.inputs:
        sides = [*zip(entry.least, entry.most, strict=True)]
        shape = [rows] + [high if low == high else min(high, max(low, length)) for low, high in sides[1:]]
        if entry.part == "mask":
            mask[entry.modality] = rng.random(shape) < 0.7
        elif entry.part == "queries":
            queries[entry.modality] = rng.normal(size=shape).astype(np.float32)
        elif entry.dtype == "int64":
            data[entry.modality] = rng.integers(0, VOCABULARY, shape)
        else:
            data[entry.modality] = rng.normal(size=shape).astype(np.float32)
    return data, mask, queries


def said_by(model, data, mask, queries=None):
    """What the model itself says, by name."""
    tensors = [{name: torch.from_numpy(values) for name, values in each.items()} for each in (data, mask)]
    if {*data} <= {"tokens", "data"}:
        tensors = [next(iter(each.values())) for each in tensors]
    more = {"queries": {name: torch.from_numpy(values) for name, values in queries.items()}} if queries else {}
    with torch.no_grad():
        found = model.eval()(*tensors, **more)
    return found if isinstance(found, dict) else {"": found}


def assert_the_same(model, graph, data, mask, queries):
    expected = said_by(model, data, mask, queries)
    found = graph(data, mask, **({"queries": queries} if queries else {}))
    assert len(found) == len(expected)
    for (name, values), truth in zip(found.items(), expected.values(), strict=True):
        assert name in expected or "" in expected
        np.testing.assert_allclose(values, truth.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.nightly
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_computed_by_onnxruntime_as_by_pytorch(name, tmp_path):
    model = FAMILIES[name]()
    graph = exported(model, tmp_path / "g")
    for rows, length in ((3, 9), (1, 1), (1, 6), (4, 2), (2, 30)):
        assert_the_same(model, graph, *drawn(graph, rows, length))
    data, mask, queries = drawn(graph, 2, 5)
    if len(data) > 1 and name != "PerceiverIO":  # whose pixels are answered where the picture is
        last = [*data][-1]
        left = {key: values for key, values in data.items() if key != last}
        there = {key: values for key, values in mask.items() if key != last}
        assert_the_same(model, graph, left, there, queries)


@pytest.mark.nightly
@pytest.mark.parametrize("name", AS_PROGRAMS)
def test_a_program_of_pytorch_gives_the_same(name, tmp_path):
    model = FAMILIES[name]()
    graph = exported(model, tmp_path / "g", format="pt2")
    assert graph.facts["opset"] is None
    for rows, length in ((3, 9), (1, 1), (2, 17)):
        assert_the_same(model, graph, *drawn(graph, rows, length))


@pytest.mark.nightly
@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_run_of_a_language_model_is_exported_as_its_model(objective, tmp_path):
    run = LanguageRun.open(LANGUAGE_RUNS / objective / "finished")
    graph = exported(run.path, tmp_path / "g")
    for rows, length in ((2, 9), (1, 1)):
        assert_the_same(run.language_model(), graph, *drawn(graph, rows, length))
    told = (tmp_path / "g" / "README.md").read_text()
    assert f"{run.metrics()['bits_per_byte']:.4f}" in told


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved model of text."""
    folder = tmp_path_factory.mktemp("saved") / "m"
    masked_lm().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def graph(saved, tmp_path_factory):
    """What it is exported to."""
    return exported(saved, tmp_path_factory.mktemp("exported") / "g")


def test_a_saved_model_is_exported_from_its_folder(graph, saved):
    model = P.PerceiverLM.from_pretrained(saved)
    for rows, length in ((3, 9), (1, 1), (4, 24)):
        assert_the_same(model, graph, *drawn(graph, rows, length))


def test_the_folder_says_what_goes_in_and_what_comes_out(graph):
    facts = json.loads((graph.path / "graph.json").read_text())
    assert (facts["model"], facts["format"], facts["opset"], facts["tile"]) == ("PerceiverLM", "onnx", 20, 4)
    assert [(entry["name"], entry["dtype"], entry["shape"]) for entry in facts["inputs"]] == [
        ("in_tokens", "int64", ["batch", "tokens_tokens"]),
        ("in_tokens.mask", "bool", ["batch", "tokens_tokens"]),
    ]
    shape = ["batch", "tokens_tokens", 262]
    assert facts["outputs"] == {"logits": {"name": "out_logits", "dtype": "float32", "shape": shape}}
    assert facts["agreement"]["largest_difference"] < facts["agreement"]["tolerance"] == 1e-4
    card = (graph.path / "README.md").read_text()
    for text in ("# PerceiverLM", "opset 20", "`in_tokens.mask`", "runtime.open_graph", "batch (1–4,096)"):
        assert text in card


def test_the_graph_of_onnx_names_its_axes_and_states_its_opset(graph):
    model = onnx.load(graph.path / "model.onnx")
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 20)]
    named = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert named == {
        "in_tokens": ["batch", "tokens_tokens"],
        "in_tokens.mask": ["batch", "tokens_tokens"],
        "out_logits": ["batch", "tokens_tokens", 262],
    }
    onnx.checker.check_model(model)


def test_what_cannot_be_exported_is_refused_before_anything_is_traced(saved, graph, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither a run folder .* nor a saved model"):
        export(tmp_path / "nothing", tmp_path / "g")
    with pytest.raises(ValueError, match="table is for runs of tables"):
        export(saved, tmp_path / "g", table="x.csv")
    with pytest.raises(ValueError, match="sizes of 'tokens' must lie in 1 to 24, got 25"):
        export(saved, tmp_path / "g", sizes={"tokens": [25]})
    with pytest.raises(ValueError, match="has other files"):
        export(saved, saved)
    assert not (tmp_path / "g").exists()
    assert isinstance(Graph.open(graph.path), Graph)
