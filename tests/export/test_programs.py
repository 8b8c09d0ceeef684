"""Every family of models as a graph of ONNX that reads by tiles; tables' own are in test_table_graph.py."""

import numpy as np
import pytest
import torch

import perceiver_pytorch as P
from export_helpers import unchecked
from perceiver_pytorch.export.programs import program_of, write_program
from perceiver_pytorch.runtime.engines import OnnxEngine
from small_models import CLASSES, build, inputs, perceiver_io

pytestmark = [pytest.mark.nightly, pytest.mark.filterwarnings("ignore")]  # exporters' own


class ByName(torch.nn.Module):
    """A model that takes a mapping, and gives one."""

    def __init__(self, model, alone):
        super().__init__()
        self.model, self.alone = model, alone

    def forward(self, tensors):
        return {"out": self.model(tensors[self.alone] if self.alone else tensors)}


def small(name):
    """A model, the name of its only input, and batches of two sizes."""
    if name == "PerceiverAR":
        sizes = {"latent_dim": 16, "depth": 1, "heads": 2, "dim_head": 8, "cross_heads": 2, "cross_dim_head": 8}
        model = P.PerceiverAR(max_length=40, num_latents=4, **sizes)
        return model, "ids", [{"ids": torch.randint(6, 262, size)} for size in ((3, 12), (2, 33))]
    if name == "PerceiverIO":
        model = perceiver_io(outputs=[P.Output("pixels", P.InputQueries("image"), 3)])
        return model, None, [inputs("MultiModalityPerceiver", 3), inputs("MultiModalityPerceiver", 2)]
    model, given = build(name), [inputs(name, 3), inputs(name, 2)]
    return (model, None, given) if isinstance(given[0], dict) else (model, "data", [{"data": each} for each in given])


@pytest.mark.parametrize("name", [*CLASSES, "PerceiverIO", "PerceiverAR"])
def test_a_family_is_computed_by_onnxruntime_as_by_pytorch(name, tmp_path):
    model, alone, batches = small(name)
    graph, any_size = ByName(model.eval(), alone), torch.export.Dim.AUTO
    lengths = {key: {1: any_size} if key in ("audio", "text", "ids") else {} for key in batches[0]}
    with unchecked():
        program = program_of(graph, batches[0], {key: {0: any_size, **axes} for key, axes in lengths.items()}, 4)
    write_program(program, "onnx", tmp_path / "model.onnx", list(batches[0]), ["out"])
    engine = OnnxEngine(tmp_path / "model.onnx")
    for batch in batches:
        with torch.no_grad():
            expected = graph(batch)["out"].numpy()
        found = engine({key: value.numpy() for key, value in batch.items()})["out"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
