"""torch.compile and torch.export, with annotations unchecked: `test_compile_and_export.py` runs this file so.

(Not collected by its name: torch.compile cannot look through the checks that conftest.py installs.)
"""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

import perceiver_pytorch as P
from perceiver_pytorch.nn import fourier
from perceiver_pytorch.ops import use_backend
from small_models import (
    CLASSES,
    audio,
    blended,
    build,
    image,
    inputs,
    number_of_tokens,
    perceiver_io,
    pictures,
    sounds,
    text,
    words,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch",
    "ignore::FutureWarning:torch",
    # torch 2.6, of programs that it exports itself:
    "ignore:Attempted to insert a get_attr Node:UserWarning",
    "ignore:Node lifted_tensor_:UserWarning",
)


def every_class(but_nightly_except: str) -> pytest.MarkDecorator:
    marked = [pytest.param(n, marks=() if n == but_nightly_except else pytest.mark.nightly) for n in CLASSES]
    return pytest.mark.parametrize("name", marked)


def shallow(name: str, **changes: Any) -> nn.Module:
    """A small model of one layer, for what does not depend on their number: tracing takes its time."""
    blocks = {} if name == "Perceiver" else {"num_latent_blocks_per_layer": 1}
    return build(name, depth=1, **blocks, **changes)


one_graph = pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.nightly)])
"""Traced, and by night differentiated too as for compilation; run by eager kernels."""


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch.compiler.reset()


def gradients(model: nn.Module, output: Tensor) -> list[Tensor]:
    model.zero_grad()
    output.square().sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def assert_equal_to_eager(compiled: Any, model: nn.Module, *arguments: Any, **keywords: Any) -> None:
    got, expected = compiled(*arguments, **keywords), model(*arguments, **keywords)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    for a, b in zip(gradients(model, got), gradients(model, expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


@one_graph
@every_class(but_nightly_except="Perceiver")
def test_every_model_is_one_graph(name: str, backend: str) -> None:
    model = (shallow if backend == "eager" else build)(name)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    assert_equal_to_eager(compiled, model, inputs(name))


@pytest.mark.nightly
def test_compiled_by_inductor_forward_and_backward() -> None:
    model = build("MultiModalityPerceiver", weight_tie_layers=True)
    compiled = torch.compile(model, fullgraph=True)
    assert_equal_to_eager(compiled, model, inputs("MultiModalityPerceiver"))
    with torch.no_grad():
        given = inputs("MultiModalityPerceiver", 3)
        torch.testing.assert_close(compiled(given), model(given), rtol=1e-4, atol=1e-4)


def test_masks_bytes_texts_and_learned_codes_are_in_the_graph() -> None:
    modalities = [image(scale=2 / 255, offset=-1), audio(), text()]
    model = shallow("MultiModalityWithTextPerceiver", modalities=modalities, modality_code_dim=3, style="paper")
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    given = {"image": torch.randint(256, (2, 5, 4, 3), dtype=torch.uint8), "audio": sounds(), "text": words()}
    mask = {"text": torch.rand(2, 7) > 0.3, "image": torch.rand(2, 5, 4) > 0.3}
    present = {"audio": torch.tensor([True, False])}
    assert_equal_to_eager(compiled, model, given, mask, present=present)


@one_graph
def test_a_blend_is_one_graph_whatever_rows_lack(backend: str) -> None:
    model = blended(depth=1, num_latent_blocks_per_layer=1).eval()
    given, mask = inputs("MultiModalityWithTextPerceiver"), {"text": torch.zeros(2, 7, dtype=torch.bool)}
    mask["text"][0, :3] = True
    assert_equal_to_eager(torch.compile(model, fullgraph=True, backend=backend), model, given, mask)


@pytest.mark.nightly
def test_a_blend_is_exported() -> None:
    model = blended().eval()
    given, mask = inputs("MultiModalityWithTextPerceiver"), {"text": torch.rand(2, 7) > 0.3}
    exported = torch.export.export(model, (given, mask), strict=False)
    torch.testing.assert_close(exported.module()(given, mask), model(given, mask))


@pytest.mark.nightly
def test_a_flat_mask_is_in_the_graph() -> None:
    model, given = shallow("MultiModalityPerceiver"), inputs("MultiModalityPerceiver")
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_equal_to_eager(compiled, model, given, torch.rand(2, number_of_tokens(given)) > 0.3)


@pytest.mark.nightly
def test_a_compiled_model_takes_other_sizes() -> None:
    model = build("MultiModalityPerceiver")
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for batch, height, length in ((2, 5, 11), (3, 5, 11), (4, 7, 20)):
        given = {"image": torch.rand(batch, height, 4, 3), "audio": torch.randn(batch, length, 1)}
        assert_equal_to_eager(compiled, model, given)


def test_a_compiled_model_follows_the_selected_backend() -> None:
    model, given = shallow("MultiModalityPerceiver"), inputs("MultiModalityPerceiver")
    graphs = CompileCounter()
    compiled = torch.compile(model, fullgraph=True, backend=graphs)
    with torch.no_grad():
        for name, count in (("auto", 1), ("reference", 2), ("auto", 2), ("reference", 2)):
            with use_backend(name):
                torch.testing.assert_close(compiled(given), model(given))
            assert graphs.frame_count == count


@pytest.mark.nightly
def test_autocast_is_compiled() -> None:
    model = shallow("MultiModalityPerceiver")
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    given = inputs("MultiModalityPerceiver")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(compiled(given), model(given), rtol=0.05, atol=0.05)


@every_class(but_nightly_except="MultiModalityWithTextPerceiver")
def test_every_model_is_exported_with_any_batch_size(name: str) -> None:
    model, given = build(name).eval(), inputs(name)
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = {key: {0: batch} for key in given} if isinstance(given, dict) else {0: batch}
    argument = "data" if name == "Perceiver" else "multi_modality_data"
    program = torch.export.export(model, (given,), dynamic_shapes={argument: shapes})
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for size in (1, 2, 5):
        other = inputs(name, size)
        torch.testing.assert_close(loaded(other), model(other))


def test_masks_are_exported() -> None:
    model, given = shallow("MultiModalityPerceiver").eval(), inputs("MultiModalityPerceiver")
    mask = torch.rand(2, number_of_tokens(given)) > 0.4
    program = torch.export.export(model, (given, mask)).module()
    for _ in range(2):
        mask = torch.rand(2, number_of_tokens(given)) > 0.4
        torch.testing.assert_close(program(given, mask), model(given, mask))


@pytest.mark.nightly
def test_training_is_exported() -> None:
    model, given = build("MultiModalityPerceiver"), inputs("MultiModalityPerceiver")
    program = torch.export.export(model, (given,)).module()
    program(given).square().sum().backward()
    exported = {name: p.grad for name, p in program.named_parameters()}
    model(given).square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(exported[name], parameter.grad)


@pytest.mark.nightly
def test_a_text_of_any_name_is_compiled() -> None:
    modality = P.InputModalityWithEmbedding("type", 1, 1, 2, 4.0, embedding=nn.Embedding(19, 12))
    model = shallow("MultiModalityWithTextPerceiver", modalities=[modality, image()])
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_equal_to_eager(compiled, model, {"type": words(), "image": pictures()})


@one_graph
def test_a_causal_model_is_one_graph(backend: str) -> None:
    torch.manual_seed(0)
    sizes = {"latent_dim": 16, "depth": 1, "heads": 2, "dim_head": 8, "cross_heads": 2, "cross_dim_head": 8}
    model = P.PerceiverAR(max_length=16, num_latents=4, **sizes)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    ids = torch.randint(6, 262, (2, 12))
    assert_equal_to_eager(compiled, model, ids)
    assert_equal_to_eager(compiled, model, ids, torch.arange(12).expand(2, -1) >= torch.tensor([[0], [10]]))


@pytest.mark.nightly
def test_a_masked_language_model_is_one_graph() -> None:
    torch.manual_seed(0)
    sizes = {"embedding_dim": 16, "num_latents": 4, "latent_dim": 16, "depth": 1, "qk_dim": 16, "v_dim": 16}
    model = P.PerceiverLM(max_length=12, **sizes)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    ids = torch.randint(6, 262, (2, 12))
    assert_equal_to_eager(compiled, model, ids)
    assert_equal_to_eager(compiled, model, ids, torch.arange(12).expand(2, -1) < torch.tensor([[12], [5]]))


class Summed(nn.Module):
    """The sum of a model's outputs, for `assert_equal_to_eager`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any, **keywords: Any) -> Tensor:
        return torch.cat([value.flatten() for value in self.model(*arguments, **keywords).values()])


@pytest.mark.parametrize("latent_dim", [8, pytest.param(80, marks=pytest.mark.nightly)])  # 80: keys and values
@one_graph
def test_perceiver_io_is_one_graph(latent_dim: int, backend: str) -> None:
    model = Summed(perceiver_io(latent_dim=latent_dim, inverted_cross_attend=latent_dim == 80, depth=1))
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    given = inputs("MultiModalityPerceiver")
    chosen = {"queries": {"mine": torch.randn(7, 5)}, "indices": {"map": torch.tensor([3, 1, 11])}}
    assert_equal_to_eager(compiled, model, given, {"image": torch.rand(2, 5, 4) > 0.3}, **chosen)


def test_perceiver_io_is_exported_with_any_batch_size() -> None:
    model = perceiver_io(outputs=[P.Output("pixels", P.InputQueries("image"), 3)]).eval()
    given = inputs("MultiModalityPerceiver")
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        model, (given,), dynamic_shapes={"multi_modality_data": {key: {0: batch} for key in given}}
    ).module()
    for size in (1, 2, 5):
        other = inputs("MultiModalityPerceiver", size)
        torch.testing.assert_close(program(other), model(other))


def any_length(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Dynamic shapes of a small model's inputs, and a batch of another size in every dimension."""
    batch, height, width = (torch.export.Dim(axis, min=2, max=64) for axis in ("batch", "height", "width"))
    length = torch.export.Dim("length", min=2, max=100_000)
    series = "text" if "WithText" in name else "audio"
    shapes = {"image": {0: batch, 1: height, 2: width}, series: {0: batch, 1: length}}
    other = {"image": torch.rand(3, 9, 6, 3), "audio": torch.randn(3, 4001, 1), "text": torch.randint(19, (3, 4001))}
    return shapes, {key: other[key] for key in shapes}


@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("MultiModalityPerceiver", marks=pytest.mark.nightly),
        "MultiModalityWithTextPerceiver",
        "PerceiverIO",
    ],
)
def test_any_length_is_exported_as_operations_of_pytorch(name: str, strict: bool) -> None:
    if name == "PerceiverIO":
        model = perceiver_io(outputs=[P.Output("pixels", P.InputQueries("image"), 3)]).eval()
    else:
        model = shallow(name).eval()
    shapes, other = any_length(name)
    given = inputs("MultiModalityPerceiver" if name == "PerceiverIO" else name)
    program = torch.export.export(model, (given,), dynamic_shapes={"multi_modality_data": shapes}, strict=strict)
    if not strict or hasattr(torch.compiler, "is_exporting"):
        assert not [node for node in program.graph.nodes if "perceiver" in str(node.target)]
    for batch in (given, other):
        torch.testing.assert_close(program.module()(batch), model(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["PerceiverLM", "PerceiverAR"])
def test_texts_of_any_length_are_exported(name: str) -> None:
    if name == "PerceiverLM":
        sizes = {"embedding_dim": 16, "num_latents": 4, "latent_dim": 16, "depth": 1, "qk_dim": 16, "v_dim": 16}
    else:
        sizes = {"latent_dim": 16, "depth": 1, "heads": 2, "dim_head": 8, "cross_heads": 2, "cross_dim_head": 8}
        sizes |= {"num_latents": 4}
    model = getattr(P, name)(max_length=40, **sizes).eval()
    shape = {0: torch.export.Dim("batch", min=2, max=64), 1: torch.export.Dim("length", min=5, max=40)}
    program = torch.export.export(model, (torch.randint(6, 262, (2, 12)),), dynamic_shapes=(shape,), strict=False)
    for size in ((2, 12), (3, 33)):
        ids = torch.randint(6, 262, size)
        torch.testing.assert_close(program.module()(ids), model(ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    ["MultiModalityPerceiver", "Perceiver", "PerceiverIO"],
)
@pytest.mark.nightly  # every day tests/export exports models to ONNX
@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="ONNX needs PyTorch 2.7")
@pytest.mark.filterwarnings("ignore")  # onnxscript's own
def test_onnx(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model = perceiver_io(outputs=[P.Output("pixels", P.InputQueries("image"), 3)]) if "IO" in name else shallow(name)
    given = inputs("MultiModalityPerceiver" if "IO" in name else name)
    shapes, other = any_length(name)
    file, argument = tmp_path / "model.onnx", "multi_modality_data"
    if name == "Perceiver":
        shapes, other, argument = shapes["image"], other["image"], "data"
    keywords, dynamic = {argument: given}, {argument: shapes}
    torch.onnx.export(model.eval(), (), file, kwargs=keywords, dynamic_shapes=dynamic, dynamo=True, verbose=False)
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    for batch in (given, other):
        expected = model(batch).detach()
        arrays = [data.numpy() for data in (batch.values() if isinstance(batch, dict) else [batch])]
        (found,) = session.run(None, dict(zip(names, arrays, strict=True)))
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lengths", [range(1, 600), (4410, 44_100, 65_536)])
def test_positions_in_a_graph_have_the_bits_of_linspace(lengths: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for length in lengths:
        found = fourier.evenly_spaced(length, torch.device("cpu"), torch.float32)
        assert torch.equal(found, torch.linspace(-1, 1, length)), length


@pytest.mark.parametrize("name", ["Perceiver", "MultiModalityWithTextPerceiver"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_traced_model_gives_what_the_model_gives(name: str) -> None:
    model, given = shallow(name).eval(), inputs(name)
    traced = torch.jit.trace(model, (given,), check_trace=False)
    for _ in range(2):
        torch.testing.assert_close(traced(given), model(given))
        given = inputs(name)
